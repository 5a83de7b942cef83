"""The folder of an evaluation: `evaluation_results.json` and `samples.parquet`, one row a sample.

While an evaluation goes on its samples stand in `samples.jsonl`; that file is read where there is no other.
"""

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from verl_coder.evaluation.folder import JOURNAL, RESULTS, SAMPLES, SETTINGS
from verl_coder.report.records import KINDS, TrajectoryRecord, not_yet, number, text_of, whole
from verl_coder.words import counted

MAX_GROUPS = 60
"""Rows of a table by tag, the largest first."""
_MAX_CHARS = 200_000
_BATCH_ROWS = 256
_EVALUATION = KINDS[3]


def _settings_so_far(folder: Path) -> dict[str, Any]:
    """Of an evaluation that goes on, what it was asked for."""
    try:
        return {"settings": json.loads((folder / SETTINGS).read_bytes())}
    except (OSError, ValueError, RecursionError):
        return {}


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
        goes_on = samples_file(folder).name == JOURNAL
        notes.append(not_yet(RESULTS, "no pass@k") if goes_on else f"{RESULTS} is missing: no pass@k")
        return _settings_so_far(folder)
    except (OSError, ValueError, RecursionError) as error:
        notes.append(f"{RESULTS} cannot be read ({str(error)[:80]}): no pass@k, no settings")
        return {}
    if not isinstance(results, dict):
        notes.append(f"{RESULTS} is no JSON object: no pass@k, no settings")
        return {}
    return results


def other_results(results: Mapping[str, Any], notes: list[str]) -> dict[str, Any]:
    """What stands there beside the settings, pass@k and its groups; of much, its plain values, with a note."""
    rest = {
        name: value
        for name, value in results.items()
        if name != "settings" and not name.startswith(("by_", "pass_at_k"))
    }
    if len(json.dumps(rest, default=str)) > _MAX_CHARS:
        rest = {name: value for name, value in rest.items() if not isinstance(value, dict | list)}
        notes.append(f"{RESULTS} is long: only its plain values are shown")
    return rest


def pass_at_k(scores: Mapping[str, Any]) -> dict[int, Estimate]:
    """k -> rate and interval, from `pass_at_k` (k -> rate) and `pass_at_k_interval` (k -> [low, high] or null)."""
    found: dict[int, Estimate] = {}
    rates, intervals = scores.get("pass_at_k"), scores.get("pass_at_k_interval")
    for name, given in rates.items() if isinstance(rates, Mapping) else ():
        bounds = intervals.get(name) if isinstance(intervals, Mapping) else None
        low, high = bounds if isinstance(bounds, list) and len(bounds) == 2 else (None, None)
        rate = number(given)
        if str(name).isdecimal() and rate is not None:
            found[int(name)] = Estimate(rate, number(low), number(high))
    return dict(sorted(found.items()))


def score_groups(results: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """dataset, difficulty or tag -> a row per value: name, problems, and pass@k with intervals."""
    found: dict[str, list[dict[str, Any]]] = {}
    for by in ("dataset", "difficulty", "tag"):
        table = results.get(f"by_{by}")
        rows: list[dict[str, Any]] = [
            {
                "name": str(name)[:60],
                "problems": whole(scores.get("num_tasks")),
                "pass_at_k": {str(k): estimate._asdict() for k, estimate in pass_at_k(scores).items()},
            }
            for name, scores in (table.items() if isinstance(table, Mapping) else ())
            if isinstance(scores, Mapping)
        ]
        if rows:
            # Difficulties stand in their own order, what there may be hundreds of by its size.
            largest = by != "difficulty"
            found[by] = sorted(rows, key=lambda row: -(row["problems"] or 0) if largest else 0)[:MAX_GROUPS]
    return found


def wilson(share: float, count: int) -> Estimate:
    """Wilson's 95 % interval of a share of `count` problems (E. B. Wilson, 1927)."""
    if count < 1:
        return Estimate(share)
    z = 1.959964
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return Estimate(share, max(middle - half, 0.0), min(middle + half, 1.0))


def samples_file(folder: Path) -> Path:
    """The file that holds the samples now."""
    journal = folder / JOURNAL
    return journal if journal.is_file() and not (folder / SAMPLES).is_file() else folder / SAMPLES


def read_evaluation_samples(path: Path, notes: list[str]) -> Iterator[TrajectoryRecord]:
    """All samples of either file; what cannot be read is told in `notes`."""
    if not path.is_file():
        notes.append(f"{SAMPLES} is missing: no trajectories of this evaluation")
    elif path.name == JOURNAL:
        notes.append(not_yet(SAMPLES, f"the samples so far, from {JOURNAL}"))
        yield from _from_journal(path, notes)
    else:
        yield from _from_parquet(path, notes)


def _from_journal(path: Path, notes: list[str]) -> Iterator[TrajectoryRecord]:
    """The last line of each sample; the line that is being written is left out."""
    rows: dict[tuple[str, Any], dict[str, Any]] = {}
    bad = 0
    with path.open("rb") as lines:
        for line in lines:
            try:
                row = json.loads(line)["sample"]
                rows[text_of(row["problem_id"]), row.get("sample")] = {**row, "output": row["output"]}
            except (ValueError, TypeError, KeyError, RecursionError):
                bad += line.endswith(b"\n")
    if bad:
        notes.append(f"{JOURNAL}: {bad} of its lines cannot be read")
    # In the order in which they came: a trajectory keeps its place, and its address, while the evaluation goes on.
    for row in rows.values():
        yield _from_row(row)


def _from_parquet(path: Path, notes: list[str]) -> Iterator[TrajectoryRecord]:
    """A few hundred rows in memory at a time."""
    import pyarrow
    import pyarrow.parquet

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
    except (OSError, pyarrow.ArrowException, ValueError, TypeError, KeyError) as error:
        line = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        notes.append(f"{SAMPLES} cannot be read after {counted(read, 'row')}: {line}")


def _from_row(row: Mapping[str, Any]) -> TrajectoryRecord:
    rate = number(row.get("pass_rate"))
    passed, total = whole(row.get("passed")), whole(row.get("total"))
    tags = row.get("tags")
    facts = {
        "sample": whole(row.get("sample")),
        "tests passed": f"{passed} of {total}" if passed is not None and total is not None else None,
        "finish reason": text_of(row.get("finish_reason")),
        "verdict": text_of(row.get("message")),
        "calls written": whole(row.get("tool_calls")),
        "prompt tokens": whole(row.get("prompt_tokens")),
        "tokens written by the model": whole(row.get("generated_tokens")),
        "seconds": number(row.get("seconds")),
        "seconds of grading": number(row.get("grading_s")),
        "verdict of a second try": "yes" if row.get("second_try") else None,
        "tags": ", ".join(map(str, tags)) if isinstance(tags, list) else text_of(tags),
    }
    return TrajectoryRecord(
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
        calls=whole(row.get("valid_tool_calls", row.get("tool_calls"))),
        successes=whole(row.get("tool_successes", row.get("valid_tool_calls"))),
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
