"""A recorded contract beside a version of the package: each break with the place of ours that it concerns."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from verl_coder.upgrade.contract import NOT_FOUND, Contract, Fact, take_facts
from verl_coder.upgrade.costs import Cost, cost_of
from verl_coder.upgrade.foreign import Foreign
from verl_coder.upgrade.packages import package_of
from verl_coder.upgrade.parameters import call_problems
from verl_coder.upgrade.touch import Touch


@dataclass(frozen=True, kw_only=True)
class Break:
    """One thing that does not hold any more."""

    name: str
    what: str
    """What was and what is."""
    places: tuple[str, ...]
    """`file:line` of ours."""
    size: str
    """What moving it costs: small, medium or large; "" where no note speaks of it."""
    area: str

    def line(self) -> str:
        """One line for a terminal."""
        places = ", ".join(self.places[:3]) + (
            f" and {len(self.places) - 3} more" if len(self.places) > 3 else ""
        )
        return f"{self.name}: {self.what}; used at {places} [{self.area}: {self.size or 'no note'}]"


def breaks(
    was: Contract, touches: Sequence[Touch], foreign: Foreign, root: Path, costs: Mapping[str, Cost]
) -> list[Break]:
    """All breaks of one package, in the order of names."""
    by_name: dict[str, list[Touch]] = {}
    for touch in touches:
        if package_of(touch.name) == was.package:
            by_name.setdefault(touch.name, []).append(touch)
    kinds = {
        name: _kinds(fact) | {one.kind for one in by_name.get(name, ())} for name, fact in was.names.items()
    }
    now = take_facts(kinds, by_name, foreign)
    gone_classes = {
        name for name in was.names if now[name]["is"] == NOT_FOUND and was.names[name]["is"] != NOT_FOUND
    }
    found = []
    for name, before in sorted(was.names.items()):
        places = _places(name, before, by_name.get(name, ()), root)
        if not places or any(name.startswith(f"{other}.") for other in gone_classes):
            continue
        for what in _differences(before, now[name], by_name.get(name, ())):
            if now[name]["is"] == NOT_FOUND:
                what += _new_home(name, [one for one in was.names if one.startswith(f"{name}.")], foreign)
            area, cost = cost_of(name, costs)
            found.append(
                Break(name=name, what=what, places=tuple(places), size=cost.size if cost else "", area=area)
            )
    return found


def unrecorded(was: Contract, now: Contract) -> list[str]:
    """Names in which the record of this very version differs from the source: they were touched since."""
    return sorted(
        name for name in was.names.keys() | now.names.keys() if was.names.get(name) != now.names.get(name)
    )


def _kinds(fact: Fact) -> set[str]:
    kinds = {str(one).partition(" ")[0] for one in fact.get("by", ())}
    return kinds | ({"body"} if "body" in fact else set())


def _places(name: str, fact: Fact, touches: Sequence[Touch], root: Path) -> list[str]:
    """Where we use it: the touches that were found, else the lines of the recorded files that have the word."""
    if touches:
        return list(dict.fromkeys(f"{one.file}:{one.line}" for one in touches))
    word = name.rpartition(":")[2].rpartition(".")[2]
    places = []
    for file in dict.fromkeys(str(one).partition(" ")[2] for one in fact.get("by", ())):
        if (root / file).is_file():
            lines = (root / file).read_text().splitlines()
            places += [f"{file}:{at}" for at, line in enumerate(lines, 1) if word in line][:1]
    return places


def _differences(was: Fact, now: Fact, touches: Sequence[Touch]) -> Iterator[str]:
    if was["is"] == NOT_FOUND:
        return
    if now["is"] == NOT_FOUND:
        yield f"was a {was['is']}, is gone"
        return
    if was["is"] != now["is"]:
        yield f"was a {was['is']}, is a {now['is']}"
        return
    kinds = _kinds(was)
    before, after = was.get("takes"), now.get("takes")
    if before != after and kinds & {"override", "patch"}:
        yield f"its parameters were ({_words(before)}), are ({_words(after)})"
    elif "call" in kinds and after is not None:
        yield from _calls(before, after, touches)
    if was.get("bases") != now.get("bases"):
        yield f"its base classes were ({_words(was.get('bases'))}), are ({_words(now.get('bases'))})"
    if was.get("body") != now.get("body") and "body" in was:
        ours = "ours takes its place" if kinds & {"patch", "override"} else "ours depends on it"
        yield f"its body has changed (was {was['body']}, is {now.get('body')}), and {ours}: carry the change over"


def _calls(before: Sequence[str] | None, after: Sequence[str], touches: Sequence[Touch]) -> Iterator[str]:
    told: set[str] = set()
    for touch in touches:
        if touch.kind == "call":
            now = _problems(after, touch)
            known = _problems(before, touch) if before is not None else []
            told |= {one for one in now if one not in known}
    for one in sorted(told):
        yield f"{one} any more" if one.startswith("takes no") else one


def _problems(takes: Sequence[str], touch: Touch) -> list[str]:
    # A method that is called by its class is given `self`, or is bound by a decorator that the source hides.
    plain = takes[1:] if takes and takes[0] == "self" else takes
    return call_problems(plain, touch.positional, touch.keywords, open_ended=touch.open_ended)


def _new_home(name: str, members: Sequence[str], foreign: Foreign) -> str:
    """Where a name that is gone is defined now, or what we use of it, as far as the last part of a name tells."""
    package = package_of(name)
    if ":" in name or package is None:
        return ""
    names = dict.fromkeys(one.rpartition(".")[2] for one in [name, *sorted(members)])
    homes = next(filter(None, (foreign.homes(package, one) for one in names)), [])
    return f" (a name like it stands in {', '.join(homes)})" if homes else ""


def _words(words: Sequence[str] | None) -> str:
    return ", ".join(words) if words is not None else "unknown"
