"""What stands before the model's program when a row has a prelude; what the settings of tools may ask for."""

import subprocess
import sys
from pathlib import Path

import pytest

from verl_coder.errors import ConfigError
from verl_coder.tools.execution import after_prelude, settings_of

PRELUDE = "given = 1"


@pytest.mark.parametrize(
    "prelude", [PRELUDE, "def helper():\n    return 1\ngiven = helper()", "@str\nclass A: pass\ngiven = A"]
)
@pytest.mark.parametrize(
    "code",
    [
        "from __future__ import annotations\ndef f(x: Missing): return given\nprint(f(1))\n1 / 0",
        '"""Says what it is."""\nfrom __future__ import (\n    annotations,\n)\ndef f(x: Missing): pass\n1 / 0',
        "# é\nfrom __future__ import annotations; x = given\n1 / 0",
    ],
)
def test_future_imports_come_first_and_every_line_stays_where_it_is(code: str, prelude: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", after_prelude(prelude, code)], capture_output=True, text=True
    )
    assert done.stderr.splitlines()[-1] == "ZeroDivisionError: division by zero"
    assert f"line {(prelude + code).count(chr(10)) + 2}," in done.stderr


@pytest.mark.parametrize(
    "code", ["print(1)", "def f(:", "from __future__ import no_such_thing", "x = '\\x00'\n\x00"]
)
def test_anything_else_is_left_alone(code: str) -> None:
    expected = f"{PRELUDE}\n{code}"
    assert after_prelude(PRELUDE, code) in (expected, f"from __future__ import no_such_thing; {PRELUDE}\n0")


@pytest.mark.parametrize(
    ("tool", "name", "value", "most"),
    [
        ("PythonDebugger", "window", 30, 20),
        ("PythonDebugger", "max_output_chars", 200_000, 100_000),
        ("PythonSession", "max_output_chars", 200_000, 100_000),
        ("PythonSession", "traceback_lines", 60, 50),
    ],
)
def test_more_than_a_session_says_is_refused_with_the_most_that_it_says(
    tool: str, name: str, value: int, most: int
) -> None:
    def read(number: int) -> object:
        return getattr(
            settings_of({"class_name": f"a.{tool}", "config": {name: number}}, Path("t.yaml")), name
        )

    assert read(most) == most
    with pytest.raises(
        ConfigError, match=rf"^t\.yaml: config\.{name}={value}: use a whole number .*\b{most}"
    ):
        read(value)
