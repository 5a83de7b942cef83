"""The code of a call as a program: models put Markdown, prompts and indentation around it by habit. Knows no verl."""

import re
import textwrap
from collections.abc import Iterator

from verl_coder.protocols import inside_fence
from verl_coder.syntax import parsed

_PROMPT = re.compile(r"(>>>|\.\.\.)(?: |$)")


def given_program(code: str) -> str:
    """`code` without a fence around it; without uniform indentation or `>>>` where only that makes it Python."""
    code = inside_fence(code)
    if not code.lstrip("\r\n").startswith((" ", "\t", ">>>")) or parsed(code) is not None:
        return code
    return next((each for each in _readings(code) if parsed(each) is not None), code)


def _readings(code: str) -> Iterator[str]:
    yield textwrap.dedent(code)
    lines = textwrap.dedent(code).splitlines()
    if any(line.startswith(">>>") for line in lines):  # the other lines are what it printed
        yield "\n".join(_PROMPT.sub("", line, count=1) for line in lines if _PROMPT.match(line))
        # or the body of a function, whose `...` was forgotten
        shown = [line for line in lines if _PROMPT.match(line) or line.startswith((" ", "\t"))]
        yield "\n".join(_PROMPT.sub("", line, count=1) for line in shown)
