"""A program's signal handlers wait while it waits for a command: none takes a command or an answer along."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

Debug = Callable[[str], Awaitable[Any]]
Run = Callable[..., Awaitable[dict[str, Any]]]

LATE = (
    "import os, signal, threading\n"
    "def late(number, frame):\n    raise TimeoutError(f'late in {frame.f_code.co_name}')\n"
    "signal.signal(signal.SIGALRM, late)\n"
)
ALARM = "signal.setitimer(signal.ITIMER_REAL, 0.1)\n"
OF_A_THREAD = "threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGALRM)).start()\n"


@pytest.mark.parametrize("alarm", [ALARM, OF_A_THREAD])
async def test_a_handler_that_raises_while_a_session_is_idle_is_told_and_ends_no_code(
    run: Run, alarm: str
) -> None:
    await run(LATE + alarm + "x = 1")
    await asyncio.sleep(0.3)
    answers = [await run(f"x + {n}") for n in range(2)]
    assert [answer["result"] for answer in answers] == ["1", "2"]
    assert "TimeoutError: late in" in answers[0]["run_result"]["stderr"]
    assert answers[1]["run_result"]["stderr"] == ""


@pytest.mark.parametrize("alarm", [ALARM, OF_A_THREAD])
async def test_a_handler_that_raises_while_a_program_stands_raises_where_it_goes_on(
    debug: Debug, alarm: str
) -> None:
    guarded = "try:\n    x = 1\n    y = 2\nexcept TimeoutError as error:\n    print(error)\n    z = 3\n"
    program = await debug(LATE + alarm + guarded)
    await program("break", line=7)
    await program("break", line=11)
    await program("run")
    await asyncio.sleep(0.3)
    assert (await program("print", expression="x"))["error"]["ename"] == "NameError"
    assert (await program("print", expression="1 + 1"))["value"] == "2"
    answer = await program("continue")
    assert (answer["state"]["line"], answer["run_result"]["stdout"]) == (11, "late in <module>\n")


async def test_a_program_finds_the_handler_that_it_installed(run: Run) -> None:
    await run(LATE)
    assert (await run("signal.getsignal(signal.SIGALRM) is late"))["result"] == "True"
    assert (await run("signal.signal(signal.SIGALRM, signal.SIG_IGN) is late"))["result"] == "True"
    assert (await run("signal.alarm(0), signal.getsignal(signal.SIGALRM)"))["result"].endswith("SIG_IGN: 1>)")


async def test_an_alarm_ends_the_code_that_it_was_set_for(run: Run) -> None:
    answer = await run(f"{LATE}{ALARM}while True: pass")
    assert answer["error"]["ename"] == "TimeoutError" and answer["alive"]


async def test_every_late_signal_is_handled_in_turn_also_behind_one_that_raises(run: Run) -> None:
    await run(
        "import os, signal\ngot = []\n"
        "def first(*_):\n    got.append('first')\n    raise TimeoutError('first')\n"
        "signal.signal(signal.SIGUSR1, first)\n"
        "signal.signal(signal.SIGUSR2, lambda *_: got.append('second'))\n"
        "if os.fork() == 0:\n"
        "    import time\n    time.sleep(0.2)\n"
        "    os.kill(os.getppid(), signal.SIGUSR1)\n    time.sleep(0.05)\n"
        "    os.kill(os.getppid(), signal.SIGUSR2)\n    os._exit(0)\n"
    )
    await asyncio.sleep(0.6)
    assert (await run("got"))["result"] == "['first', 'second']"
