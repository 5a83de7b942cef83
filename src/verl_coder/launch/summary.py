"""What a run came to: summary.json, the table that closes it, and the picture of its curves."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from verl_coder.errors import VerlCoderError
from verl_coder.files import whole_file, write_atomically
from verl_coder.json_text import is_number
from verl_coder.run.checkpoint_files import step_folder
from verl_coder.run.run_dir import RunDir
from verl_coder.run.settings import Settings
from verl_coder.words import counted

PHASES = {
    "timing_s/gen": "generate (rollout, tools, reward)",
    "timing_s/old_log_prob": "old log-probs",
    "timing_s/ref": "reference log-probs",
    "timing_s/adv": "advantages",
    "timing_s/update_actor": "update",
    "timing_s/update_weights": "weight sync",
    "timing_s/save_checkpoint": "checkpoints",
}
"""verl's timers -> words. The rest of a step is shown as `other`."""
_MOST_DRAWN = 1e100


def pass_rate(data: dict[str, Any]) -> float | None:
    """Held-out pass@1 of one evaluation: the mean over data sources of verl's `val-core/*/acc/mean@n`.

    None where there is no rate, or one of them is no number.
    """
    values = [v for k, v in data.items() if k.startswith("val-core/") and "/acc/mean@" in k]
    if not all(map(is_number, values)):
        return None
    return sum(values) / len(values) if values else None


def build_summary(run_dir: RunDir, settings: Settings) -> dict[str, Any]:
    """The summary of a finished run, from its metrics and its timing file."""
    records = run_dir.read_metrics()
    evaluations = [(r["step"], r["data"]) for r in records if pass_rate(r["data"]) is not None]
    steps = [r for r in records if is_number(r["data"].get("timing_s/step"))]
    if not steps and not evaluations:
        raise VerlCoderError(f"{run_dir.metrics} holds no step: the run did not train")
    # With trainer.val_before_train=false nothing is evaluated before training, with trainer.test_freq=-1 nothing after
    # it; with trainer.val_only=true nothing is trained.
    trained = steps[-1]["step"] if steps else 0
    first: dict[str, Any] = next((data for step, data in evaluations if step == 0), {})
    evaluated, latest = evaluations[-1] if evaluations else (0, {})
    last = latest if evaluated >= trained else {}  # else it is not of the model that came out
    saved = run_dir.last_whole_step()
    timing = {
        name: value
        for path in (run_dir.timing, run_dir.wall)
        if path.is_file()
        for name, value in json.loads(path.read_text()).items()
    }
    phases = {word: sum(r["data"].get(key, 0.0) for r in steps) for key, word in PHASES.items()}
    phases["other"] = sum(r["data"]["timing_s/step"] for r in steps) - sum(phases.values())
    phases["evaluation"] = timing.get("evaluation_s", 0.0)
    phases["start and stop"] = timing.get("wall_s", 0.0) - sum(phases.values())
    return {
        "recipe": settings.recipe,
        "seed": settings.seed,
        "steps": trained,
        "wall_s": round(timing.get("wall_s", 0.0), 1),
        "peak_memory_gib": round(timing.get("peak_memory_bytes", 0) / 2**30, 2),
        "step_s": round(sum(r["data"]["timing_s/step"] for r in steps) / max(len(steps), 1), 3),
        "pass_at_1": {"before": _rounded(pass_rate(first)), "after": _rounded(pass_rate(last))},
        "tool_calls_per_problem": {
            "before": _rounded(first.get("val-aux/tool_calls/mean")),
            "after": _rounded(last.get("val-aux/tool_calls/mean")),
        },
        "last_evaluation": {"step": evaluated, "pass_at_1": _rounded(pass_rate(latest))} if latest else None,
        "reward": {
            "first": _rounded(steps[0]["data"].get("critic/score/mean", 0.0)) if steps else None,
            "last": _rounded(steps[-1]["data"].get("critic/score/mean", 0.0)) if steps else None,
        },
        "sandbox_unavailable_share": max(
            (r["data"].get("sandbox/unavailable_share", 0.0) for r in steps), default=0.0
        ),
        "phases_s": {word: round(seconds, 1) for word, seconds in phases.items()},
        "metrics_file": str(run_dir.metrics),
        "curve": str(run_dir.curve),
        "checkpoint": str(step_folder(run_dir.checkpoints, saved)) if saved else None,
    }


def _rounded(value: float | None) -> float | None:
    return round(value, 4) if value is not None and is_number(value) else None


def write_summary(run_dir: RunDir, settings: Settings, console: Console) -> None:
    """Write summary.json and the picture of a finished run, and print the closing table."""
    summary = build_summary(run_dir, settings)
    write_atomically(run_dir.summary, json.dumps(summary, indent=2) + "\n")
    console.print(summary_table(summary))
    console.print(f"summary: {run_dir.summary}", highlight=False, soft_wrap=True)
    draw_curve(run_dir.read_metrics(), f"{settings.recipe}, seed {settings.seed}", run_dir.curve)
    console.print(f"picture: {run_dir.curve}", highlight=False, soft_wrap=True)


def summary_table(summary: dict[str, Any]) -> Table:
    """The closing table, for rich's console."""
    table = Table(title=f"{summary['recipe']}, seed {summary['seed']}: {counted(summary['steps'], 'step')}")
    for column in ("", "before", "after"):
        table.add_column(column, justify="left" if not column else "right")
    pass_at_1, calls = summary["pass_at_1"], summary["tool_calls_per_problem"]
    before, after = (_cell(pass_at_1.get(when), 3) for when in ("before", "after"))
    between = summary.get("last_evaluation")  # a summary of an older version has none
    if between and pass_at_1.get("after") is None and between["step"] > 0:
        after += f" ({_cell(between['pass_at_1'], 3)} after step {between['step']})"
    table.add_row("held-out pass@1 (greedy)", before, after)
    table.add_row("tool calls per problem", *(_cell(calls.get(when), 2) for when in ("before", "after")))
    reward = summary["reward"]
    if summary["steps"]:
        row = (_cell(reward.get(when), 3) for when in ("first", "last"))
        table.add_row("training reward, first and last step", *row)
    table.add_section()
    for word, seconds in summary["phases_s"].items():
        table.add_row(f"seconds: {word}", "", _cell(seconds, 1))
    table.add_row("seconds: all", "", f"{summary['wall_s']:.1f}", end_section=True)
    if is_number(peak := summary.get("peak_memory_gib")):  # an older version did not measure it
        table.add_row("peak memory measured, GiB", "", f"{peak:.1f}")
    return table


def _cell(value: float | None, digits: int) -> str:
    return "not evaluated" if value is None else f"{value:.{digits}f}"


def _can_be_drawn(value: Any) -> bool:
    """matplotlib gives up where the length of an axis is no number."""
    return is_number(value) and abs(value) < _MOST_DRAWN


def draw_curve(records: list[dict[str, Any]], title: str, path: Path) -> None:
    """Draw `records` (RunDir.read_metrics) into a PNG; written whole or not at all."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    def series(name: str) -> tuple[list[int], list[float]]:
        pairs = [(r["step"], r["data"][name]) for r in records if _can_be_drawn(r["data"].get(name))]
        return [step for step, _ in pairs], [value for _, value in pairs]

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    rates = [(r["step"], pass_rate(r["data"])) for r in records if _can_be_drawn(pass_rate(r["data"]))]
    left.plot(*series("critic/score/mean"), color="tab:gray", label="training reward")
    left.plot([s for s, _ in rates], [v for _, v in rates], "o-", color="tab:blue", label="held-out pass@1")
    low, high = left.get_ylim()  # a reward may be below 0, or above 1
    left.set(xlabel="step", ylim=(min(low, 0), max(high, 1.02)), title="reward and pass rate")
    right.plot(*series("tool_calls/mean"), color="tab:gray", label="training, per sample")
    right.plot(*series("val-aux/tool_calls/mean"), "o-", color="tab:orange", label="held-out, per problem")
    right.set(xlabel="step", title="tool calls")
    right.set_ylim(bottom=0)
    for axes in (left, right):
        axes.legend(loc="lower right")
        axes.grid(alpha=0.3)
    figure.suptitle(title)
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
    plt.close(figure)
