"""The folder of an evaluation: `evaluation_results.json` and `samples.parquet`, one row a sample."""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from verl_coder.report.records import KINDS, Trajectory, number, text_of, whole

RESULTS, SAMPLES = "evaluation_results.json", "samples.parquet"
_BATCH_ROWS = 256
_EVALUATION = KINDS[3]


class Estimate(NamedTuple):
    """A rate and, where it is known, its 95 % interval."""

    value: float
    low: float | None = None
    high: float | None = None


def read_results(folder: Path, notes: list[str]) -> dict[str, Any]:
    """The results as written; empty, with a note, where they are missing or broken."""
    path = folder / RESULTS
    try:
        results = json.loads(path.read_bytes())
    except FileNotFoundError:
        notes.append(f"{RESULTS} is missing: no pass@k, no settings")
        return {}
    except (OSError, ValueError, RecursionError) as error:
        notes.append(f"{RESULTS} cannot be read ({str(error)[:80]}): no pass@k, no settings")
        return {}
    if not isinstance(results, dict):
        notes.append(f"{RESULTS} is no JSON object: no pass@k, no settings")
        return {}
    return results


def pass_at_k(results: Mapping[str, Any]) -> dict[int, Estimate]:
    """k -> rate and interval, from `{"1": 0.5}`, `{"pass@1": {"value", "low", "high"}}` or `{"1": {..., "interval"}}`."""
    found: dict[int, Estimate] = {}
    table = results.get("pass_at_k")
    for name, given in table.items() if isinstance(table, Mapping) else ():
        digits = str(name).removeprefix("pass@")
        if digits.isdigit() and (estimate := _estimate(given)):
            found[int(digits)] = estimate
    return dict(sorted(found.items()))


def _estimate(given: Any) -> Estimate | None:
    if not isinstance(given, Mapping):
        value = number(given)
        return None if value is None else Estimate(value)
    values = (number(given.get(name)) for name in ("value", "estimate", "mean", "rate", "pass_at_k"))
    value = next((value for value in values if value is not None), None)
    if value is None:
        return None
    bounds = next((given[n] for n in ("interval", "ci", "ci95", "interval_95") if isinstance(given.get(n), list)), None)
    if bounds is None or len(bounds) != 2:
        bounds = [given.get("low", given.get("lower")), given.get("high", given.get("upper"))]
    return Estimate(value, number(bounds[0]), number(bounds[1]))


def wilson(share: float, count: int) -> Estimate:
    """Wilson's 95 % interval of a share of `count` problems (E. B. Wilson, 1927)."""
    if count < 1:
        return Estimate(share)
    z = 1.959964
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return Estimate(share, max(middle - half, 0.0), min(middle + half, 1.0))


def read_evaluation_samples(folder: Path, notes: list[str]) -> Iterator[Trajectory]:
    """All samples, a few hundred in memory at a time; what cannot be read is told in `notes`."""
    import pyarrow
    import pyarrow.parquet

    path = folder / SAMPLES
    if not path.is_file():
        notes.append(f"{SAMPLES} is missing: no trajectories of this evaluation")
        return
    read = 0
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            for name in sorted({"problem_id", "output"} - set(file.schema_arrow.names)):
                notes.append(f"{SAMPLES} has no column {name}")
                return
            for batch in file.iter_batches(batch_size=_BATCH_ROWS):
                for row in batch.to_pylist():
                    yield _from_row(row)
                    read += 1
    except (OSError, pyarrow.ArrowException, ValueError) as error:
        line = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        notes.append(f"{SAMPLES} cannot be read after {read} rows: {line}")


def _from_row(row: Mapping[str, Any]) -> Trajectory:
    rate = number(row.get("pass_rate"))
    passed, total = whole(row.get("passed")), whole(row.get("total"))
    facts = {
        "sample": whole(row.get("sample")),
        "tests passed": f"{passed} of {total}" if passed is not None and total is not None else None,
        "finish reason": row.get("finish_reason"),
        "prompt tokens": whole(row.get("prompt_tokens")),
        "seconds": number(row.get("seconds")),
        "tags": ", ".join(map(str, row["tags"])) if row.get("tags") is not None else None,
    }
    return Trajectory(
        kind=_EVALUATION,
        step=None,
        problem=text_of(row["problem_id"]),
        group=text_of(row["problem_id"]),
        outcome=text_of(row.get("outcome")) or "unknown",
        reward=rate,
        prompt=text_of(row.get("prompt")),
        output=text_of(row["output"]),
        source=text_of(row.get("data_source")),
        difficulty=text_of(row.get("difficulty")),
        calls=whole(row.get("tool_calls")),
        valid_calls=whole(row.get("valid_tool_calls")),
        turns=whole(row.get("turns")),
        response_tokens=whole(row.get("response_tokens")),
        facts={name: value for name, value in facts.items() if value not in (None, "")},
        code=text_of(row.get("code")) or None,
        verdicts=_verdicts(row.get("tests")),
    )


def _verdicts(text: Any) -> list[dict[str, Any]] | None:
    """The verdict by test: a JSON list of objects with index, status and texts; None where it is not that."""
    try:
        found = json.loads(text) if isinstance(text, str) and text else text
    except (ValueError, RecursionError):
        return None
    if isinstance(found, list) and all(isinstance(test, dict) for test in found):
        return found
    return None
