"""What the trainer's processes are started with."""

from typing import Any

import pytest

from verl_coder.platform.allocator import allocator_environment
from verl_coder.trainer import task_runner


class _Group:
    """verl's worker group, as far as it is constructed."""

    def __init__(self, *_: Any, worker_env: dict[str, str], **__: Any) -> None:
        self.environment = worker_env


def test_workers_start_with_the_allocator_and_with_what_else_they_are_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("LD_PRELOAD", "MALLOC_CONF"):
        monkeypatch.delenv(name, raising=False)
    group = task_runner._with_allocator(_Group)
    own = allocator_environment()
    assert group("pool").environment == own and "jemalloc" in own["LD_PRELOAD"]
    assert group("pool", worker_env={"A": "1", "MALLOC_CONF": "narenas:1"}).environment == {
        **own,
        "A": "1",
        "MALLOC_CONF": "narenas:1",
    }
