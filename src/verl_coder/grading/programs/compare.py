"""Comparison, as the datasets' official checkers do it."""

import math
import re
from typing import Any

TOLERANCE = 1e-6
_NUMBER = r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"


def same_json(got: Any, expected: Any, *, wrapped: bool = False) -> bool:
    """APPS call-based: a tuple is a list, floats within 1e-6, integer keys as JSON's strings.

    `wrapped`: the dataset wrote `[expected]` (apps/eval/testing_util.py accepts either).
    """
    if _same(got, expected):
        return True
    return wrapped and isinstance(expected, list) and len(expected) == 1 and _same(got, expected[0])


def _same(got: Any, expected: Any) -> bool:
    kind = type(got)
    if kind in (tuple, list):
        if type(expected) not in (list, tuple) or len(got) != len(expected):
            return False
        return all(map(_same, got, expected))
    if kind is float or type(expected) is float:
        return _close(got, expected)
    if isinstance(got, dict) and isinstance(expected, dict):
        if len(got) != len(expected):
            return False
        by_text = {_key(key): value for key, value in got.items()}
        return all(
            _key(key) in by_text and _same(by_text[_key(key)], value) for key, value in expected.items()
        )
    return bool(got == expected)


def _key(key: Any) -> Any:
    return str(key) if type(key) in (int, float) else key


def _close(got: Any, expected: Any) -> bool:
    if type(got) not in (int, float, bool) or type(expected) not in (int, float, bool):
        return False
    if got == expected or (got != got and expected != expected):
        return True
    try:
        return math.isclose(got, expected, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    except OverflowError:
        return False


def same_text(got: str, expected: str) -> bool:
    """Competition output: line by line, blanks at line ends and empty lines ignored, floats within 1e-6."""
    if got == expected:
        return True
    got_lines, expected_lines = _lines(got), _lines(expected)
    if len(got_lines) != len(expected_lines):
        return False
    return all(
        a == b or _same_tokens(a.split(), b.split()) for a, b in zip(got_lines, expected_lines, strict=True)
    )


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _same_tokens(got: list[str], expected: list[str]) -> bool:
    return len(got) == len(expected) and all(
        a == b or _same_number(a, b) for a, b in zip(got, expected, strict=True)
    )


def _same_number(got: str, expected: str) -> bool:
    """Equal numbers; the tolerance holds only where the expected one is not an integer."""
    if len(got) > 400 or len(expected) > 400 or not re.match(_NUMBER, got) or not re.match(_NUMBER, expected):
        return False
    if expected.lstrip("+-").isdigit():
        if got.lstrip("+-").isdigit():
            return False
        return float(got) == float(expected) and abs(float(expected)) < 2**53
    return math.isclose(float(got), float(expected), rel_tol=TOLERANCE, abs_tol=TOLERANCE)
