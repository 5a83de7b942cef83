"""The first of vLLM's servers begins with the trainer's task, where the run has a Ray of its own on a CPU."""

from typing import Any

import pytest
from omegaconf import OmegaConf

from verl_coder.launch import worker
from verl_coder.platform import early_server, lean_replica


class Task:
    """The class of verl's task."""

    def __init__(self, **options: Any) -> None:
        self.asked = options

    def options(self, **options: Any) -> "Task":
        return Task(**options)

    def remote(self) -> Any:
        return ("task", self.asked)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[type]:
    """The servers that have begun."""
    found: list[type] = []
    monkeypatch.setattr(early_server, "begin_server", lambda server: found.append(server) or "server")
    monkeypatch.setattr(lean_replica, "far_server", lambda: Task)
    monkeypatch.setattr(worker, "_held", [])
    monkeypatch.setenv("VERL_PLATFORM", "cpu")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    return found


def start(
    engine: str = "vllm", address: str | None = None, most: int = 128, parted: bool = False, **options: Any
) -> Any:
    rollout = {"name": engine, "max_num_seqs": most, "disaggregation": {"enabled": parted}}
    config = OmegaConf.create(
        {"actor_rollout_ref": {"rollout": rollout}, "ray_kwargs": {"ray_init": {"address": address}}}
    )
    begins = worker._BehindItsServer(config, Task())
    return (begins.options(**options) if options else begins).remote()


def test_the_server_begins_and_the_task_is_verls(begun: list[type]) -> None:
    assert start() == ("task", {}) and begun == [Task]
    assert worker._held == ["server"], "Ray ends an actor that nobody holds"


def test_the_tasks_options_stay(begun: list[type]) -> None:
    assert start(num_cpus=2) == ("task", {"num_cpus": 2}) and begun == [Task]


@pytest.mark.parametrize("given", [{"engine": "sglang"}, {"address": "10.0.0.1:6379"}])
def test_no_server_begins_for_another_engine_or_in_a_cluster(
    begun: list[type], given: dict[str, str]
) -> None:
    assert start(**given) == ("task", {}) and begun == []


def test_no_server_begins_on_a_gpu_where_settings_may_be_unset(
    begun: list[type], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VERL_PLATFORM")
    assert start(most=None) == ("task", {}) and begun == []  # type: ignore[arg-type]


def test_a_verl_with_other_names_begins_without(begun: list[type], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lean_replica, "far_server", lambda: None)
    assert start() == ("task", {}) and begun == []
