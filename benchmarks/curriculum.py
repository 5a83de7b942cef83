"""A curriculum against none at equal steps, and the stuck case, stopped by SIGTERM in the middle of a stage.

python benchmarks/curriculum.py [--seeds 0 1] [--steps 12] [--no-stuck] [--out FOLDER]

Trains `recipes/tiny_curriculum` and `recipes/tiny_cpu`, made small, with the same seed: held-out pass rates, greedy
and sampled. The stuck run can pass no stage (it would need 100 evaluations), must leave the first one after four steps
with a warning, is stopped by SIGTERM before that and started again: the order of its problems must be the one that
follows from the seed. One JSON line each; exit status 1 where a property does not hold. About three minutes a run.
"""

import argparse
import json
import signal
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq
from small_run import BATCH, SmallRun, prompts

from verl_coder.run.notices import parse_notices
from verl_coder.run.settings import parse_settings
from verl_coder.trainer.curriculum.order import CurriculumOrder

MAX_STEPS = 4


def main() -> None:
    """Run and print the lines."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1])
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--no-stuck", action="store_true")
    parser.add_argument("--out", type=Path, help="keep the runs here")
    options = parser.parse_args()
    failures: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = (options.out or Path(scratch)).resolve()
        if not options.no_stuck:
            print(json.dumps(stuck(folder / "stuck", failures)), flush=True)
        for seed in options.seeds:
            print(json.dumps(compare(folder, seed, options.steps, failures)), flush=True)
    sys.exit("; ".join(failures))


def compare(folder: Path, seed: int, steps: int, failures: list[str]) -> dict[str, object]:
    """The two runs of a seed."""
    overrides = ["verl_coder.wandb=offline", "verl_coder.eval_samples=2"]
    runs = {
        recipe: SmallRun(folder / f"{recipe}-seed{seed}", steps, overrides, recipe=recipe, seed=seed)
        for recipe in ("tiny_curriculum", "tiny_cpu")
    }
    for run in runs.values():
        run.finish()
    stages = list(runs["tiny_curriculum"].series("curriculum/stage").values())
    if stages != sorted(stages) or stages[-1] != 1:
        failures.append(f"seed {seed}: the stages were {stages}")
    return {
        "benchmark": "curriculum",
        "seed": seed,
        "steps": steps,
        "stages": stages,
        "told": parse_notices(runs["tiny_curriculum"].run_dir.notices.read_bytes().splitlines()),
        **{
            f"{kind}_pass_at_1": {
                recipe: {step: round(rate, 3) for step, rate in run.series(f"eval/{kind}/pass_at_1").items()}
                for recipe, run in runs.items()
            }
            for kind in ("greedy", "sampled")
        },
    }


def stuck(out: Path, failures: list[str]) -> dict[str, object]:
    """Two steps, SIGTERM in the third, and on to the eighth."""
    steps, seed = 2 * MAX_STEPS, 0
    settings = {"evaluations": 100, "max_steps": MAX_STEPS}
    overrides = [f"verl_coder.curriculum.{name}={value}" for name, value in settings.items()]
    run = SmallRun(out, steps, [*overrides, "verl_coder.wandb=offline"], recipe="tiny_curriculum", seed=seed)
    process = run.start()
    while process.poll() is None and run.run_dir.checkpoint_step() < 2:
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    status = process.wait()
    saved, ended = run.run_dir.checkpoint_step(), run.output.strip().splitlines()[-1]
    run.finish()
    told = parse_notices(run.run_dir.notices.read_bytes().splitlines())
    stages = [int(stage) for stage in run.series("curriculum/stage").values()]
    if status or saved >= MAX_STEPS:
        failures.append(f"SIGTERM ended with status {status} after step {saved}")
    if stages != [0] * MAX_STEPS + [1] * MAX_STEPS:
        failures.append(f"the stages were {stages}")
    if not any("although" in text for text in told):
        failures.append("no warning of the stage that was left")
    wrong = [
        step
        for step, drawn in enumerate(expected_order(run, stages, seed), 1)
        if drawn != drawn_in(run, step)
    ]
    if wrong:
        failures.append(f"steps {wrong} were of other problems than the seed says")
    return {
        "benchmark": "curriculum_stuck",
        "steps": run.steps(),
        "stages": stages,
        "sigterm": {"status": status, "saved": saved, "terminal": ended},
        "told": told,
        "steps_in_another_order": wrong,
    }


def expected_order(run: SmallRun, stages: list[int], seed: int) -> list[set[str]]:
    """The last messages of each step's prompts, by the seed and the stages alone."""
    from omegaconf import OmegaConf

    config = OmegaConf.load(run.run_dir.config)
    rows = [row for path in config.data.train_files for row in pq.read_table(path).to_pylist()]
    curriculum = parse_settings(config.verl_coder).curriculum
    assert curriculum is not None
    order = CurriculumOrder(
        [curriculum.stage_of(row["extra_info"]) for row in rows], seed=seed + 1, mix_in=curriculum.mix_in
    )
    return [{rows[i]["prompt"][-1]["content"].strip() for i in order.batch(BATCH, stage)} for stage in stages]


def drawn_in(run: SmallRun, step: int) -> set[str]:
    """The same of what was sampled."""
    return {
        text.split("user\n", 1)[-1].rsplit("assistant", 1)[0].strip() for text in prompts(run.run_dir, step)
    }


if __name__ == "__main__":
    main()
