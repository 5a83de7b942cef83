"""Subclasses of foreign classes: what they override, and what they use of their base.

A mixin may reach its foreign base only in the class that joins the two, so each class is read as a part of every
class that is built on it.
"""

from collections.abc import Iterator, Mapping

from verl_coder.upgrade.foreign import Foreign
from verl_coder.upgrade.own_source import OwnClass
from verl_coder.upgrade.packages import package_of
from verl_coder.upgrade.touch import Touch


def class_touches(classes: Mapping[str, OwnClass], foreign: Foreign) -> Iterator[Touch]:
    """Touches of all our classes that have a foreign base, or are mixed into one that has."""
    joined: dict[str, list[str]] = {name: [] for name in classes}
    declared: dict[str, set[str]] = {name: set() for name in classes}
    for name in classes:
        line = _line(name, classes)
        bases = [base for own in line for base in classes[own].bases if package_of(base)]
        words = {word for own in line for word in (*classes[own].methods, *classes[own].values)}
        for own in line:
            joined[own] += [base for base in bases if base not in joined[own]]
            declared[own] |= words
    for name, cls in classes.items():
        for base in cls.bases:
            if package_of(base):
                yield Touch(name=base, kind="subclass", file=cls.file, line=cls.line, ours=_short(name))
        near = [base for own in _line(name, classes) for base in classes[own].bases if package_of(base)]
        bases = list(dict.fromkeys([*near, *joined[name]]))
        yield from _members(cls, bases, declared[name], foreign)


def _line(name: str, classes: Mapping[str, OwnClass]) -> list[str]:
    """The class and those of ours that it is built on."""
    line, waiting = [], [name]
    while waiting:
        one = waiting.pop(0)
        if one in classes and one not in line:
            line.append(one)
            waiting += classes[one].bases
    return line


def _members(cls: OwnClass, bases: list[str], declared: set[str], foreign: Foreign) -> Iterator[Touch]:
    home = {}
    words = {*cls.methods, *(use.name for use in cls.uses)}
    for word in words:
        if word.startswith("__") and word != "__init__":
            continue
        home[word] = next((base for base in bases if _has(foreign, base, word)), "")
    for method, node in cls.methods.items():
        if home.get(method):
            yield Touch(
                name=f"{home[method]}.{method}",
                kind="override",
                file=cls.file,
                line=node.lineno,
                ours=f"{_short(cls.name)}.{method}",
                replaces=not cls.goes_on(method),
            )
    for use in cls.uses:
        base = home.get(use.name, "")
        if base and use.name not in declared and not use.stored:
            ours = f"{_short(cls.name)}.{use.method}"
            yield Touch(name=f"{base}.{use.name}", kind="inherited", file=cls.file, line=use.line, ours=ours)
            if use.further:
                word = f"{package_of(base)}:name:{use.further}"
                yield Touch(name=word, kind="word", file=cls.file, line=use.line, ours=ours)


def _has(foreign: Foreign, base: str, word: str) -> bool:
    found = foreign.find(base)
    return found is not None and found.kind == "class" and foreign.member(found, word) is not None


def _short(name: str) -> str:
    return name.rpartition(".")[2]
