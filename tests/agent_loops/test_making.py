"""An agent loop made by its class is the one that hydra makes."""

from typing import Any

import hydra
import pytest
import verl.experimental.agent_loop.agent_loop as agent_loop
from omegaconf import DictConfig, ListConfig, OmegaConf
from verl.experimental.agent_loop.agent_loop import DictConfigWrap, ToolListWrap

from verl_coder.agent_loops.making import make, make_by_class


class Loop:
    def __init__(self, trainer_config: Any, tools: Any, **settings: Any) -> None:
        self.trainer_config, self.tools, self.settings = trainer_config, tools, settings


class Counter:
    def __init__(self, start: int) -> None:
        self.start = start


_LOOP = f"{__name__}.Loop"
_COUNTER = {"_target_": f"{__name__}.Counter", "start": 3}


def objects() -> dict[str, Any]:
    return {
        "trainer_config": DictConfigWrap(OmegaConf.create({"a": "${b}", "b": 1})),
        "tools": ToolListWrap([1]),
    }


@pytest.mark.parametrize(
    "config",
    [
        {"_target_": _LOOP},
        OmegaConf.create({"_target_": _LOOP, "name": "mine", "needs": ["one"], "calls": 3, "share": None}),
    ],
)
def test_class_settings_and_objects_are_those_that_hydra_gives(
    config: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = hydra.utils.instantiate(config=config, **objects())
    monkeypatch.setattr(hydra.utils, "instantiate", None)
    given = objects()
    loop = make(config, **given)
    assert type(loop) is Loop and loop.settings == wanted.settings
    assert all(type(value) is not ListConfig for value in loop.settings.values())
    assert loop.trainer_config is given["trainer_config"] and loop.tools is given["tools"]
    other = make(config, **given)
    assert other is not loop and other.settings.get("needs") is not loop.settings.get("needs", 0)


def made(**objects: Any) -> Loop:
    return Loop(**objects)


def test_a_function_may_be_what_makes_it() -> None:
    assert type(make({"_target_": f"{__name__}.made"}, **objects())) is Loop


@pytest.mark.parametrize("inner", [_COUNTER, [_COUNTER]])
def test_settings_that_hydra_would_make_objects_of_are_left_to_hydra(inner: Any) -> None:
    config = OmegaConf.create({"_target_": _LOOP, "counter": inner})
    assert isinstance(config, DictConfig)
    found = make(config, **objects()).settings["counter"]
    found = found[0] if isinstance(found, list | ListConfig) else found
    assert isinstance(found, Counter) and found.start == 3


def test_verls_worker_makes_its_loops_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_loop, "hydra", hydra)
    make_by_class()
    instantiate = agent_loop.AgentLoopWorker._run_agent_loop.__globals__["hydra"].utils.instantiate
    assert instantiate is make
