"""Short texts of values for the report."""

import reprlib
from typing import Any

from verl_coder.grading.programs.proxies import Remote

_repr = reprlib.Repr()
_repr.maxlevel, _repr.maxstring, _repr.maxother, _repr.maxlong = 8, 300, 300, 300
_repr.maxlist = _repr.maxtuple = _repr.maxdict = _repr.maxset = _repr.maxfrozenset = _repr.maxdeque = 60


def show(value: Any, limit: int = 400) -> str:
    """A short text of a value."""
    if isinstance(value, Remote):
        return f"<an object of the solution's own: {value._name}>"
    try:
        text = value if isinstance(value, str) and limit > 400 else _repr.repr(value)
    except Exception:
        text = f"<{type(value).__name__}>"
    return text if len(text) <= limit else text[: limit - 4] + " ..."
