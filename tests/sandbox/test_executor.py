"""Victims of the kernel's out-of-memory killer are told from programs that failed by themselves."""

import time

import pytest

from verl_coder.sandbox import executor


def test_a_kill_since_the_start_of_a_run_is_seen_and_an_older_one_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    count = 5
    monkeypatch.setattr(executor, "_oom_kills", lambda: count)
    watch = executor.OomWatch()
    before = time.monotonic()
    assert not watch.killed_since(before)
    count = 6
    assert watch.killed_since(before)
    assert not watch.killed_since(time.monotonic())


def test_the_counter_of_this_machine_can_be_read() -> None:
    assert executor.OomWatch().sample() >= 0
