"""Where a debugged program stops and why."""

from collections.abc import Awaitable, Callable
from typing import Any

Debug = Callable[[str], Awaitable[Any]]

DEEP = (
    "def deep(n):\n    return deep(n + 1)\n"
    "try:\n    deep(0)\nexcept RecursionError:\n    x = 1\n    y = 2\n"
    "def work(x):\n    return x\nwork(5)\n"
)


async def test_a_recursion_error_that_is_caught_does_not_end_the_stops(debug: Debug) -> None:
    program = await debug(DEEP)
    await program("break", line=6)
    await program("break", function="work")
    assert await program.stops("run", "next", "continue") == [
        ("breakpoint", 6),
        ("line", 7),
        ("breakpoint", 9),
    ]


async def test_a_program_that_switches_tracing_off_is_told_to_have_run_without_the_debugger(
    debug: Debug,
) -> None:
    program = await debug("import sys\nsys.settrace(None)\ndef f():\n    return 1\nf()\n")
    await program("break", function="f")
    answer = await program("run")
    assert answer["state"]["event"] == "exited" and "ran without the debugger" in answer["note"]
    assert (await (await debug("x = 1\n"))("run"))["note"] is None


async def test_what_is_printed_of_an_interrupted_program_stops_nowhere(debug: Debug) -> None:
    shown = "class P:\n    def __repr__(self):\n        return 'P!'\n"
    program = await debug(
        f"import time\n{shown}def f(x):\n    w = x\n    return w\np = P()\ntime.sleep(60)\n"
    )
    await program("break", function="f")
    answer = await program("run", run_timeout=0.3)
    assert (answer["state"]["event"], answer["state"]["locals"]["p"]) == ("interrupted", "P!")
    assert (await program("print", expression="f(3)"))["value"] == "3"
    answer = await program("print", expression="p")
    assert (answer["value"], answer["state"]["line"]) == ("P!", 9)


LOOP = "for i in range(3):\n    x = i\n    y = x\nz = 1\n"


async def test_a_breakpoint_whose_condition_is_false_is_not_what_a_step_stops_at(debug: Debug) -> None:
    program = await debug(LOOP)
    await program("break", line=2, condition="i == 1")
    stops = await program.stops("step", "next", "next", "next", "next")
    assert stops == [("line", 1), ("line", 2), ("line", 3), ("line", 1), ("breakpoint", 2)]
    assert [point["hits"] for point in (await program("state"))["state"]["breakpoints"]] == [1]


async def test_a_condition_that_fails_stops_the_program_and_is_named(debug: Debug) -> None:
    program = await debug(LOOP)
    await program("break", line=2, condition="nope > i")
    answer = await program("run")
    named = (
        "the condition 'nope > i' of the breakpoint at line 2 failed: NameError: name 'nope' is not defined"
    )
    assert (answer["state"]["event"], answer["note"]) == ("breakpoint", named)
    assert (await program("next"))["note"] is None


async def test_of_two_breakpoints_at_a_line_the_one_whose_condition_holds_stops_the_program(
    debug: Debug,
) -> None:
    program = await debug(LOOP)
    await program("break", line=2, condition="nope > i")
    await program("break", line=2, condition="i == 0")
    answer = await program("run")
    assert (answer["state"]["event"], answer["note"]) == ("breakpoint", None)
