"""SIGTERM stays blocked in a process that was started so, whatever multiprocessing starts there."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import signal, sys
from multiprocessing import shared_memory
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM} if "blocked" in sys.argv else ())
if "verl" in sys.argv:
    import verl_coder.platform.plugin
if "vllm" in sys.argv:
    from verl_coder.platform.vllm_plugin import register
    register()
memory = shared_memory.SharedMemory(create=True, size=8)
memory.close()
memory.unlink()
print(signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, ()))
"""


@pytest.mark.parametrize(
    ("words", "blocked"),
    [
        (["blocked", "verl"], True),
        (["blocked", "vllm"], True),
        (["verl"], False),
        (["blocked"], False),  # what Python does without a plugin
    ],
)
def test_either_plugin_keeps_it_blocked_where_it_was(words: list[str], blocked: bool) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "VERL_PLATFORM"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.split()[-1] == str(blocked)
