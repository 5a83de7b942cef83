"""A fine-tuning run's folder: curves, settings, and what it came to. It has no trajectories."""

from pathlib import Path
from typing import Any

from verl_coder.report.records import number
from verl_coder.report.training_run import flatten, json_file, read_steps, series
from verl_coder.run.run_dir import RunDir
from verl_coder.sft.process import LOG

_SUMMARY = "summary.json"


def is_sft_run(folder: Path) -> bool:
    """Whether `verl-coder sft` wrote the folder, finished or not."""
    return (folder / LOG).is_file() or "train_loss" in json_file(folder / _SUMMARY, [], "")


def describe_sft_run(folder: Path, notes: list[str]) -> dict[str, Any]:
    """What the page shows of it; what is missing is told in `notes`."""
    summary = json_file(folder / _SUMMARY, [], "")
    records = read_steps(RunDir(folder).metrics, notes, to_come=not summary)
    steps = [record["step"] for record in records]
    return {
        "kind": "sft",
        "steps": steps,
        "series": series(records),
        "held_out": [],
        "settings": flatten(summary.get("settings", {})),
        "state": "finished" if summary else f"not finished, last step {steps[-1] if steps else 0}",
        "rows": {name: _count(summary, name) for name in ("training", "held_out", "dropped_too_long")},
        "seconds": number(summary.get("seconds")),
        "loss": {
            "first": _loss(records, "train/loss", first=True),
            "last": _loss(records, "train/loss", first=False),
            "held_out_before": _loss(records, "val/loss_before", first=True),
            "held_out_after": _loss(records, "val/loss", first=False),
        },
    }


def _loss(records: list[dict[str, Any]], name: str, *, first: bool) -> float | None:
    values = [record["data"][name] for record in records if name in record["data"]]
    return values[0 if first else -1] if values else None


def _count(summary: dict[str, Any], name: str) -> float | None:
    counts = summary.get("data")
    return number(counts.get(name)) if isinstance(counts, dict) else None
