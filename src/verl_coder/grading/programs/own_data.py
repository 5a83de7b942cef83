"""Plain data of the judge's own with an object of the solution behind it: named tuples, numbers with methods, paths."""

from typing import Any

from verl_coder.grading.programs.frames import WireError


class OwnData:
    """Plain data of the judge's own, of a type that the solution derived from a builtin: `f().x` of a named tuple.

    Whatever the builtin can do is done on the data; the solution is asked only for what the builtin lacks.
    """

    _judge_stand_in: Any

    def __getattr__(self, name: str) -> Any:
        if name == "_judge_stand_in":
            raise AttributeError(name)
        return getattr(self._judge_stand_in, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if "_judge_stand_in" in self.__dict__:
            setattr(self._judge_stand_in, name, value)
        else:
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        return repr(self._judge_stand_in)

    def __str__(self) -> str:
        return str(self._judge_stand_in)


_OWN_TYPES: dict[tuple[type, int], Any] = {}
"""By builtin type and class of the solution, which gives the name."""


def _file_methods(path: type) -> dict[str, Any]:
    """What a path does with files is done where the solution's files are."""
    files = {name for name in dir(path) if name not in dir(path.__mro__[2]) and not name.startswith("_")}
    return {
        name: lambda self, *args, _file=name: getattr(self._judge_stand_in, _file)(*args) for name in files
    }


def own_data(plain: Any, remote: Any) -> Any:
    """The plain value, with `remote` behind it; WireError where it is of no immutable builtin type."""
    kind = type(plain)
    is_path = kind.__module__ == "pathlib"
    if not is_path and kind not in (int, float, str, bytes, tuple, frozenset):
        raise WireError(f"a {kind.__name__} with a handle")
    key = (kind, remote._judge_kind)
    if key not in _OWN_TYPES:
        _OWN_TYPES[key] = type(
            remote._judge_name[:60], (OwnData, kind), _file_methods(kind) if is_path else {}
        )
    value = _OWN_TYPES[key](plain)
    object.__setattr__(value, "_judge_stand_in", remote)
    return value
