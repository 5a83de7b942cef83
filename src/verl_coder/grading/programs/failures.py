"""What can end a test in the judge, and the alarm that ends it in time."""

import ast
import builtins
import io
import linecache
import opcode
import sys
from types import CodeType
from typing import Any, Self

from verl_coder.grading.programs.alarms import begin_limit, end_limit, note_exchange
from verl_coder.grading.programs.identities import parse_sides, parse_tests

_RAISE = opcode.opmap["RAISE_VARARGS"]
TEST_FILES: set[str] = set()
"""Names of the files that the tests' code is said to come from."""
ASKING: set[CodeType] = set()
"""Code that talks with the solution: what breaks off there leaves half a message."""


class TestTimedOut(BaseException):
    """The test's time is up, or as its text says; raised by the alarm, past any `except Exception` of a test."""

    __test__ = False


class CandidateLost(BaseException):
    """The solution's process ended before it answered."""


class RemoteError(Exception):
    """An exception of the solution whose type the judge does not know."""


class Refused(BaseException):
    """The judge does not do what the test asks of the solution's object; no test can pass by expecting it."""


class Unsplittable(Refused):
    """The test needs something of the solution in the judge, or of the judge in the solution."""


class RemoteExit(BaseException):
    """An exception of the solution that is no `Exception`."""


NOT_FOR_TESTS = (TestTimedOut, CandidateLost, Refused)
"""What ends a test although it may say `except:`."""
ENDS = (Exception, SystemExit, RemoteExit, *NOT_FOR_TESTS)
"""What may come out of a test."""


class TimeLimit:
    """Raise TestTimedOut in the block after `seconds` of wall time; `expired` says whether it did.

    What the talk with the solution took comes on top, as long as `most_s` are not over.
    """

    expired = False
    words = ""
    """How, where it was not after `seconds`."""
    note_exchange = staticmethod(note_exchange)
    """To be called for each message to the solution."""

    def __init__(self, seconds: float, *, most_s: float = 0.0) -> None:
        self._seconds, self._most_s = max(seconds, 0.001), most_s

    def __enter__(self) -> Self:
        begin_limit(self._seconds, self._most_s, self._expire, TEST_FILES, ASKING)
        return self

    def __exit__(self, *ending: object) -> None:
        end_limit()

    def _expire(self, words: str) -> None:
        self.expired, self.words = True, words
        raise TestTimedOut(words)


def compile_tests(source: str, name: str, mode: str = "exec") -> CodeType:
    """Code of the tests; its source is kept, so that `may_be_swallowed` and tracebacks find the lines."""
    TEST_FILES.add(name)
    linecache.cache[name] = (len(source), None, list(io.StringIO(source, newline=None)), name)
    return compile(parse_tests(source, name, mode), name, mode, dont_inherit=True)


def compile_sides(left: str, right: str, name: str) -> tuple[list[str], list[int], CodeType, CodeType]:
    """Both sides of an assertion, to be compared once they are `settled` (earlier.py) with what stands before them."""
    TEST_FILES.add(name)
    marks, expected, sides = parse_sides(left, right, name)
    codes = [compile(ast.Expression(side), name, "eval", dont_inherit=True) for side in sides]
    return marks, expected, codes[0], codes[1]


def used_by_tests() -> bool:
    """Whether the tests' own code, and no library, uses the module that calls this."""
    frame: Any = sys._getframe(1)
    module = frame.f_globals
    while frame is not None and frame.f_globals is module:
        frame = frame.f_back
    return frame is not None and frame.f_code.co_filename in TEST_FILES


def may_be_swallowed(error: BaseException, trace: Any) -> bool:
    """Whether a solution's `__exit__` may have a say: the tests raised it on purpose, by `raise` or from literals.

    What the solution raised, a failed `assert`, and what came of the solution's answers (`None[0]`) are verdicts.
    """
    if not isinstance(error, Exception) or isinstance(error, AssertionError) or hasattr(error, "remote"):
        return False
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None or trace.tb_frame.f_code.co_filename not in TEST_FILES:
        return False
    code, position = trace.tb_frame.f_code, trace.tb_lasti
    if code.co_code[position] == _RAISE:
        return True
    line, last_line, start, end = list(code.co_positions())[position // 2]
    if line is None or line != last_line:
        return False
    text = linecache.getline(code.co_filename, line).encode()[start:end].decode()
    return _is_of_literals(text, {**trace.tb_frame.f_globals, **trace.tb_frame.f_locals})


def _is_of_literals(text: str, names: dict[str, Any]) -> bool:
    try:
        nodes = list(ast.walk(ast.parse(text.strip(), mode="eval")))
    except SyntaxError:
        return False
    read = [node.id for node in nodes if isinstance(node, ast.Name)]
    return all(hasattr(builtins, name) and name not in names for name in read) and not any(
        isinstance(node, (ast.Attribute, ast.Await, ast.Lambda)) for node in nodes
    )


def told(error: Any) -> str:
    """What the solution's own `__str__` says."""
    text = error.__dict__.get("_text")
    return BaseException.__str__(error) if text is None else str(text)
