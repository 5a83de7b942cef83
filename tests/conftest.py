"""Fixtures shared by all tests. Everything runs offline, on the CPU platform."""

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.training_run import TrainingRunProcess

from verl_coder.platform.environment import select_cpu_platform

select_cpu_platform()

# A collection of all the tests makes a million objects that stay: looking through them was half of its time.
gc.disable()


def _waits_for_the_run(item: pytest.Item) -> bool:
    return "training_run" in getattr(item, "fixturenames", ())


def _limit_s(item: pytest.Item) -> float:
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker else 0.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Other tests that train come late, when the end-to-end run is over; those that wait for it come last.

    Of each kind the files with the longest limits come first: no worker begins a long one when the other has ended.
    """
    limits: dict[Path, float] = {}
    for item in items:
        limits[item.path] = max(limits.get(item.path, 0.0), _limit_s(item))

    def place(item: pytest.Item) -> tuple[int, float]:
        kind = 2 if _waits_for_the_run(item) else int(item.get_closest_marker("e2e") is not None)
        return kind, -limits[item.path]

    items.sort(key=place)


def pytest_collection_finish() -> None:
    """From here on garbage is looked for among what the tests make."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def training_run_process(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, worker_id: str
) -> Iterator[TrainingRunProcess | None]:
    """The end-to-end run, begun with the session where a chosen test needs it: see e2e/training_run.py."""
    if not any(map(_waits_for_the_run, request.session.items)):
        yield None
        return
    # One run for all workers: their folders lie in one of the session's.
    base = tmp_path_factory.getbasetemp()
    run = TrainingRunProcess((base if worker_id == "master" else base.parent) / "e2e")
    yield run
    run.end()
