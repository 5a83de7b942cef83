"""What the reply of a long-lived program may look like: the program itself may have written it."""

import json
from typing import Any, NamedTuple

_MAX_NUMBER = 1 << 53


class _Maybe(NamedTuple):
    """A field that may be missing or null."""

    shape: Any


class _Each(NamedTuple):
    """An object of any keys, or a list, whose values have one shape."""

    kind: type[Any]
    shape: Any


_ERROR = {"ename": str, "evalue": str, "traceback": _Maybe(_Each(list, str))}
_BREAKPOINT = {"number": int, "line": int, "condition": _Maybe(str), "hits": int}
_STATE = {
    "event": str,
    "return_code": _Maybe(int),
    "breakpoints": _Each(list, _BREAKPOINT),
    "file": _Maybe(str),
    "line": _Maybe(int),
    "function": _Maybe(str),
    "source": _Each(list, {"line": int, "text": str, "current": bool}),
    "locals": _Each(dict, str),
    "stack": _Each(list, {"function": str, "file": str, "line": int, "selected": bool}),
    "frames": _Maybe(int),
    "returning": _Maybe(str),
}
_SHAPES: dict[str, dict[str, Any]] = {
    "python": {
        "result": _Maybe(str),
        "error": _Maybe(_ERROR),
        "display": _Maybe(_Each(list, _Each(dict, str))),
    },
    "debugger": {
        "state": _STATE,
        "error": _Maybe(_ERROR),
        "value": _Maybe(str),
        "command_error": _Maybe(str),
        "dropped_breakpoints": _Maybe(_Each(list, int)),
        "note": _Maybe(str),
    },
}


def read_reply(line: bytes, kind: str) -> dict[str, Any]:
    """The reply of a session of this kind; ValueError for anything that no session of ours sends."""
    try:
        value = json.loads(line)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not _fits(value, _SHAPES[kind]):
        raise ValueError(f"no reply of a {kind} session")
    return value


def _fits(value: Any, shape: Any) -> bool:
    if isinstance(shape, _Maybe):
        return value is None or _fits(value, shape.shape)
    if isinstance(shape, _Each):
        if not isinstance(value, shape.kind):
            return False
        return all(_fits(each, shape.shape) for each in (value.values() if shape.kind is dict else value))
    if isinstance(shape, dict):
        return (
            isinstance(value, dict)
            and value.keys() <= shape.keys()
            and all(_fits(value.get(key), inner) for key, inner in shape.items())
        )
    # A number that is too long could not even be written as text again.
    return type(value) is shape and (shape is not int or abs(value) <= _MAX_NUMBER)
