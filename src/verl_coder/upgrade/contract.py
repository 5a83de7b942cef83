"""What we rely on of each foreign name, recorded for a version, and what of it another version breaks."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verl_coder.errors import ConfigError
from verl_coder.files import write_atomically
from verl_coder.upgrade.config_tree import ConfigTree
from verl_coder.upgrade.foreign import Foreign
from verl_coder.upgrade.packages import PACKAGES, package_of
from verl_coder.upgrade.touch import Touch

CONTRACTS = Path(__file__).parent / "contracts"
NOT_FOUND = "not found"
Fact = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Contract:
    """One package at one version: name -> what it is, what it takes, its body, and who touches it how."""

    package: str
    version: str
    names: dict[str, Fact]


def take_contracts(
    touches: Sequence[Touch], foreign: Foreign, versions: Mapping[str, str]
) -> dict[str, Contract]:
    """The present contract of each package in `versions`."""
    by_name: dict[str, list[Touch]] = {}
    for touch in touches:
        if package_of(touch.name) in versions:
            by_name.setdefault(touch.name, []).append(touch)
    facts = take_facts({name: {one.kind for one in its} for name, its in by_name.items()}, by_name, foreign)
    contracts = {name: Contract(package=name, version=its, names={}) for name, its in versions.items()}
    for name, fact in sorted(facts.items()):
        if fact["is"] == NOT_FOUND and ":config:" in name:
            continue  # a text or a chain that looks like a key of verl's
        users = sorted({f"{one.kind} {one.file}" for one in by_name[name]})
        contracts[str(package_of(name))].names[name] = fact | {"by": users}
    return contracts


def take_facts(
    kinds: Mapping[str, set[str]], touches: Mapping[str, Sequence[Touch]], foreign: Foreign
) -> dict[str, Fact]:
    """What each name is now; `kinds` says how it is touched, and so what is looked at."""
    words: dict[str, set[str]] = {}
    for name in kinds:
        if ":" in name and ":config:" not in name:
            words.setdefault(name.partition(":")[0], set()).add(name.rpartition(":")[2])
    there = {package: foreign.has_word(package, its) for package, its in words.items()}
    tree = ConfigTree(foreign)
    facts: dict[str, Fact] = {}
    for name, its in kinds.items():
        if ":config:" in name:
            facts[name] = {"is": tree.kind(name.rpartition(":")[2]) or NOT_FOUND}
        elif ":" in name:
            package, _, word = name.partition(":")
            facts[name] = {"is": "word" if word.rpartition(":")[2] in there[package] else NOT_FOUND}
        else:
            facts[name] = _fact(name, its, touches.get(name, ()), foreign)
    return facts


def _fact(name: str, kinds: set[str], touches: Sequence[Touch], foreign: Foreign) -> Fact:
    found = foreign.find(name)
    if found is None:
        return {"is": NOT_FOUND}
    fact: Fact = {"is": found.kind}
    if kinds & {"call", "override", "patch"}:
        takes = foreign.takes(found)
        if takes is not None:
            fact["takes"] = takes
    if "subclass" in kinds and found.kind == "class":
        fact["bases"] = foreign.bases(found)
    if "patch" in kinds or "body" in kinds or any(touch.replaces for touch in touches):
        body = foreign.body(found)
        if body is not None:
            fact["body"] = body
    return fact


# ---- files ----------------------------------------------------------------------------------------


def write_contract(contract: Contract, folder: Path = CONTRACTS) -> Path:
    """One line for each name, so that a diff says what has changed."""
    path = folder / f"{contract.package}-{contract.version}.json"
    lines = [f" {json.dumps(name)}: {json.dumps(fact)}" for name, fact in sorted(contract.names.items())]
    write_atomically(path, "{\n" + ",\n".join(lines) + "\n}\n")
    return path


def read_contract(package: str, version: str | None, folder: Path = CONTRACTS) -> Contract | None:
    """The record of this version, else the newest there is; None where the package has none."""
    paths = sorted(folder.glob(f"{package}-*.json"), key=_version_key)
    if not paths:
        return None
    same = [path for path in paths if path.stem == f"{package}-{version}"]
    path = (same or paths)[-1]
    try:
        names = json.loads(path.read_text())
    except ValueError as error:
        raise ConfigError(
            f"{path} is no JSON ({error}): restore it, or `verl-coder upgrade record`"
        ) from error
    return Contract(package=package, version=path.stem.removeprefix(f"{package}-"), names=names)


def recorded_packages(folder: Path = CONTRACTS) -> list[str]:
    """Packages that have a record."""
    return [package for package in PACKAGES if any(folder.glob(f"{package}-*.json"))]


def _version_key(path: Path) -> list[tuple[int, str]]:
    version = path.stem.rpartition("-")[2]
    return [(int(part), "") if part.isdigit() else (-1, part) for part in version.split(".")]
