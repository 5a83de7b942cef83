"""What a model sees of a program under the debugger, call by call."""

from collections.abc import Callable
from typing import Any

import pytest

from verl_coder.tools.python_debugger import PythonDebugger

Calls = Callable[..., Any]
OLD = "def f(n):\n    return n\nprint('old', f(1))\n"
LEAVES = "import os\nprint('new', flush=True)\nx = 1\nos._exit(0)\n"
CAUGHT = (
    "def f():\n    x = 1\n    return int('a')\n"
    "def g():\n    try:\n        f()\n    except ValueError:\n        y = 1\ng()\n"
)


async def _says(calls: Calls, code: str, commands: str, **options: Any) -> str:
    said, _ = await calls(PythonDebugger, {"code": code, "commands": commands}, **options)
    return said[0]


def _stops(said: str) -> list[str]:
    """The lines that tell where and why it stands."""
    return [line for line in said.splitlines() if " at line " in line and line[:2] not in ("->", "  ")]


@pytest.mark.parametrize("end", ["os._exit(0)", "os.kill(os.getpid(), 11)"])
async def test_a_program_that_took_its_process_along_is_the_one_that_runs_again(
    calls: Calls, end: str
) -> None:
    new = LEAVES.replace("os._exit(0)", end)
    said, _ = await calls(
        PythonDebugger,
        {"code": OLD, "commands": "b f\nrun\nc"},
        {"code": new, "commands": "run\nrun"},
        {"code": new, "commands": "b 3\nrun\nc\nclear\nrun\nrun"},
    )
    assert said[1].count("new") == 2 and "old" not in said[1]
    assert said[2].count("breakpoint at line 3") == 1 and said[2].count("\nnew\n") == 3


async def test_an_expression_that_ends_the_program_is_told_so(calls: Calls) -> None:
    said = await _says(calls, OLD, "b f\nrun\np __import__('os')._exit(3)")
    assert said.endswith("_exit(3)\nthe program ended with exit code 3")


async def test_breakpoints_survive_a_program_that_takes_its_process_along(calls: Calls) -> None:
    said = await _says(calls, LEAVES, "b 3 if True\nrun\nc\nrun\nb")
    assert said.count("breakpoint at line 3") == 2 and said.endswith("breakpoints: line 3 if True")


async def test_an_exception_is_told_where_it_is_raised_and_where_it_comes_by(calls: Calls) -> None:
    assert _stops(await _says(calls, CAUGHT, "b 2\nrun\nn\nn\nn\nn\nn")) == [
        "breakpoint at line 2 in f",
        "stopped at line 3 in f",
        "raised ValueError: invalid literal for int() with base 10: 'a' at line 3 in f",
        "raised ValueError: invalid literal for int() with base 10: 'a' at line 6 in g",
        "stopped at line 7 in g",
        "stopped at line 8 in g",
    ]


@pytest.mark.parametrize(
    "body",
    ["return int('a')", "try:\n        int('a')\n    finally:\n        x = 2", "raise ValueError('a')"],
)
async def test_a_function_that_an_exception_leaves_is_not_about_to_return(calls: Calls, body: str) -> None:
    stops = _stops(await _says(calls, f"def f():\n    x = 1\n    {body}\nf()\n", "b 2\nrun\nfinish"))
    assert stops[-1].startswith("leaving by ValueError: ") and stops[-1].endswith(" in f")


@pytest.mark.parametrize(
    "body", ["return None", "pass", "try:\n        int('a')\n    except ValueError:\n        return"]
)
async def test_a_function_that_returns_nothing_returns_none(calls: Calls, body: str) -> None:
    stops = _stops(await _says(calls, f"def f():\n    x = 1\n    {body}\nf()\n", "b 2\nrun\nfinish"))
    assert stops[-1].startswith("about to return None at line ")


async def test_the_value_that_is_about_to_be_returned_is_shown(calls: Calls) -> None:
    said = await _says(calls, "def f(x):\n    return x * 10\nf(4)\n", "b f\nrun\nfinish\np __return__ + 1\nn")
    assert "about to return 40 at line 2 in f" in said and "> p __return__ + 1\n41\n" in said


async def test_commands_act_on_the_selected_frame(calls: Calls) -> None:
    code = "def f():\n    a = 1\n    b = 2\ndef g():\n    f()\n    c = 3\n    return c\ng()\n"
    for command, stop in {
        "next": "stopped at line 6 in g",
        "until": "stopped at line 6 in g",
        "finish": "about to return 3 at line 7 in g",
    }.items():
        assert _stops(await _says(calls, code, f"b f\nrun\nup\n{command}"))[-1] == stop


async def test_until_goes_down(calls: Calls) -> None:
    code = "for i in range(3):\n    x = i\n    y = x\nz = 1\n"
    said = await _says(calls, code, "b 3\nrun\nuntil 2\nuntil 3\nclear\nuntil 4", prelude="import math")
    assert "> until 2\nline 2 is above the one where the program stands\n" in said
    assert [stop.partition(" in ")[0] for stop in _stops(said)][1:] == [
        "breakpoint at line 3",
        "stopped at line 4",
    ]


async def test_the_end_of_a_coroutine_is_no_exception(calls: Calls) -> None:
    code = (
        "import asyncio\nasync def w():\n    await asyncio.sleep(0)\n    return 1\n"
        "async def main():\n    return await w()\nasyncio.run(main())\n"
    )
    said = await _says(calls, code, "b 3\nrun\nn\nn\nn")
    assert "raised" not in said and "about to return 1 at line 6 in main" in said


async def test_continue_after_finish_goes_on(calls: Calls) -> None:
    code = "def g():\n    x = 1\ndef f():\n    g()\n    y = 2\nf()\n"
    said = await _says(calls, code, "b 4\nb 2\nrun\nfinish\ncontinue")
    assert said.endswith("the program ended")


async def test_clear_takes_every_breakpoint_away(calls: Calls) -> None:
    said = await _says(calls, OLD, "b 2 if n == 1\nb 2 if n == 2\nb 2 if n == 2\nb 3\nclear\nrun")
    assert "line 2 if n == 1, line 2 if n == 2, line 3" in said
    assert said.endswith("> clear\nno breakpoints\n> run\nold 1\nthe program ended")


@pytest.mark.parametrize(("line", "stands"), [(2, 4), (3, 4), (6, 7)])
async def test_a_breakpoint_on_a_line_without_code_stands_on_the_next(
    calls: Calls, line: int, stands: int
) -> None:
    code = "def f(x):\n\n    # c\n    y = x\n    return y\n\nf(1)\n"
    said = await _says(calls, code, f"b {line}\nclear {line}\nb {line}\nrun", prelude="import math\n")
    assert (
        f"line {line} has no code: the breakpoint stands at line {stands}\nbreakpoints: line {stands}" in said
    )
    assert _stops(said)[-1].startswith(f"breakpoint at line {stands} ")


async def test_messages_name_lines_of_the_models_own_code(calls: Calls) -> None:
    said = await _says(calls, OLD, "b 1000\nclear 2\nb", prelude="import math\nx = 1\n")
    assert "there is no code at line 1000 or below it" in said and "there is no breakpoint at line 2" in said
    assert "main.py" not in said


async def test_a_breakpoint_in_a_program_with_a_mistake_shows_the_mistake(calls: Calls) -> None:
    said = await _says(calls, "def f(x):\n    y = (x\n    return y\n", "b f\nb 2\nrun", prelude="import math")
    assert said.count("the program has a mistake at line 2: SyntaxError: '(' was never closed") == 2
    assert said.endswith("SyntaxError: '(' was never closed (main.py, line 2)")


async def test_the_same_code_sent_again_is_run_anew_where_it_has_ended(calls: Calls) -> None:
    said, _ = await calls(
        PythonDebugger, {"code": OLD, "commands": "run"}, {"code": OLD, "commands": "b 2\nc"}
    )
    assert "the program ended" in said[0] and "breakpoint at line 2 in f" in said[1]


async def test_the_same_code_sent_again_goes_on_where_it_stands(calls: Calls) -> None:
    said, _ = await calls(
        PythonDebugger,
        {"code": OLD, "commands": "b 2\nrun"},
        {"code": OLD, "commands": "p n"},
        {"code": f"```python\n{OLD}```", "commands": "p n + 1"},
        {"code": OLD + "#", "commands": "p n"},
        tests="assert f(1) == 1",
    )
    assert said[1:] == ["1", "2", "no frame: the program has not been started: `run` starts it"]


async def test_a_count_repeats_a_command_until_something_else_happens(calls: Calls) -> None:
    code = "for i in range(9):\n    print(i)\nprint('end')\n"
    said, _ = await calls(PythonDebugger, {"code": code, "commands": "next 5"}, {"commands": "next 100"})
    assert said[0].startswith("0\n1\nstopped at line 1 in <module>")
    assert said[1].endswith("8\nend\nthe program ended")
    assert (
        _stops(await _says(calls, code, "b 2 if i == 3\nstep 50"))[-1] == "breakpoint at line 2 in <module>"
    )


async def test_lines_of_the_models_own_code_are_listed(calls: Calls) -> None:
    said = await _says(calls, OLD, "list\nlist 2,3", prelude="import math\n", tests="assert f(1) == 1")
    first, second = said.split("> list 2,3\n")
    assert first.startswith("> list\n     1  def f(n):\n     2      return n\n")
    assert second == "     2      return n\n     3  print('old', f(1))"


async def test_what_the_program_writes_to_stderr_is_shown(calls: Calls) -> None:
    said = await _says(calls, "import sys\nprint('dbg', file=sys.stderr)\n", "run")
    assert said == "dbg\nthe program ended"


@pytest.mark.parametrize(
    ("code", "commands", "succeeds"),
    [
        (OLD, "b f\nrun\np n", True),
        ("x = 1\nint('a')\n", "run", True),
        (OLD, "frobnicate\njump 3", False),
        (OLD, "frobnicate\nrun", True),
        (OLD, "", False),
    ],
)
async def test_a_call_succeeds_if_a_command_was_done_whatever_the_program_did(
    calls: Calls, code: str, commands: str, succeeds: bool
) -> None:
    _, counts = await calls(PythonDebugger, {"code": code, "commands": commands})
    assert counts.get("tool_successes", 0) == int(succeeds) and counts["tool_calls"] == 1


async def test_a_program_that_the_debugger_could_not_take_begins_a_new_one(calls: Calls) -> None:
    # Which of equal lines a breakpoint follows takes longer to find out than the call may.
    many = "x = 1\nx = 2\n" * 3000
    said, _ = await calls(
        PythonDebugger,
        {"code": f"{many}print('old')", "commands": "b 1"},
        {"code": f"y = 0\n{many}print('new')", "commands": "run"},
        timeout_s=1,
    )
    why = "the debugged process could not take this program (KeyboardInterrupt)"
    assert said[1] == f"{why}; this one is new and has no breakpoints\nnew\nthe program ended"


async def test_the_same_code_sent_again_still_stands_where_its_exception_came_up(calls: Calls) -> None:
    code = "def f(n):\n    return int(n)\nf('a')\n"
    said, _ = await calls(
        PythonDebugger,
        {"code": code, "commands": "run"},
        {"code": code, "commands": "p n"},
        {"code": code, "commands": "c"},
        {"code": code, "commands": "b 2\nrun"},
    )
    assert said[1] == "'a'"
    assert said[2] == "the program is not running (exception): use 'run' to start it again"
    assert _stops(said[3]) == ["breakpoint at line 2 in f"]


async def test_as_much_is_shown_as_the_settings_ask_for(calls: Calls) -> None:
    code = "".join(f"x{n} = {n}\n" for n in range(30))
    said = await _says(calls, code, "b 15\nrun\np 'ab' * 4000", window=12, max_output_chars=10_000)
    assert "\n     3  x2 = 2\n" in said and "\n    27  x26 = 26\n" in said
    assert said.endswith("'" + "ab" * 4000 + "'")


async def test_a_value_that_is_cut_is_marked(calls: Calls) -> None:
    said = await _says(
        calls, "x = list(range(100, 1000))\ny = list(map(str, x)) * 9\nz = [y] * 9\n", "b 3\nrun\nn"
    )
    assert next(line for line in said.splitlines() if line.startswith("z = ")).endswith("...")
