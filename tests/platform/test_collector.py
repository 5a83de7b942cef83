"""What a long collection of garbage has left is not looked at again; a short one changes nothing."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from verl_coder.platform import collector


class Ring:
    def __init__(self) -> None:
        self.other = self


@pytest.fixture(autouse=True)
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The collector watched from anew; in the end all is frozen, as tests/conftest.py leaves it."""
    before = list(gc.callbacks)
    monkeypatch.setattr(collector, "_frozen", 0)
    monkeypatch.setattr(collector, "LONG_S", 60.0)
    gc.unfreeze()
    collector.watch()
    yield
    gc.callbacks[:] = before
    gc.freeze()


@pytest.mark.parametrize(
    ("long_s", "generation", "frozen"), [(-1.0, 2, True), (60.0, 2, False), (-1.0, 1, False)]
)
def test_only_a_full_collection_that_took_long_freezes_what_it_left(
    monkeypatch: pytest.MonkeyPatch, long_s: float, generation: int, frozen: bool
) -> None:
    monkeypatch.setattr(collector, "LONG_S", long_s)
    gc.collect(generation)
    assert (gc.get_freeze_count() > 1000) is frozen


def test_a_process_freezes_three_times_and_then_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "LONG_S", -1.0)
    for _ in range(collector.FREEZES):
        gc.unfreeze()
        gc.collect()
        assert gc.get_freeze_count() > 1000
    gc.unfreeze()
    gc.collect()
    assert gc.get_freeze_count() == 0


def test_a_process_watches_once_however_often_it_is_told() -> None:
    number = len(gc.callbacks)
    collector.watch()
    assert len(gc.callbacks) == number


def test_a_ring_that_comes_after_a_freeze_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "LONG_S", -1.0)
    gc.collect()
    assert gc.get_freeze_count() > 1000
    ring = Ring()
    seen = weakref.ref(ring)
    del ring
    assert seen() is not None
    gc.collect()
    assert seen() is None
