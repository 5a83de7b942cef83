"""Values of the standard library that travel by what they hold: numbers, dates, paths, identifiers, arrays."""

import re
from collections.abc import Callable
from typing import Any

from verl_coder.grading.programs.frames import WireError
from verl_coder.grading.programs.wire import ARRAY_ITEMS, ARRAY_KINDS

BY_VALUE = frozenset(["decimal", "fractions", "datetime", "pathlib", "uuid", "ipaddress"])
"""Modules whose values are hashed by what they hold."""
_DECIMAL = r"-?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,6})?|-?(?:Infinity|s?NaN\d{0,20})"
_FRACTION_BITS = 1 << 20
_DATES = {"date": r"[0-9-]{10}", "datetime": r"[0-9T:.+-]{19,40}", "time": r"[0-9:.+-]{5,24}"}
_TEXTS = {
    "ZoneInfo": ("zoneinfo", r"[A-Z][A-Za-z0-9_+-]{0,40}(?:/[A-Za-z0-9_+-]{1,40}){0,2}"),
    "UUID": ("uuid", r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"),
    "IPv4Address": ("ipaddress", r"[0-9.]{7,15}"),
    "IPv6Address": ("ipaddress", r"[0-9a-fA-F:.]{2,45}"),
    "IPv4Network": ("ipaddress", r"[0-9.]{7,15}/[0-9]{1,2}"),
    "IPv6Network": ("ipaddress", r"[0-9a-fA-F:.]{2,45}/[0-9]{1,3}"),
}
_ARRAY_KINDS = "bBhHiIlLqQfd"


def written(value: Any, items: Callable[[Any], list[Any]]) -> list[Any] | None:
    """[name, content] of a value that travels so; `items` encodes whole numbers. None for any other value."""
    kind = type(value)
    module, name = kind.__module__, kind.__name__
    if module == "decimal" and name == "Decimal":
        return [name, str(value)]
    if module == "fractions" and name == "Fraction":
        return [name, items([value.numerator, value.denominator])]
    if module == "pathlib":
        return ["PosixPath", str(value)]
    if module == "datetime" and name == "timezone":
        away = value.utcoffset(None)
        return [name, [away.days, away.seconds, away.microseconds]]
    if (
        name == "datetime"
        and module == name
        and (zone := written(value.tzinfo, items))
        and zone[0] == "ZoneInfo"
    ):
        return ["zoned", [value.replace(tzinfo=None).isoformat(), value.fold, zone[1]]]
    if module == "datetime" and name in _DATES:
        return [name, value.isoformat()]
    if module == "datetime" and name == "timedelta":
        return [name, [value.days, value.seconds, value.microseconds]]
    if module == "time" and name == "struct_time":
        return [name, items(list(value))]
    if _TEXTS.get(name, ("", ""))[0] == module:
        return [name, str(value)]
    if module == "array" and name == "array" and value.typecode in _ARRAY_KINDS:
        return [name, [value.typecode, value.tolist()]]
    return None


def read(name: Any, content: Any, whole: Callable[[Any, int], list[int]]) -> Any:
    """The value; `whole(values, size)` decodes so many whole numbers. WireError for anything else."""
    if name == "Fraction":
        above, below = whole(content, 2)
        if below > 0 and max(above.bit_length(), below.bit_length()) <= _FRACTION_BITS:
            return __import__("fractions").Fraction(above, below)
    elif name in ("timedelta", "timezone"):
        found = __import__("datetime").timedelta(*whole(content, 3))
        return found if name == "timedelta" else __import__("datetime").timezone(found)
    elif name == "zoned" and type(content) is list and len(content) == 3:
        moment, fold, zone = content
        (is_second,) = whole([fold], 1)
        zone, moment = _from_text("ZoneInfo", zone), _from_text("datetime", moment)
        return moment.replace(tzinfo=zone, fold=is_second)
    elif name == "struct_time":
        return __import__("time").struct_time(whole(content, 9))
    elif name == "array":
        return _array(content)
    elif type(content) is str and isinstance(name, str):
        return _from_text(name, content)
    raise WireError(f"a value of type {str(name)[:40]!r}")


def _from_text(name: str, content: str) -> Any:
    if type(content) is not str:
        raise WireError(f"a {name} of something else")
    if name == "Decimal" and re.fullmatch(_DECIMAL, content, re.ASCII):
        return __import__("decimal").Decimal(content)
    if name == "PosixPath":
        return __import__("pathlib").PosixPath(content)
    if name in _DATES and re.fullmatch(_DATES[name], content, re.ASCII):
        return getattr(__import__("datetime"), name).fromisoformat(content)
    module, pattern = _TEXTS.get(name, ("", ""))
    if module and re.fullmatch(pattern, content, re.ASCII):
        return getattr(__import__(module), name)(content)
    raise WireError(f"a value of type {name[:40]!r}")


def numpy_scalar(kind: Any, item: Any) -> Any:
    """A scalar of NumPy's type `kind`, of an item of the exact builtin type for it."""
    if type(kind) is not str or not re.fullmatch(ARRAY_KINDS, kind):
        raise WireError("a scalar of another type")
    found = __import__("numpy").dtype(kind)
    if type(item) not in ARRAY_ITEMS[found.kind]:
        raise WireError(f"a scalar of {kind} with something else in it")
    return found.type(item)


def _array(content: Any) -> Any:
    if type(content) is not list or len(content) != 2 or type(content[1]) is not list:
        raise WireError("malformed array")
    kind, items = content
    if type(kind) is not str or len(kind) != 1 or kind not in _ARRAY_KINDS:
        raise WireError("an array of another kind")
    if any(type(item) is not (float if kind in "fd" else int) for item in items):
        raise WireError(f"an array of {kind} with something else in it")
    return __import__("array").array(kind, items)
