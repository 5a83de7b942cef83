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


async def test_a_condition_that_does_not_end_is_interrupted_and_named(debug: Debug) -> None:
    program = await debug(LOOP)
    await program("break", line=2, condition="sum(1 for _ in iter(int, 1))")
    answer = await program("run", run_timeout=0.5)
    assert answer["state"]["event"] == "breakpoint" and "failed: KeyboardInterrupt" in answer["note"]
    await program("clear")
    assert (await program("continue"))["state"]["event"] == "exited"


async def test_of_two_breakpoints_at_a_line_the_one_whose_condition_holds_stops_the_program(
    debug: Debug,
) -> None:
    program = await debug(LOOP)
    await program("break", line=2, condition="nope > i")
    await program("break", line=2, condition="i == 0")
    answer = await program("run")
    assert (answer["state"]["event"], answer["note"]) == ("breakpoint", None)


GENERATOR = (
    "def gen():\n    for i in range(2):\n        yield i\n    x = 9\n"
    "def outer():\n    return (yield from gen())\n"
    "for v in outer():\n    y = v\nz = 1\n"
)
AWAITS = (
    "import asyncio\nasync def child():\n    await asyncio.sleep(0)\n    await asyncio.sleep(0)\n    return 7\n"
    "async def main():\n    v = await child()\n    return v\nasyncio.run(main())\nz = 1\n"
)
FAILS = (
    "def gen():\n    yield 1\n    raise ValueError('a')\n"
    "try:\n    for v in gen():\n        y = v\nexcept ValueError:\n    z = 1\n"
)


async def test_return_in_a_generator_stops_where_it_yields_and_where_it_ends(debug: Debug) -> None:
    program = await debug(GENERATOR)
    await program("break", line=2)
    await program("run")
    await program("clear")
    answer = await program("return")
    assert (answer["state"]["event"], answer["state"]["line"], answer["state"]["returning"]) == (
        "yield",
        3,
        "0",
    )
    assert await program.stops("next") == [("line", 8)]
    await program("break", line=4)
    assert await program.stops("continue", "return", "next") == [
        ("breakpoint", 4),
        ("return", 4),
        ("return", 6),
    ]


async def test_return_in_a_generator_that_yields_from_another_waits_for_its_own_end(debug: Debug) -> None:
    program = await debug(GENERATOR)
    await program("break", function="outer")
    assert await program.stops("run", "return", "next") == [("breakpoint", 6), ("return", 6), ("line", 9)]


async def test_return_in_a_coroutine_stops_at_its_end_and_not_where_it_awaits(debug: Debug) -> None:
    program = await debug(AWAITS)
    await program("break", function="child")
    await program("run")
    answer = await program("return")
    assert (answer["state"]["event"], answer["state"]["line"], answer["state"]["returning"]) == (
        "return",
        5,
        "7",
    )
    assert await program.stops("next", "return", "next") == [("line", 8), ("return", 8), ("line", 10)]


async def test_next_behind_the_last_line_of_a_generator_goes_on_where_it_was_asked(debug: Debug) -> None:
    program = await debug(GENERATOR)
    await program("break", line=4)
    assert await program.stops("run", "next", "next", "next") == [
        ("breakpoint", 4),
        ("return", 4),
        ("return", 6),
        ("line", 9),
    ]


async def test_until_in_a_generator_waits_for_the_line_in_it(debug: Debug) -> None:
    program = await debug(GENERATOR)
    await program("break", line=3, condition="i == 0")
    await program("run")
    answer = await program("until", line=4)
    assert (answer["state"]["function"], answer["state"]["line"]) == ("gen", 4)


async def test_a_generator_that_an_exception_leaves_is_told_so(debug: Debug) -> None:
    program = await debug(FAILS)
    await program("break", line=3)
    await program("run")
    answer = await program("return")
    assert (answer["state"]["event"], answer["error"]["ename"]) == ("leaving", "ValueError")
    assert await program.stops("next", "next", "next") == [("raised", 5), ("line", 7), ("line", 8)]


async def test_a_stop_deep_in_a_recursion_answers_every_command(debug: Debug) -> None:
    program = await debug(
        "def deep(n):\n    if n == most:\n        x = 1\n    return deep(n + 1)\n"
        "for most in range(940, 1000):\n"
        "    try:\n        deep(0)\n    except RecursionError:\n        y = most\nz = 1\n"
    )
    await program("break", line=3)
    await program("break", line=10)
    state = (await program("run"))["state"]
    deepest = 0
    while state["line"] == 3:
        deepest = int(state["locals"]["n"])
        assert (await program("print", expression="str([[n]])"))["value"] == f"'[[{deepest}]]'"
        state = (await program("continue"))["state"]
    assert deepest > 940 and (state["event"], state["line"]) == ("breakpoint", 10)
