"""verl's request for its first server takes the one that has begun; every other is made as ever."""

import inspect
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from verl_coder.platform import early_server
from verl_coder.platform.early_server import CONCURRENCY, FIRST, EarlyServers

_FIRST = {"name": FIRST, "max_concurrency": 1000, "runtime_env": {"env_vars": {}}}


class Usual:
    """Ray's class of servers."""

    def __init__(self) -> None:
        self.made: list[Any] = []

    def options(self, **options: Any) -> "Usual":
        self.asked = options
        return self

    def remote(self, *arguments: Any, **named: Any) -> str:
        self.made.append((arguments, named))
        return "usual"


class Begun:
    """The actor that has begun."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.become, self.heard, self.failure = self, [], failure

    def remote(self, *arguments: Any, **named: Any) -> Any:
        self.heard.append((arguments, named))
        return self.failure


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> Begun:
    actor = Begun()
    monkeypatch.setattr(ray, "get_actor", {FIRST: actor}.__getitem__)
    monkeypatch.setattr(ray, "get", _answer)
    return actor


def _answer(given: Any) -> Any:
    if isinstance(given, Exception):
        raise given
    return given


def test_the_first_server_is_the_one_that_has_begun(begun: Begun) -> None:
    usual = Usual()
    assert EarlyServers(usual).options(**_FIRST).remote(1, config="c") is begun
    assert begun.heard == [((1,), {"config": "c"})] and usual.made == []


@pytest.mark.parametrize(
    "options",
    [{"name": "vllm_server_1_0"}, {"name": "vllm_server_0_0_teacher"}, {"max_concurrency": CONCURRENCY + 1}],
)
def test_another_server_is_made_as_ever(begun: Begun, options: dict[str, Any]) -> None:
    usual = Usual()
    assert EarlyServers(usual).options(**{**_FIRST, **options}).remote(1) == "usual"
    assert usual.asked == {**_FIRST, **options} and usual.made == [((1,), {})] and begun.heard == []


def test_without_one_that_has_begun_the_first_is_made_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_: str) -> Any:
        raise ValueError("no actor of that name")

    monkeypatch.setattr(ray, "get_actor", none)
    assert EarlyServers(Usual()).options(**_FIRST).remote() == "usual"


def test_a_server_that_cannot_be_made_is_the_error_of_the_request(begun: Begun) -> None:
    begun.failure = ValueError("no such model")
    with pytest.raises(ValueError, match="no such model"):
        EarlyServers(Usual()).options(**_FIRST).remote()


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
