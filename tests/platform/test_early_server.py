"""verl's request for its first server finds the one that has begun, by the name that verl gives it."""

import inspect
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from verl_coder.platform import early_server
from verl_coder.platform.early_server import FIRST, take_server


class Usual:
    """Ray's class of servers."""

    def options(self, **options: Any) -> "Usual":
        self.asked = options
        return self


def test_the_first_server_is_looked_up_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up: list[str] = []
    monkeypatch.setattr(ray, "get_actor", lambda name: looked_up.append(name) or "begun")
    assert take_server({"name": FIRST, "max_concurrency": 1000}) == "begun"
    assert take_server({"name": "vllm_server_1_0"}) is take_server({"name": f"{FIRST}_teacher"}) is None
    assert take_server({}) is None and looked_up == [FIRST]


def test_where_none_has_begun_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_: str) -> Any:
        raise ValueError("no actor of that name")

    monkeypatch.setattr(ray, "get_actor", none)
    assert take_server({"name": FIRST}) is None


def test_a_server_begins_by_importing_beside_its_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []

    class Made(Usual):
        def remote(self, *arguments: Any, **named: Any) -> Any:
            told.append((arguments, self.asked["name"]))
            return type("Actor", (), {"prepare": type("_", (), {"remote": told.append})})

    monkeypatch.setattr(ray, "remote", lambda _: Made())
    early_server.begin_server(object)
    assert told == [((), FIRST), early_server.import_beside_engine]


def test_verl_names_its_first_server_so_and_looks_for_it_by_that_name() -> None:
    from verl.workers.rollout.vllm_rollout.vllm_rollout import ServerAdapter

    adapter = SimpleNamespace(config={"name": "vllm"})
    assert ServerAdapter._get_server_name_prefix(adapter) + "server_0_0" == FIRST
    assert 'f"{prefix}server_{self.replica_rank}_{self.node_rank}"' in inspect.getsource(ServerAdapter)
