"""The allocator of a process that trains."""

import os
import subprocess
import sys

import pytest

from verl_coder.platform.allocator import allocator_environment


def test_a_process_that_is_started_with_it_has_it() -> None:
    code = "print(any('jemalloc' in line for line in open('/proc/self/maps')))"
    assert _said(code, allocator_environment({})) == "True"


@pytest.mark.parametrize("own", [False, True])
def test_what_is_freed_goes_back_when_it_is_asked_for(own: bool) -> None:
    code = """
from verl_coder.platform.allocator import give_back
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 >> 20
pieces = [b"x" * 100_000 for _ in range(2_000)]
held = resident()
kept, pieces = pieces[-1], None
freed = resident()
give_back()
print(held - freed > 100, held - resident() > 150)
"""
    # jemalloc keeps it until then; what the C library keeps is its own affair.
    assert _said(code, allocator_environment({}) if own else {}).endswith("False True" if own else "True")


def _said(code: str, environment: dict[str, str]) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert not done.stderr
    return done.stdout.strip()


def test_the_users_own_choice_stays() -> None:
    for chosen in ({"LD_PRELOAD": "/opt/libtcmalloc.so"}, {"MALLOC_CONF": "narenas:1"}):
        assert allocator_environment(chosen) == {}
