"""What a mix reads: the files of its datasets, the held-out files, and their rows, which others may have written."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from verl_coder.data.duplicates import Statement
from verl_coder.data.out_folder import OutFolder
from verl_coder.data.prepared import iter_rows, resolve_prepared
from verl_coder.data.writer import whole_shards_of
from verl_coder.errors import DataError
from verl_coder.problems import ROW_SCHEMA, Problem
from verl_coder.prompts import question_of
from verl_coder.words import nearest

HELD_OUT = ("mbpp", "humaneval", "livecodebench")
"""Datasets whose test split a mix is compared with, where it has been prepared."""

MIXED_SPLITS = ("validation", "train")
REPORT = "overlaps.jsonl"
"""The pairs that repeat each other."""
_LIGHT_COLUMNS = (
    "prompt",
    *(f"extra_info.{name}" for name in ("problem_id", "group", "reference_solution")),
)


_OUR_COLUMNS = [
    f"{column.name}.{field.name}" if isinstance(column.type, pa.StructType) else column.name
    for column in ROW_SCHEMA
    for field in (column.type if isinstance(column.type, pa.StructType) else [column])
]


@dataclass(frozen=True, kw_only=True)
class MixInput:
    """One prepared file and the fraction of its rows to take; `name` is its dataset's folder."""

    name: str
    path: Path
    share: float


def check_places(shares: Mapping[str, float], data: Path, out: Path) -> OutFolder:
    """Every dataset is there, and `out` holds no rows but those of an earlier mix, which this one replaces.

    Its card tells; DataError or ConfigError names what is wrong.
    """
    for name in shares:
        folder = data / name
        if not folder.is_dir():
            close = nearest(name, [path.name for path in data.glob("*/")])
            raise DataError(
                f"{folder} does not exist; "
                + (
                    f"did you mean {close}?"
                    if close
                    else f"prepare it first: verl-coder data prepare {name} --out {folder} (--data: where it is)"
                )
            )
        if out.resolve() == folder.resolve():
            raise DataError(
                f"--out {out} is the folder of {name}, whose rows the mix would replace: name another folder"
            )
    place = OutFolder(path=out, card={"mix": dict(shares)}, is_own=lambda card: "mix" in card)
    place.check()
    return place


def input_files(shares: Mapping[str, float], data: Path) -> dict[str, list[MixInput]]:
    """By split, the files to mix; DataError where no dataset has any."""
    found = {
        split: [
            MixInput(name=name, path=path, share=share)
            for name, share in shares.items()
            for path in whole_shards_of(data / name / f"{split}.parquet")
        ]
        for split in MIXED_SPLITS
    }
    if not any(found.values()):
        raise DataError(f"{data}: none of {', '.join(shares)} has a train or validation file")
    return found


def held_out_files(shares: Mapping[str, float], data: Path, against: Sequence[Path]) -> list[Path]:
    """The files that a mix is compared with: those named, else the test splits that are prepared."""
    if against:
        return [file for path in against for file in resolve_prepared(path)]
    names = dict.fromkeys((*HELD_OUT, *shares))
    return [file for name in names for file in whole_shards_of(data / name / "test.parquet")]


def statements(path: Path) -> Iterator[Statement]:
    """What the rows of a file are compared by; DataError at the place of a row that has no id or no prompt."""
    for number, row in enumerate(iter_rows(path, columns=_LIGHT_COLUMNS)):
        info = row.get("extra_info") or {}
        problem_id, prompt = info.get("problem_id"), row.get("prompt")
        if not isinstance(problem_id, str) or not problem_id:
            raise DataError(f"{path}, row {number}: extra_info.problem_id is {problem_id!r}; give it a text")
        try:
            text = question_of(prompt or ())
        except (KeyError, TypeError, AttributeError):
            text = ""
        if not text:
            raise DataError(
                f"{path}, row {number}: prompt is {str(prompt)[:80]}; give it a message of the user"
            )
        yield Statement(
            key=problem_id,
            text=text,
            group=info.get("group") or problem_id,
            reference=info.get("reference_solution") or "",
        )


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file as `prepare` writes them, without what others added; DataError where one is no row."""
    for number, row in enumerate(iter_rows(path, columns=_OUR_COLUMNS)):
        truth, info = (row.get("reward_model") or {}).get("ground_truth"), row.get("extra_info") or {}
        if (
            isinstance(truth, str)
            and isinstance(info.get("reference_solution"), str)
            and info.get("problem_id")
        ):
            yield row
            continue
        try:
            yield Problem.from_row(row).to_row()
        except DataError as error:
            raise DataError(f"{path}, row {number}: {error}") from error
