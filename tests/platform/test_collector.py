"""What a long collection of garbage has left is not looked at again; a short one changes nothing."""

import gc
from collections.abc import Iterator

import pytest

from verl_coder.platform import collector


@pytest.fixture(autouse=True)
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    before = list(gc.callbacks)
    collector.watch()
    yield
    gc.callbacks[:] = before
    gc.unfreeze()


@pytest.mark.parametrize(
    ("long_s", "generation", "frozen"), [(0.0, 2, True), (60.0, 2, False), (0.0, 1, False)]
)
def test_only_a_full_collection_that_took_long_freezes_what_it_left(
    monkeypatch: pytest.MonkeyPatch, long_s: float, generation: int, frozen: bool
) -> None:
    monkeypatch.setattr(collector, "LONG_S", 60.0)
    gc.unfreeze()
    monkeypatch.setattr(collector, "LONG_S", long_s)
    gc.collect(generation)
    assert (gc.get_freeze_count() > 1000) is frozen


def test_a_process_watches_once_however_often_it_is_told() -> None:
    number = len(gc.callbacks)
    collector.watch()
    assert len(gc.callbacks) == number


def test_garbage_that_comes_later_is_still_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "LONG_S", 0.0)
    gc.collect()
    ring: list[object] = []
    ring.append(ring)
    del ring
    assert gc.collect() >= 1
