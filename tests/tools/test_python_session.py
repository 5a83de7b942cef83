"""What a model reads after a piece of code in a live interpreter."""

from collections.abc import Callable
from typing import Any

from verl_coder.tools.python_session import PythonSession

Calls = Callable[..., Any]


async def _say(calls: Calls, *codes: str, **options: Any) -> list[str]:
    said, _ = await calls(PythonSession, *({"code": code} for code in codes), **options)
    return said


async def test_the_end_of_stderr_is_shown_whether_the_code_fails_or_not(calls: Calls) -> None:
    wrote = "import sys\nfor n in range(20): print(n, file=sys.stderr)\n"
    said = await _say(calls, f"{wrote}print('out')\n7", f"{wrote}1 / 0", "x = 1", traceback_lines=2)
    assert said[0] == "out\n7\n18\n19" and said[2] == "(no output)"
    assert said[1].startswith("18\n19\n") and said[1].endswith("ZeroDivisionError: division by zero")


async def test_what_is_displayed_is_shown_before_the_value(calls: Calls) -> None:
    said = await _say(calls, "display(1, 'a')\nprint('out')\n2", "display([3])", "4")
    assert said == ["out\n1\n'a'\n2", "[3]", "4"]


async def test_code_may_await_at_its_top_level(calls: Calls) -> None:
    said = await _say(
        calls,
        "import asyncio\nasync def f(x):\n    await asyncio.sleep(0)\n    return x\nlock = asyncio.Lock()",
        "async with lock:\n    y = await f(3)\nawait f(y + 1)",
        "1\nawait asyncio.sleep(60)",
        "y, await f(5)",
        "await f(1 / 0)",
        timeout_s=1,
    )
    assert said[1] == "4" and said[2].startswith("TimeoutError: ") and said[3] == "(3, 5)"
    assert said[4].endswith("ZeroDivisionError: division by zero") and "asyncio" not in said[4]


async def test_code_is_taken_out_of_a_fence_and_of_prompts(calls: Calls) -> None:
    assert await _say(calls, "```python\nx = 5\n```", ">>> x + 1\n6", "    x") == ["(no output)", "6", "5"]


async def test_as_many_lines_of_a_traceback_are_shown_as_the_settings_ask_for(calls: Calls) -> None:
    chain = "".join(f"def f{n}():\n    f{n + 1}()\n" for n in range(20))
    said = await _say(calls, f"{chain}f0()", traceback_lines=50)
    assert "in f0" in said[0] and "in f19" in said[0]
