"""A training run's folder without its samples: curves, settings, state, and what is missing of it."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from verl_coder.errors import CheckpointError
from verl_coder.launch.status import is_running
from verl_coder.launch.summary import PHASES, pass_rate
from verl_coder.report.evaluation_files import wilson
from verl_coder.report.records import not_yet, number
from verl_coder.run.checkpoint_files import is_better, is_whole, read_best, step_folder
from verl_coder.run.notices import parse_notices
from verl_coder.run.phase import Phase
from verl_coder.run.run_dir import RunDir
from verl_coder.words import counted

_LAST_WARNINGS = 20


def describe_training_run(folder: Path, notes: list[str]) -> dict[str, Any]:
    """What the page shows of a run beside its samples; what is missing is told in `notes`."""
    run_dir = RunDir(folder)
    begins = is_beginning(folder)
    records = read_steps(run_dir.metrics, notes, to_come=begins)
    summary = json_file(
        run_dir.summary,
        notes if not (begins or run_dir.phase.is_file()) else [],
        "the run has not finished",
    )
    steps = [record["step"] for record in records]
    held_out = _held_out(records)
    return {
        "steps": steps,
        "series": series(records),
        "held_out": held_out,
        "best": _best(run_dir, held_out, notes),
        "phases": {word: key for key, word in PHASES.items()},
        "settings": _settings(run_dir.config, notes),
        "summary": summary,
        "state": _state(summary, Phase.read(run_dir.phase), steps, begins=begins),
        "warnings": _warnings(run_dir.notices),
    }


def is_beginning(folder: Path) -> bool:
    """Whether a start is at work that has come to no end of a step: what the first one writes cannot be there yet."""
    run_dir = RunDir(folder)
    phase = Phase.read(run_dir.phase)
    return is_running(run_dir) if phase is None else phase.step <= 1


def read_steps(metrics: Path, notes: list[str], *, to_come: bool = False) -> list[dict[str, Any]]:
    """Steps in order; RunDir skips torn lines, and this one every line that has no step and metrics.

    `to_come`: where there is no file, none is missing yet.
    """
    if not metrics.is_file():
        notes.append(not_yet(metrics.name) if to_come else f"{metrics.name} is missing: no curves")
        return []
    records: dict[int, dict[str, float]] = {}
    bad = 0
    for line in metrics.read_bytes().split(b"\n"):
        try:
            record = json.loads(line)
            step, data = int(record["step"]), dict(record["data"])
        except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
            bad += bool(line)
            continue
        values = {str(name): value for name, given in data.items() if (value := number(given)) is not None}
        records.setdefault(step, {}).update(values)
    if bad:
        notes.append(f"{metrics.name}: {bad} of its lines cannot be read")
    return [{"step": step, "data": data} for step, data in sorted(records.items())]


def series(records: list[dict[str, Any]]) -> dict[str, list[float | None]]:
    """Metric -> its value at each step, None where it has none."""
    names = dict.fromkeys(name for record in records for name in record["data"])
    return {name: [_short(record["data"].get(name)) for record in records] for name in sorted(names)}


def _short(value: float | None) -> float | None:
    """Seven digits, which is more than a picture shows."""
    return None if value is None else float(f"{value:.7g}")


def _held_out(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Greedy held-out pass@1 of each evaluation with Wilson's interval over its problems."""
    rows = []
    for record in records:
        data = record["data"]
        rate = data.get("eval/greedy/pass_at_1", pass_rate(data))
        if rate is not None and 0 <= rate <= 1:
            problems = round(data.get("eval/problems", 0.0) * (1 - data.get("eval/unavailable_share", 0.0)))
            rows.append({"step": record["step"], "problems": problems, **wilson(rate, problems)._asdict()})
    return rows


def _best(run_dir: RunDir, held_out: Sequence[Mapping[str, Any]], notes: list[str]) -> dict[str, Any] | None:
    """The best checkpoint, which `verl-coder status` names; where none was noted the best evaluation, by its rule."""
    try:
        best = read_best(run_dir.best)
    except (CheckpointError, OSError) as error:
        notes.append(str(error))
        best = None
    is_checkpoint = best is not None and is_whole(step_folder(run_dir.checkpoints, best[0]), to_go_on=False)
    for point in () if best else held_out:
        if is_better(point["step"], point["value"], best):
            best = (point["step"], point["value"])
    return {"step": best[0], "value": best[1], "checkpoint": is_checkpoint} if best else None


def json_file(path: Path, notes: list[str], otherwise: str) -> dict[str, Any]:
    """The JSON object in a file; empty, with a note, where there is none."""
    try:
        found = json.loads(path.read_bytes(), parse_constant=lambda _: None, parse_float=_finite)
    except FileNotFoundError:
        if otherwise:
            notes.append(f"{path.name} is missing: {otherwise}")
        return {}
    except (OSError, ValueError, RecursionError) as error:
        notes.append(f"{path.name} cannot be read ({str(error)[:80]})")
        return {}
    return found if isinstance(found, dict) else {}


def _finite(text: str) -> float | None:
    """The number; None for NaN and what is too large for one (1e999), which the page's JSON does not have."""
    value = float(text)
    return value if math.isfinite(value) else None


def _settings(path: Path, notes: list[str]) -> dict[str, str]:
    """The resolved configuration, `a.b.c` -> value as text."""
    try:
        found = yaml.load(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except FileNotFoundError:
        notes.append(f"{path.name} is missing: no settings")
        return {}
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        notes.append(f"{path.name} cannot be read ({str(error).splitlines()[0][:80]}): no settings")
        return {}
    return flatten(found)


def flatten(tree: Any, place: str = "") -> dict[str, str]:
    """`{"a": {"b": [1]}}` -> `{"a.b": "[1]"}`: what differs between runs is then a comparison of texts."""
    if isinstance(tree, Mapping) and tree:
        found: dict[str, str] = {}
        for name, value in tree.items():
            found |= flatten(value, f"{place}.{name}" if place else str(name))
        return found
    text = tree if isinstance(tree, str) else json.dumps(tree, ensure_ascii=False, default=str)
    return {place: text[:2000]} if place else {}


def _state(summary: Mapping[str, Any], phase: Phase | None, steps: list[int], *, begins: bool) -> str:
    last = steps[-1] if steps else 0
    if phase is not None:
        return phase.describe()
    if begins:
        return "starting"
    done = number(summary.get("steps"))
    if summary:
        return f"finished, {counted(last if done is None else int(done), 'step')}"
    return f"not finished, last step {last}"


def _warnings(path: Path) -> list[str]:
    try:
        return parse_notices(path.read_bytes().split(b"\n"))[-_LAST_WARNINGS:]
    except (OSError, ValueError, KeyError, TypeError):
        return []
