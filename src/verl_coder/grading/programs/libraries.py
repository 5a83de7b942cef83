"""Libraries in the judge: what tests use without importing it, and what of them a solution may name."""

import importlib
import sys
from typing import Any

from verl_coder.grading.programs.failures import Unsplittable
from verl_coder.grading.programs.wire import (
    PURE_LIBRARIES,
    PURE_NAMES,
    SHARED_MODULES,
    builtin_exception,
    library_exception,
)


def find_library(home: str) -> Any:
    """`numpy` is the module, `math.isclose` the function; a module is imported where it is not yet."""
    module, _, name = home.partition(":")
    found = importlib.import_module(module)
    if module == "numpy":
        from verl_coder.grading.programs.guards import guard_numpy

        guard_numpy(found)
    return getattr(found, name) if name else found


def known_exception(name: Any) -> type[Exception] | None:
    """The exception of the builtins or of a listed module."""
    return builtin_exception(name) or library_exception(name)


def public_part(library: Any, name: str) -> Any:
    """A class or function of the library's own."""
    found = getattr(library, name, None)
    home = library.__name__
    pure = home in PURE_LIBRARIES or f"{home}:{name}" in PURE_NAMES
    if not pure or name.startswith("_") or not callable(found):
        raise Unsplittable(f"the tests use {library.__name__}.{name[:40]} of the solution")
    return found


def shared_library(name: Any) -> Any:
    """A module of the standard library, the judge's own copy; only one in which nothing can be abused."""
    if name not in SHARED_MODULES:
        raise Unsplittable(f"the tests use the module {name!r} of the solution")
    __import__(name)
    return sys.modules[name]
