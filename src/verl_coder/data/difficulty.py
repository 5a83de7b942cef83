"""Difficulty of a problem: from its dataset's own word, or from the pass rate of a model in an evaluation file."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from verl_coder.errors import DataError
from verl_coder.problems import Difficulty

_WORDS: dict[str, Difficulty] = {
    **dict.fromkeys(("introductory", "easy"), "easy"),
    **dict.fromkeys(("interview", "medium"), "medium"),
    **dict.fromkeys(("competition", "hard"), "hard"),
}
_EASY_FROM = 2 / 3
_MEDIUM_FROM = 1 / 3
_RATE_COLUMNS = ("acc", "pass_rate", "passed")
"""The first that a row has: in a row of a sample `pass_rate` is the share of its tests, and `acc` is its verdict."""
_NEEDED = ("problem_id", "outcome", "sandbox_unavailable", *_RATE_COLUMNS)


def normalise_difficulty(label: str) -> Difficulty:
    """easy, medium or hard across datasets; `unknown` for any other word."""
    return _WORDS.get(label.strip().lower(), "unknown")


def measured_difficulty(pass_rate: float) -> Difficulty:
    """Thirds of the pass rate."""
    return "easy" if pass_rate >= _EASY_FROM else "medium" if pass_rate >= _MEDIUM_FROM else "hard"


def read_pass_rates(path: Path) -> dict[str, float]:
    """Mean over the rows of each `problem_id` of `acc`, `pass_rate` or `passed`; JSON lines or Parquet.

    So one row a problem and one row a sample are both fine. Of a sample its verdict counts, where the row has one: the
    `outcome` of an evaluation, `acc` of a run's rollouts; one that the sandbox gave no verdict of does not count.
    DataError names the row that lacks a column or whose rate is outside [0, 1].
    """
    sums: dict[str, float] = defaultdict(float)
    counts: dict[str, int] = defaultdict(int)
    for place, row in _rows(path):
        if row.get("sandbox_unavailable"):
            continue
        if isinstance(row.get("outcome"), str):
            row = {**row, "acc": row["outcome"] == "passed"}
        column = next((name for name in _RATE_COLUMNS if row.get(name) is not None), None)
        if not isinstance(row.get("problem_id"), str) or column is None:
            raise DataError(
                f"{place}: needs a text problem_id and one of {', '.join(_RATE_COLUMNS)}; has {', '.join(row)}"
            )
        try:
            rate = float(row[column])
        except (TypeError, ValueError) as error:
            raise DataError(f"{place}: {column} is {row[column]!r}; it must be a number") from error
        if not 0 <= rate <= 1:
            raise DataError(f"{place}: {column} is {rate}; it must lie between 0 and 1")
        sums[row["problem_id"]] += rate
        counts[row["problem_id"]] += 1
    if not sums:
        raise DataError(f"{path} holds no pass rates")
    return {problem_id: round(total / counts[problem_id], 6) for problem_id, total in sums.items()}


def _of_parquet(path: Path) -> Iterator[dict[str, Any]]:
    """Its rows, a thousand at a time; of columns that say nothing of a rate, whose texts are long, only the names."""
    with pq.ParquetFile(path) as file:
        names = file.schema_arrow.names
        needed = [name for name in names if name in _NEEDED]
        for batch in file.iter_batches(batch_size=1000, columns=needed):
            for row in batch.to_pylist():
                yield dict.fromkeys(names) | row


def _rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        if path.suffix == ".parquet":
            for number, row in enumerate(_of_parquet(path)):
                yield f"{path.name}[{number}]", row
            return
        with path.open("rb") as stream:  # whose lines end with \n alone
            for number, line in enumerate(stream, 1):
                if not line.strip():
                    continue
                try:
                    row = json.loads(line)
                except ValueError as error:
                    raise DataError(f"{path.name}:{number}: not JSON ({error})") from error
                if not isinstance(row, dict):
                    raise DataError(f"{path.name}:{number}: not a JSON object")
                yield f"{path.name}:{number}", row
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"cannot read pass rates from {path}: {error}") from error
