"""The three orders of generating and training: the same job, seed by seed, in turns.

python benchmarks/modes.py [--seeds 0 1 2] [--steps 8] [--recipe tiny_cpu] [--out FOLDER]

Each run is the recipe at its own size, evaluated every two steps; the order of the modes turns with the seed, so that
a machine that slows down slows all of them. One JSON line a run: held-out pass@1 by step, seconds of training
(evaluations left out) until it first reaches --target, seconds of a step, share of the time that the trainer waits for
samples, versions of the weights that the oldest token of a sample is behind. The last lines compare the modes: medians
over the seeds. About three minutes a run on two cores; nothing else may run meanwhile.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from small_run import SmallRun

from verl_coder.launch.summary import pass_rate

MODES = ("sync", "colocate_async", "separate_async")


def main() -> None:
    """Run and print the lines."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--recipe", default="tiny_cpu")
    parser.add_argument("--target", type=float, default=0.95, help="pass@1 whose time is measured")
    parser.add_argument("--out", type=Path, help="keep the runs here; those that are there are read, not run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = (options.out or Path(scratch)).resolve()
        lines = [
            measured(folder, mode, seed, options)
            for number, seed in enumerate(options.seeds)
            for mode in MODES[number % 3 :] + MODES[: number % 3]
        ]
    sync = [line for line in lines if line["mode"] == "sync"]
    for mode in MODES:
        print(json.dumps(compared(mode, [line for line in lines if line["mode"] == mode], sync)), flush=True)


def measured(folder: Path, mode: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """One run, and its line."""
    run = SmallRun(
        folder / f"{mode}-seed{seed}",
        options.steps,
        [f"mode={mode}", "trainer.test_freq=2", "verl_coder.wandb=offline"],
        recipe=options.recipe,
        seed=seed,
        size=(),
    )
    if not run.run_dir.summary.is_file():
        run.finish()
    summary = json.loads(run.run_dir.summary.read_text())
    if (summary["steps"], summary["recipe"]) != (options.steps, options.recipe):
        sys.exit(f"{run.run_dir.path} holds {summary['steps']} steps of {summary['recipe']}: another --out")
    steps = run.series("timing_s/step")
    curve = {
        record["step"]: round(rate, 3)
        for record in run.run_dir.read_metrics()
        if (rate := pass_rate(record["data"])) is not None
    }
    reached = next((step for step, rate in curve.items() if rate >= options.target), None)
    idle = run.series("training/off_policy/trainer_idle_share").values()
    behind = {step: value for step, value in _staleness(run, "mean").items() if step in steps}
    line = {
        "mode": mode,
        "seed": seed,
        "pass_at_1": curve,
        "step_s": {"median": round(statistics.median(steps.values()), 2), "mean": summary["step_s"]},
        "target_s": None
        if reached is None
        else round(sum(seconds for step, seconds in steps.items() if step <= reached), 1),
        "wall_s": summary["wall_s"],
        "trainer_idle": round(statistics.mean(idle), 2) if idle else None,
        "staleness": {
            "mean": round(statistics.mean(behind.values()), 2) if behind else 0,
            "most": max(_staleness(run, "max").values(), default=0),
        },
        "peak_memory_gib": summary["peak_memory_gib"],
    }
    print(json.dumps(line), flush=True)
    return line


def compared(mode: str, lines: list[dict[str, Any]], sync: list[dict[str, Any]]) -> dict[str, Any]:
    """Medians over the seeds, and the same of `sync` divided by them."""

    def medians(of: list[dict[str, Any]]) -> dict[str, float | None]:
        reached = [line["target_s"] for line in of]
        return {
            "last_pass_at_1": statistics.median(list(line["pass_at_1"].values())[-1] for line in of),
            "step_s": statistics.median(line["step_s"]["mean"] for line in of),
            "target_s": None if None in reached else statistics.median(reached),
            "wall_s": statistics.median(line["wall_s"] for line in of),
        }

    ours, theirs = medians(lines), medians(sync)
    faster = {
        f"{name}_ratio": round(theirs[name] / ours[name], 2)  # type: ignore[operator]
        for name in ("step_s", "target_s", "wall_s")
        if ours[name] and theirs[name]
    }
    return {"mode": mode, "seeds": len(lines), **ours, **faster}


def _staleness(run: SmallRun, which: str) -> dict[int, float]:
    return run.series(f"training/off_policy/trajectory_staleness_worst/{which}")


if __name__ == "__main__":
    main()
