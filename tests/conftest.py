"""Fixtures shared by all tests. Everything runs offline, on the CPU platform."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from e2e.background import RUNS, BackgroundRuns

from verl_coder.platform.environment import select_cpu_platform

select_cpu_platform()

# A collection of all the tests makes a million objects that stay: looking through them was half of its time.
gc.disable()


_RUNS = list(RUNS)


def _waits_for(item: pytest.Item) -> list[str]:
    """The runs beside the tests that it needs, in their order."""
    return [name for name in _RUNS if name in getattr(item, "fixturenames", ())]


def _place(item: pytest.Item) -> tuple[int, float]:
    """0; 1 where it trains; more, the later the run ends that it waits for. And its own limit in seconds, or 0."""
    waits = _waits_for(item)
    kind = 2 + _RUNS.index(waits[-1]) if waits else int(item.get_closest_marker("e2e") is not None)
    limit = item.get_closest_marker("timeout")
    return kind, float(limit.args[0]) if limit else 0.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Other files that train come in the middle, beside no start of the end-to-end runs; what waits for those is last.

    Of each kind the files with the longest limits come first: no worker begins a long one when the other has ended.
    """
    kinds: dict[Path, int] = {}
    limits: dict[Path, float] = {}
    for item in items:
        kind, limit_s = _place(item)
        kinds[item.path] = max(kinds.get(item.path, 0), kind)
        limits[item.path] = max(limits.get(item.path, 0.0), limit_s)
    order = sorted(kinds, key=lambda path: (kinds[path], -limits[path]))
    others = [path for path in order if kinds[path] == 0]
    behind_training = dict.fromkeys(others[len(others) // 2 :], 1.5)
    items.sort(key=lambda item: (behind_training.get(item.path, kinds[item.path]), -limits[item.path]))


def pytest_collection_finish() -> None:
    """From here on garbage is looked for among what the tests make."""
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session", autouse=True)
def background_runs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, worker_id: str
) -> Iterator[BackgroundRuns | None]:
    """The end-to-end runs that the chosen tests need, begun with the session: see e2e/background.py."""
    needed = {name for item in request.session.items for name in _waits_for(item)}
    if not needed:
        yield None
        return
    # The same runs for all workers: their folders lie in one of the session's.
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "e2e"
    runs = BackgroundRuns(folder, [name for name in _RUNS if name in needed])
    yield runs
    runs.end()


_HANDED_ON = ("SANDBOX_URL", "RAY_ADDRESS", "TEACHER_URL", "MODEL", "RECIPE", "OUT")
"""Variables that tell a command what to use: one that a test leaves behind changes those after it in its worker."""


@pytest.fixture(autouse=True)
def environment_is_left_as_it_was() -> Iterator[None]:
    """What a test, or the code that it calls, puts into the environment ends with it."""
    before = {name: os.environ.get(name) for name in _HANDED_ON}
    yield
    assert {name: os.environ.get(name) for name in _HANDED_ON} == before
