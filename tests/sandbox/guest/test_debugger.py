"""A program under the debugger does what it does without one."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import verl_coder

Debug = Callable[[str], Awaitable[Any]]

FORKS = (
    "import os, sys\ndef work(x):\n    return x + 1\n"
    "pid = os.fork()\nif pid == 0:\n    work(1)\n    {end}\n"
    "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)\nwork(2)\n"
)


@pytest.mark.parametrize(("end", "status"), [("os._exit(7)", 7), ("sys.exit(6)", 6), ("1 / 0", 1)])
async def test_a_fork_of_the_program_runs_and_ends_as_it_would_alone(
    debug: Debug, end: str, status: int
) -> None:
    program = await debug(FORKS.format(end=end))
    await program("break", function="work")
    answer = await program("run")
    assert answer["run_result"]["stdout"] == f"{status}\n"
    assert (answer["state"]["event"], answer["state"]["locals"]) == ("breakpoint", {"x": "2"})
    stderr = answer["run_result"]["stderr"]
    assert ("ZeroDivisionError" in stderr) == (end == "1 / 0") and "guest" not in stderr


async def test_the_workers_of_a_pool_pass_breakpoints_by(debug: Debug) -> None:
    program = await debug(
        "import multiprocessing\ndef work(x):\n    return x * 2\n"
        "with multiprocessing.get_context('fork').Pool(1) as pool:\n    print(pool.map(work, [1, 2]))\n"
    )
    await program("break", function="work")
    answer = await program("run")
    assert (answer["state"]["event"], answer["run_result"]["stdout"]) == ("exited", "[2, 4]\n")


ENDS = (
    "import atexit, sys, threading, time\n"
    "class Kept:\n    def __del__(self):\n        print('finalizer')\nkept = Kept()\n"
    "def hook():\n    print('hook')\natexit.register(hook)\n"
    "def work():\n    time.sleep(0.2)\n    print('thread')\nthreading.Thread(target=work).start()\n"
)


@pytest.mark.parametrize(("last", "status"), [("x = 1", 0), ("sys.exit(3)", 3)])
async def test_a_program_ends_with_its_threads_exit_hooks_and_finalizers(
    debug: Debug, last: str, status: int
) -> None:
    program = await debug(ENDS + last)
    await program("break", line=13)
    await program("break", function="hook")
    assert await program.stops("run", "continue") == [("breakpoint", 13), ("breakpoint", 7)]
    answer = await program("continue")
    assert answer["run_result"]["stdout"] == "hook\nfinalizer\n"
    assert (answer["state"]["event"], answer["state"]["return_code"]) == ("exited", status)


async def test_a_thread_that_does_not_end_is_left_at_the_time_limit(debug: Debug) -> None:
    program = await debug("import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\n")
    answer = await program("run", run_timeout=0.3)
    assert (answer["state"]["event"], answer["alive"]) == ("exited", True)
    assert "its threads were still running" in answer["note"]


async def test_what_a_program_lets_go_is_finalized_though_it_was_stopped_there(debug: Debug) -> None:
    finalized = "class Kept:\n    def __del__(self):\n        print('finalizer')\n"
    program = await debug(f"{finalized}def f():\n    kept = Kept()\n    x = 1\nf()\nprint('after')\nz = 3\n")
    await program("break", line=6)
    await program("run")
    assert (await program("continue"))["run_result"]["stdout"] == "finalizer\nafter\n"


@pytest.mark.parametrize("call", ["breakpoint()", "import pdb; pdb.set_trace()"])
async def test_a_breakpoint_in_the_programs_text_stops_it_there(debug: Debug, call: str) -> None:
    program = await debug(f"def f(x):\n    {call}\n    return x\nf(1)\n")
    assert await program.stops("run", "next", "continue", "run") == [
        ("breakpoint", 2),
        ("line", 3),
        ("exited", None),
        ("breakpoint", 2),
    ]
    assert (await program("print", expression="f(x + 1)"))["value"] == "2"


async def test_a_program_that_has_ended_has_no_frame_to_print_from(debug: Debug) -> None:
    program = await debug("def f(x):\n    return x\nf(2)\n")
    await program("break", function="f")
    assert await program.stops("run", "continue") == [("breakpoint", 2), ("exited", None)]
    answer = await program("print", expression="x")
    assert answer["value"] is None
    assert answer["message"] == "no frame: the program has ended: `run` starts it again"
    assert (await program("up"))["message"] == "no frame further up"


async def test_a_program_that_has_spoilt_its_own_file_is_followed_by_another(debug: Debug) -> None:
    program = await debug("import os\nos.remove('main.py')\nos.mkdir('main.py')\n")
    await program("run")
    answer = await program("load", code="x = 1\ny = 2\n")
    assert (answer["status"], answer["state"]["event"]) == ("Success", "not_started")
    await program("break", line=2)
    assert (await program("run"))["state"]["source"][0] == {"line": 1, "text": "x = 1", "current": False}


@pytest.mark.parametrize(
    ("code", "printed"),
    [
        ("\ufeffx = 1\nprint('x')\n", "x\n"),
        ("# coding: latin-1\nx = 1\nprint('é')\n", "Ã©\n"),
        ("import inspect\nx = 1\nprint(inspect.getsource(inspect.currentframe()).count(chr(10)))\n", "3\n"),
        ("import atexit, os\natexit.register(os._exit, 0)\nprint('kept')\n", "kept\n"),
    ],
)
async def test_a_program_is_read_and_flushed_as_the_file_of_a_plain_one(
    debug: Debug, code: str, printed: str
) -> None:
    program = await debug(code)
    await program("break", line=2)
    assert (await program("run"))["state"]["event"] == "breakpoint"
    answer = await program("continue")
    assert (answer["run_result"]["stdout"], answer["state"]["event"]) == (printed, "exited")


def test_a_package_that_lies_below_the_programs_folder_is_no_part_of_the_program(tmp_path: Path) -> None:
    (tmp_path / "verl_coder").symlink_to(Path(verl_coder.__file__).parent)
    serve = (
        "from verl_coder.sandbox.guest.channel import Channel\n"
        "from verl_coder.sandbox.guest.debugger_process import serve_debugger\n"
        "serve_debugger(Channel({}), 'x = 1\\n')\n"
    )
    ours, theirs = socket.socketpair()
    with ours, theirs:
        process = subprocess.Popen(
            [sys.executable, "-c", serve.format(theirs.fileno())],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            pass_fds=[theirs.fileno()],
        )
        theirs.close()
        ours.sendall(json.dumps({"command": "step"}).encode() + b"\n")
        answer = json.loads(ours.makefile().readline())
    process.wait()
    assert [frame["function"] for frame in answer["state"]["stack"]] == ["<module>"]
