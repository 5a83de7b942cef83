"""JSON with whole numbers of any length: Python refuses to read or write more than 4,300 digits unless told to."""

import json
import math
import sys
from typing import Any

_CHUNK = 4000


def loads(text: str | bytes) -> Any:
    """The value; json.JSONDecodeError for what is not JSON, or is nested deeper than Python reads."""
    try:
        return json.loads(text, parse_int=_whole)
    except RecursionError:
        raise json.JSONDecodeError("nested too deeply", "", 0) from None


def decoder() -> json.JSONDecoder:
    """For values that stand one after the other in a text."""
    return json.JSONDecoder(parse_int=_whole)


def dumps(value: Any, **options: Any) -> str:
    """The text; `options` are those of json.dumps."""
    try:
        return json.dumps(value, **options)
    except ValueError as error:
        if "digits" not in str(error):
            raise
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        return json.dumps(value, **options)
    finally:
        sys.set_int_max_str_digits(limit)


def is_number(value: Any) -> bool:
    """Whether a value out of JSON is a number that can be reckoned with: no NaN, no infinity, no `true`."""
    try:
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False  # a whole number that no float holds


def _whole(digits: str) -> int:
    if len(digits) <= _CHUNK:
        return int(digits)
    sign, digits = (-1, digits[1:]) if digits[0] == "-" else (1, digits)
    value = 0
    for start in range(0, len(digits), _CHUNK):
        part = digits[start : start + _CHUNK]
        value = value * 10 ** len(part) + int(part)
    return sign * value
