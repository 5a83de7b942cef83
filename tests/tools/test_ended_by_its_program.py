"""What a program does to its own session is the program's end: the next call begins another, nothing is masked."""

from collections.abc import Callable
from typing import Any

import pytest

from verl_coder.tools.python_debugger import PythonDebugger
from verl_coder.tools.python_session import PythonSession

Calls = Callable[..., Any]
PAUSE_S = 0.8
"""The first call's code ends its program meanwhile."""

LATER = """import os, socket, threading, time
def end():
    time.sleep(0.3)
    {act}
threading.Thread(target=end).start()
"""
ACTS = {
    "kills its parent": "os.kill(os.getppid(), 9); os._exit(0)",
    "kills all": "os.kill(-1, 9)",
    "leaves": "os._exit(0)",
    "shuts the channel": "[socket.socket(fileno=n).shutdown(2) for n in (3,)]",
    "forges a reply": "os.write(3, b'{\"error\": 7}\\n'); time.sleep(60)",
}


@pytest.mark.parametrize("act", ACTS)
async def test_new_code_for_a_debugger_that_its_program_ended(calls: Calls, act: str) -> None:
    program = LATER.format(act=ACTS[act]) + "x = 1\ny = 2\n"
    said, counts = await calls(
        PythonDebugger,
        {"code": program, "commands": "next\nnext\nnext\nnext"},
        {"code": "z = 7\nw = 8", "commands": "next\nnext\np z"},
        pause_s=PAUSE_S,
    )
    assert said[1].splitlines()[-1] == "7" and "tool_sandbox_unavailable" not in counts


@pytest.mark.parametrize("act", ACTS)
async def test_new_code_for_an_interpreter_that_its_code_ended(calls: Calls, act: str) -> None:
    said, counts = await calls(
        PythonSession,
        {"code": LATER.format(act=ACTS[act])},
        {"code": "1 + 1"},
        {"code": "2 + 2"},
        pause_s=PAUSE_S,
    )
    assert said[2] == "4" and "tool_sandbox_unavailable" not in counts


async def test_how_a_session_ended_is_told(calls: Calls) -> None:
    ends = {
        "import os; os._exit(3)": "it left with exit code 3",
        "import os; os.kill(os.getpid(), 11)": "it was ended by SIGSEGV",
        "import os\nfor _ in range(3):\n    if os.fork() == 0:\n        x = bytearray(b'1' * (90 << 20))\n"
        "        __import__('time').sleep(9)\nos.wait()": "over the memory limit",
        "import signal, time\nsignal.pthread_sigmask(signal.SIG_BLOCK, [2])\nwhile True: time.sleep(1)": "time limit",
    }
    for code, why in ends.items():
        said, counts = await calls(PythonSession, {"code": code}, timeout_s=3, memory_mb=128)
        assert "The session has ended (" in said[0] and why in said[0] and counts == {"tool_calls": 1}


async def test_how_a_debugged_program_ended_is_told(calls: Calls) -> None:
    crash = "import ctypes\nctypes.string_at(0)"
    block = "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, [2])\nx = sum(iter(int, 1))"
    for code, words in {
        crash: "the program was ended by SIGSEGV",
        block: "the debugged process has ended (it did not stop at its time limit)\nits breakpoints are lost",
    }.items():
        said, _ = await calls(PythonDebugger, {"code": code, "commands": "run"}, timeout_s=1)
        assert words in said[0]
