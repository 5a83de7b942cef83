"""A program under the debugger does what it does without one."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

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
