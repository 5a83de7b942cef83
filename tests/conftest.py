"""Fixtures shared by all tests. Everything runs offline, on the CPU platform."""

import gc
import os
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


def _place(item: pytest.Item) -> tuple[int, float]:
    """0, 1 where it trains, 2 where it waits for the end-to-end run; and its limit in seconds, 0 for the common one."""
    kind = 2 if _waits_for_the_run(item) else int(item.get_closest_marker("e2e") is not None)
    limit = item.get_closest_marker("timeout")
    return kind, float(limit.args[0]) if limit else 0.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Other files that train come late, when the end-to-end run is over; those that wait for it come last.

    Of each kind the files with the longest limits come first: no worker begins a long one when the other has ended.
    """
    kinds: dict[Path, int] = {}
    limits: dict[Path, float] = {}
    for item in items:
        kind, limit_s = _place(item)
        kinds[item.path] = max(kinds.get(item.path, 0), kind)
        limits[item.path] = max(limits.get(item.path, 0.0), limit_s)
    items.sort(key=lambda item: (kinds[item.path], -limits[item.path]))


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


_HANDED_ON = ("SANDBOX_URL", "RAY_ADDRESS", "TEACHER_URL", "MODEL", "RECIPE", "OUT")
"""Variables that tell a command what to use: one that a test leaves behind changes those after it in its worker."""


@pytest.fixture(autouse=True)
def environment_is_left_as_it_was() -> Iterator[None]:
    """What a test, or the code that it calls, puts into the environment ends with it."""
    before = {name: os.environ.get(name) for name in _HANDED_ON}
    yield
    assert {name: os.environ.get(name) for name in _HANDED_ON} == before
