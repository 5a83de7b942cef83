"""In the judge: functions of the library that look into objects, for what stands for objects of the solution."""

import sys
import types
from typing import Any

from verl_coder.grading.programs.failures import TEST_FILES
from verl_coder.grading.programs.proxies import Remote, stand_in

INSPECTED = (
    "isabstract", "isasyncgenfunction", "isclass", "iscoroutinefunction", "isfunction", "isgenerator",
    "isgeneratorfunction", "ismethod", "isroutine",
)  # fmt: skip
_DATACLASSES = ("asdict", "astuple", "is_dataclass", "fields", "replace")


def look_through_stand_ins(text: str) -> None:
    """Let tests of this `text` ask `dataclasses` and `inspect` about what the solution made."""
    if "dataclass" in text:
        import dataclasses

        for name in _DATACLASSES:
            setattr(dataclasses, name, _seen_through(name, getattr(dataclasses, name)))
    if "inspect" in text:
        import inspect

        for name in INSPECTED:
            setattr(inspect, name, _seen_through(name, getattr(inspect, name)))


def _seen_through(name: str, plain: Any) -> Any:
    def look(thing: Any, *args: Any, **kwargs: Any) -> Any:
        # Libraries, and pytest when it collects, see a stand-in as what it is.
        by_the_tests = sys._getframe(1).f_code.co_filename in TEST_FILES
        remote = stand_in(thing) if by_the_tests else None
        return plain(thing, *args, **kwargs) if remote is None else _asked(name, remote, kwargs)

    return look


def _asked(name: str, remote: Remote, changes: dict[str, Any]) -> Any:
    if name == "replace":
        return remote._judge_do("replace", tuple(changes.items()), make=remote._judge_made)
    if name == "fields":
        return tuple(types.SimpleNamespace(name=str(field)) for field in remote._judge_do("fields"))
    if name in ("asdict", "astuple"):
        return remote._judge_do(name)
    return bool(remote._judge_do("inspected", name))
