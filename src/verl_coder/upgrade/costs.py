"""The notes: what each area of foreign names is for, and what moving it would cost."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import yaml
from pydantic import ValidationError

from verl_coder.errors import ConfigError
from verl_coder.sections import Section
from verl_coder.upgrade.contract import Contract

COSTS = Path(__file__).parent / "costs.yaml"


class Cost(Section):
    """The note on one area."""

    size: Literal["small", "medium", "large"]
    what_for: str
    to_move: str


def read_costs(path: Path = COSTS) -> dict[str, Cost]:
    """Area (a prefix of foreign names) -> its note. ConfigError where the file is wrong."""
    try:
        return {area: Cost(**note) for area, note in yaml.safe_load(path.read_text()).items()}
    except (ValidationError, TypeError, AttributeError) as error:
        raise ConfigError(f"{path}: {error}") from error


def cost_of(name: str, costs: Mapping[str, Cost]) -> tuple[str, Cost | None]:
    """(area, its note) of the longest area that the name is in."""
    areas = [area for area in costs if name == area or name.startswith((f"{area}.", f"{area}:"))]
    area = max(areas, key=len, default="")
    return area or name.partition(".")[0].partition(":")[0], costs.get(area)


def missing_notes(names: Sequence[str], costs: Mapping[str, Cost]) -> tuple[list[str], list[str]]:
    """(names in no area, areas that no name is in)."""
    used = {cost_of(name, costs)[0] for name in names}
    return [name for name in names if cost_of(name, costs)[1] is None], sorted(set(costs) - used)


def cost_table(contracts: Mapping[str, Contract], costs: Mapping[str, Cost]) -> str:
    """The areas with their number of names, as Markdown."""
    names = [name for contract in contracts.values() for name in contract.names]
    counts = {area: sum(cost_of(name, costs)[0] == area for name in names) for area in costs}
    lines = ["| area | names | what for | to move it | size |", "| --- | --- | --- | --- | --- |"]
    for area, note in costs.items():
        what_for, to_move = (" ".join(text.split()) for text in (note.what_for, note.to_move))
        lines.append(f"| `{area}` | {counts[area]} | {what_for} | {to_move} | {note.size} |")
    return "\n".join(lines) + "\n"
