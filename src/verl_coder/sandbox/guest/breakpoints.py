"""The breakpoints of a debugged program: where they may stand, which is hit, where they go when it is edited."""

import ast
import contextlib
import difflib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from types import CodeType, FrameType
from typing import Any

from verl_coder.sandbox.guest.channel import describe_exception
from verl_coder.sandbox.guest.debugger_view import names_of


class NoPlace(Exception):
    """No breakpoint can stand there; its text says why, and calls each line `line N`."""


@dataclass
class Breakpoint:
    """One that stands; `hits` counts the times that it stopped the program."""

    number: int
    line: int
    condition: str | None
    hits: int = 0


class Breakpoints:
    """Those of one program, all in its main file."""

    def __init__(self) -> None:
        self._points: list[Breakpoint] = []
        self._last_number = 0

    def __bool__(self) -> bool:
        return bool(self._points)

    def known(self) -> list[tuple[int, str | None]]:
        """What another process needs, to have the same: `restore` takes it."""
        return [(point.line, point.condition) for point in self._points]

    def restore(self, known: Iterable[tuple[int, str | None]]) -> None:
        """These, numbered anew, in the place of all."""
        self._points, self._last_number = [], 0
        for line, condition in known:
            self._add(line, condition)

    def _add(self, line: int, condition: str | None) -> None:
        self._last_number += 1
        self._points.append(Breakpoint(self._last_number, line, condition))

    def described(self) -> list[dict[str, Any]]:
        """Number, line, condition and hits of each."""
        return [asdict(point) for point in self._points]

    def hit(self, frame: FrameType) -> tuple[bool, str]:
        """Whether one that stands where the frame is stops it, and what is wrong with the condition of one.

        A condition sees the frame's names as an expression does. One that fails stops the program, to be told.
        """
        trouble = ""
        for point in self._points:
            if point.line != frame.f_lineno:
                continue
            try:
                if point.condition is None or eval(point.condition, *names_of(frame)):
                    point.hits += 1
                    return True, ""
            except BaseException as error:
                told = describe_exception(error, None)
                failed = f"the condition {point.condition!r} of the breakpoint at line {point.line} failed"
                trouble = f"{failed}: {told['ename']}: {told['evalue']}"
        return False, trouble

    def set(self, code: str, *, line: int | None, function: str | None, condition: str | None) -> str:
        """Have one stand at the line, or the next that has code: then this says so; NoPlace."""
        if condition:
            try:
                compile(condition, "<condition>", "eval")
            except (SyntaxError, ValueError) as error:
                raise NoPlace(f"condition {condition!r}: {getattr(error, 'msg', error)}") from error
        asked = _asked_line(code, line, function)
        if asked is None:
            raise NoPlace("give a line or a function")
        stands = line_with_code(code, asked)
        if (stands, condition) not in self.known():
            self._add(stands, condition)
        return f"line {asked} has no code: the breakpoint stands at line {stands}" if stands != asked else ""

    def clear(self, code: str, *, line: int | None, function: str | None) -> None:
        """Take those at the line away, or at the next that has code; all, where no line is asked for; NoPlace."""
        asked = _asked_line(code, line, function)
        if asked is None:
            self._points = []
            return
        standing = {point.line for point in self._points}
        for found in (asked, asked if asked in standing else line_with_code(code, asked)):
            if found in standing:
                self._points = [point for point in self._points if point.line != found]
                return
        raise NoPlace(f"there is no breakpoint at line {asked}")

    def move(self, before: str, after: str) -> list[int]:
        """Go with their lines from one program to another; the lines, of the first, of those that cannot.

        They cannot where a line is gone or has no code now, which in a program with a mistake nobody knows.
        """
        lines = moved_lines(before, after)
        with contextlib.suppress(NoPlace):
            with_code = lines_with_code(after)
            lines = {old: new for old, new in lines.items() if new in with_code}
        dropped = [point.line for point in self._points if point.line not in lines]
        self.restore([(lines[line], condition) for line, condition in self.known() if line in lines])
        return dropped


def _asked_line(code: str, line: int | None, function: str | None) -> int | None:
    return line_of_function(code, function) if line is None and function else line


def source_of(code: str) -> bytes:
    """As a file has it: only there a mark of the byte order and a declared encoding count."""
    return code.encode("utf-8", "surrogatepass")


def lines_with_code(code: str) -> set[int]:
    """Those where a program can stop; NoPlace for one that has a mistake."""
    try:
        return set(_lines_of(compile(source_of(code), "main.py", "exec", dont_inherit=True)))
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError) as error:
        raise NoPlace(_in_words(error)) from error


def line_with_code(code: str, line: int) -> int:
    """The line itself, or the next below it that has code; NoPlace."""
    found = min((each for each in lines_with_code(code) if each >= line), default=None)
    if found is None:
        raise NoPlace(f"there is no code at line {line} or below it")
    return found


def _lines_of(code: CodeType) -> Iterator[int]:
    yield from (line for _, _, line in code.co_lines() if line)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _lines_of(constant)


def _in_words(error: BaseException) -> str:
    if isinstance(error, SyntaxError):
        place = f" at line {error.lineno}" if error.lineno else ""
        return f"the program has a mistake{place}: {type(error).__name__}: {error.msg}"
    return f"the program cannot be compiled: {type(error).__name__}: {error}"


def moved_lines(before: str, after: str) -> dict[int, int]:
    """Line of `before` -> where the same line stands in `after`; lines that were changed or removed are missing.

    A changed line keeps its place where as many lines replace as many.
    """
    old, new = before.split("\n"), after.split("\n")
    lines = {}
    for tag, first, last, start, end in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal" or (tag == "replace" and last - first == end - start):
            lines.update({first + n + 1: start + n + 1 for n in range(last - first)})
    return lines


def line_of_function(code: str, function: str) -> int:
    """First line of a function's body, by `Class.method` or `name`: of several the last at the top level; NoPlace."""
    try:
        tree = ast.parse(source_of(code))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise NoPlace(_in_words(error)) from error
    functions = list(_functions(tree, ""))
    named = [node for node, qualified in reversed(functions) if qualified == function]
    named += [node for node, _ in functions if node.name == function]
    if not named:
        raise NoPlace(f"no function {function!r} in the program")
    body = named[0].body
    has_doc = len(body) > 1 and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)
    return body[1 if has_doc else 0].lineno


def _functions(node: ast.AST, prefix: str) -> Any:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child, prefix + child.name
            yield from _functions(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.ClassDef):
            yield from _functions(child, f"{prefix}{child.name}.")
        else:
            yield from _functions(child, prefix)
