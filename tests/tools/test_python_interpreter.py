"""What a model reads after a program of its own."""

from collections.abc import Callable
from typing import Any

from verl_coder.tools.python_interpreter import PythonInterpreter

Calls = Callable[..., Any]


async def test_stderr_of_a_program_that_succeeds_is_shown(calls: Calls) -> None:
    code = "import logging, warnings\nlogging.warning('odd')\nwarnings.warn('old')\nprint('out')"
    said, counts = await calls(PythonInterpreter, {"code": code}, {"code": "print('out')"})
    assert said[0].startswith("out\nWARNING:root:odd\n") and "main.py:3: UserWarning: old" in said[0]
    assert said[1] == "out" and counts["tool_successes"] == 2


async def test_behind_a_prelude_lines_are_those_of_the_models_own_code(calls: Calls) -> None:
    code = "import warnings\nwarnings.warn('old')\ndef f():\n    1 / 0\nf()"
    said, _ = await calls(PythonInterpreter, {"code": code}, {"code": "x = ("}, prelude="import math\ny = 1")
    assert 'main.py", line 4, in f' in said[0] and 'main.py", line 5, in <module>' in said[0]
    assert "main.py:2: UserWarning" in said[0] and 'main.py", line 1\n' in said[1]


async def test_a_program_is_taken_out_of_its_fence(calls: Calls) -> None:
    said, _ = await calls(PythonInterpreter, {"code": "```python\nprint(1)\n```"})
    assert said == ["1"]
