"""The allocator of a process that trains."""

import os
import subprocess
import sys

from verl_coder.platform.allocator import allocator_environment


def test_a_process_that_is_started_with_it_has_it() -> None:
    environment = {**os.environ, **allocator_environment({})}
    code = "print(any('jemalloc' in line for line in open('/proc/self/maps')))"
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_the_users_own_choice_stays() -> None:
    for chosen in ({"LD_PRELOAD": "/opt/libtcmalloc.so"}, {"MALLOC_CONF": "narenas:1"}):
        assert allocator_environment(chosen) == {}
