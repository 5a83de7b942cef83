"""The index of all trajectories: columns as typed arrays in base64, and the texts that they point to.

100,000 trajectories are a few megabytes, which is all that a page reads before it shows its list.
"""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

from verl_coder.report.chunks import IndexRow, Part

_NOTHING = -1
"""An unknown whole number in a column."""
_HIGHEST_REWARD = 1e30
_TEXTS = ("kind", "outcome", "source", "difficulty")
_NUMBERS: dict[str, type[np.signedinteger[Any]]] = {
    "step": np.int32,
    "calls": np.int16,
    "successes": np.int16,
    "turns": np.int16,
    "length": np.int32,
}


def build_index(parts: Sequence[tuple[int, Part]]) -> dict[str, Any]:
    """Parts, each with the number of its run, as the page reads them."""
    rows = [row for _, part in parts for row in part.rows]
    texts: dict[str, dict[str, int]] = {name: {} for name in _TEXTS}
    columns = {"run": _packed([run for run, part in parts for _ in part.rows], np.uint8)}
    for name in _TEXTS:
        table = texts[name]
        codes = [table.setdefault(getattr(row, name), len(table)) for row in rows]
        columns[name] = _packed(codes, np.uint32)
    for name, kind in _NUMBERS.items():
        columns[name] = _packed(_bounded([getattr(row, name) for row in rows], kind), kind)
    rewards = [np.nan if row.reward is None else row.reward for row in rows]
    columns["reward"] = _packed(list(np.clip(rewards, -_HIGHEST_REWARD, _HIGHEST_REWARD)), np.float32)
    problems, codes = _problems(rows)
    columns["problem"] = _packed(codes, np.uint32)
    columns["group"] = _packed(_groups(parts), np.uint32)
    return {
        "rows": len(rows),
        "chunks": [chunk for _, part in parts for chunk in part.chunks],
        "texts": {name: list(table) for name, table in texts.items()},
        "problems": problems,
        "columns": columns,
    }


def _problems(rows: Sequence[IndexRow]) -> tuple[list[list[str]], list[int]]:
    """Each problem once as [id, title], the title empty where it is the id; and the problem of each row."""
    table: dict[str, int] = {}
    named: list[list[str]] = []
    codes = []
    for row in rows:
        if row.problem not in table:
            table[row.problem] = len(named)
            named.append([row.problem, "" if row.title == row.problem else row.title])
        codes.append(table[row.problem])
    return named, codes


def _groups(parts: Sequence[tuple[int, Part]]) -> list[int]:
    """A number per group: what answers to one prompt in one step of one run."""
    table: dict[tuple[int, int | None, str, str], int] = {}
    return [
        table.setdefault(
            (run, row.step, "training" if row.kind == "training" else "held-out", row.group), len(table)
        )
        for run, part in parts
        for row in part.rows
    ]


def _bounded(values: Sequence[int | None], kind: type[np.signedinteger[Any]]) -> list[int]:
    highest = int(np.iinfo(kind).max)
    return [_NOTHING if value is None else max(min(value, highest), _NOTHING) for value in values]


def _packed(values: Sequence[Any], kind: type[Any]) -> str:
    """`u1:<base64>`: kind and bytes, little-endian."""
    array = np.asarray(values, dtype=np.dtype(kind).newbyteorder("<"))
    return f"{array.dtype.kind}{array.dtype.itemsize}:{base64.b64encode(array.tobytes()).decode()}"
