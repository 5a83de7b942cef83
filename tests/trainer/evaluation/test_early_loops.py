"""The manager takes the workers that have begun, and makes the others as ever."""

from types import SimpleNamespace
from typing import Any

import pytest
import ray

from verl_coder.platform.begun_actors import BegunActors
from verl_coder.trainer.evaluation import early_loops


class Usual:
    """Ray's class of workers."""

    __ray_metadata__ = SimpleNamespace(modified_class=type("Worker", (), {"__module__": "a_module"}))

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def options(self, **options: Any) -> "Usual":
        self.asked.append(options)
        return self

    def remote(self, *arguments: Any, **_: Any) -> Any:
        return ("usual", *arguments)


class Begun:
    """A handle whose methods answer with what they heard."""

    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.become = self.prepare = self

    def remote(self, *arguments: Any, **_: Any) -> Any:
        self.heard.append(arguments)


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> tuple[BegunActors, list[Begun], Usual]:
    """In the place of the class: the workers, two of which have begun."""
    made: list[Begun] = []

    class StandIn:
        def remote(self) -> Begun:
            made.append(Begun())
            return made[-1]

    monkeypatch.setattr(ray, "get", lambda answer: answer)
    monkeypatch.setattr(ray, "remote", lambda _: StandIn())
    usual = Usual()
    return early_loops.begin_workers(usual, 2), made, usual


def test_a_worker_that_begins_imports_and_waits(workers: tuple[BegunActors, list[Begun], Usual]) -> None:
    assert [worker.heard for worker in workers[1]] == [[(early_loops._import,)]] * 2


def test_those_that_have_begun_are_taken_in_order_then_others_are_made(
    workers: tuple[BegunActors, list[Begun], Usual],
) -> None:
    early, begun, usual = workers
    taken = [early.options(name=str(number)).remote("config", number) for number in range(3)]
    assert taken == [begun[0], begun[1], ("usual", "config", 2)]
    assert [worker.heard[1:] for worker in begun] == [[("config", 0)], [("config", 1)]]
    assert usual.asked == [{"name": "2"}]


def test_the_stand_in_has_the_methods_that_a_manager_calls() -> None:
    import inspect

    from verl.experimental.agent_loop.agent_loop import AgentLoopWorker

    from verl_coder.platform.far_actor import far_class
    from verl_coder.trainer.evaluation import workers

    real = workers.CoderAgentLoopWorker.__ray_metadata__.modified_class  # type: ignore[attr-defined]
    stand_in = far_class("m", "C", early_loops.methods_of(real))
    assert inspect.iscoroutinefunction(stand_in.generate_sequences)  # type: ignore[attr-defined]
    public = {name for name in vars(inspect.unwrap(AgentLoopWorker)) if not name.startswith("_")}
    assert public <= set(vars(stand_in)) | {"config"}
