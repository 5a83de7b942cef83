"""Comparison, as the datasets' official checkers do it."""

import math
import re
from typing import Any

TOLERANCE = 1e-6
TEXT_TOLERANCE = 1e-9
"""Relative, of numbers in printed output: 1234567 is not 1234567.9."""
_is_numeral = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?").fullmatch
_WORD = r"[^ \t\r]+"
_is_whole = re.compile(r"[+-]?[0-9]+").fullmatch
_MOST_DIGITS = 400
_FLOAT_DIGITS = 20
"""Of a number before its point: one with more that stand there tells them all. Behind the point they prove nothing:
`%.20f` and the decimal module write as many, whatever the answer was computed with."""
_WHOLE_FLOATS = 2**53
_JSON_WORDS = {None: "null", True: "true", False: "false"}


def same_json(got: Any, expected: Any, *, wrapped: bool = False) -> bool:
    """APPS call-based: a tuple is a list, floats within 1e-6, keys that are no strings as JSON's strings.

    `wrapped`: the dataset wrote `[expected]` (apps/eval/testing_util.py accepts either).
    """
    if _same(got, expected):
        return True
    return wrapped and isinstance(expected, list) and len(expected) == 1 and _same(got, expected[0])


def _same(got: Any, expected: Any) -> bool:
    if type(got).__module__ == "numpy":
        got = got.tolist()
    kind = type(got)
    if kind in (tuple, list):
        if type(expected) not in (list, tuple) or len(got) != len(expected):
            return False
        return all(map(_same, got, expected))
    if type(expected) is float:
        return _close(got, expected)
    if kind is float:
        # A whole number may be written as a float, as far as floats tell whole numbers apart.
        near = type(expected) is int and abs(expected) < _WHOLE_FLOATS and abs(got - expected) <= TOLERANCE
        return bool(got == expected) or near
    if isinstance(got, dict) and isinstance(expected, dict):
        if len(got) != len(expected):
            return False
        by_text = {_key(key): value for key, value in got.items()}
        return all(
            _key(key) in by_text and _same(by_text[_key(key)], value) for key, value in expected.items()
        )
    return bool(got == expected)


def _key(key: Any) -> Any:
    key = key.item() if type(key).__module__ == "numpy" else key
    if key is None or type(key) is bool:
        return _JSON_WORDS[key]
    return str(key) if type(key) in (int, float) else key


def _close(got: Any, expected: Any) -> bool:
    if type(got).__module__ in ("decimal", "fractions"):
        return bool(got == expected)
    if type(got) not in (int, float, bool) or type(expected) not in (int, float, bool):
        return False
    if got == expected or (got != got and expected != expected):
        return True
    if type(got) is int and abs(expected) < _WHOLE_FLOATS and expected == int(expected):
        return False  # a whole number stands there, only written as a float
    try:
        return math.isclose(got, expected, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    except OverflowError:
        return False


def same_text(got: str, expected: str) -> bool:
    """Competition output, line by line: blanks at line ends and empty lines ignored, numbers by their value.

    The layout of a text line counts: its words are parted as expected, and it is indented as expected where the
    expected output indents some lines and not others. A line of numbers is compared number by number.
    """
    if got == expected:
        return True
    expected_lines, got_lines = _lines(expected), _lines(got)
    if len(got_lines) != len(expected_lines):
        return False
    if not _is_laid_out(expected_lines):
        expected_lines, got_lines = (
            [line.lstrip() for line in lines] for lines in (expected_lines, got_lines)
        )
    return all(map(_same_line, got_lines, expected_lines))


def _lines(text: str) -> list[str]:
    """Lines that hold more than blanks, without those at their ends."""
    return [line.rstrip() for line in text.split("\n") if line.strip()]


def _is_laid_out(lines: list[str]) -> bool:
    """Whether indentation means something: a stray blank before the first line or before all of them does not."""
    indents = {len(line) - len(line.lstrip()) for line in lines}
    return len(indents) > 1 and any(line[:1].isspace() for line in lines[1:])


def _same_line(got: str, expected: str) -> bool:
    if got == expected:
        return True
    a, b = re.findall(_WORD, got), re.findall(_WORD, expected)
    if len(a) != len(b):
        return False
    if all(map(_is_number, b)):
        return all(map(_same_number, a, b))
    if [part for part in re.split(r"\S+", got) if part] != [
        part for part in re.split(r"\S+", expected) if part
    ]:
        return False
    return all(
        x == y or (not _is_whole(y) and _is_number(y) and _same_number(x, y))
        for x, y in zip(a, b, strict=True)
    )


def _is_number(word: str) -> bool:
    return len(word) <= _MOST_DIGITS and _is_numeral(word) is not None


def _same_number(got: str, expected: str) -> bool:
    """Whether `got` is the number `expected`: exactly that integer, or one within the tolerance of another number."""
    if got == expected:
        return True
    if not _is_number(got):
        return False
    # Long outputs are compared here, so what most of them need comes first.
    near = float(expected)
    if _is_whole(expected):
        if _is_whole(got):
            return int(got) == int(expected)
    elif abs(near) < 10**_FLOAT_DIGITS:
        return math.isclose(float(got), near, rel_tol=TEXT_TOLERANCE, abs_tol=TOLERANCE)
    from decimal import Decimal  # Most answers need none, and each judge would import it.

    a, b = Decimal(got), Decimal(expected)
    if a == b:
        return True
    shown = min(len(b.as_tuple().digits), b.adjusted() + 1)
    if _is_whole(expected) or shown > _FLOAT_DIGITS or not math.isfinite(float(a)):
        return False
    return math.isclose(float(a), near, rel_tol=TEXT_TOLERANCE, abs_tol=TOLERANCE)
