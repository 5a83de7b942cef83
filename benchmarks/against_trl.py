"""Seconds of a step beside TRL's GRPOTrainer: same base, problems, batch, KL term and grader, one turn.

    python3.11 -m venv trl_env && trl_env/bin/pip install "trl==1.13.0" torch accelerate datasets requests \
        aiohttp tenacity markdown-it-py pydantic pyyaml uvloop httptools prometheus-client omegaconf
    python benchmarks/against_trl.py --trl trl_env/bin/python --out outputs/against_trl

TRL is in an environment of its own: beside verl 0.9.1 it breaks verl. Both take turns, `--rounds` times; the first step
of each, which warms up, is left out. TRL generates by transformers (it has vLLM for GPUs only), 128 answers at a time,
and computes its loss in one pass of 128 rows. Ours once more with the tool and three turns, which TRL is not asked for.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PROMPTS, SAMPLES, RESPONSE, BETA, LEARNING_RATE = 16, 8, 352, 0.001, 3e-4


def trl_steps(steps: int, model: str, rows: str) -> list[float]:
    """Runs in TRL's environment: the seconds of each step."""
    import pyarrow.parquet
    from datasets import Dataset
    from transformers import TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    table = pyarrow.parquet.read_table(rows).to_pylist()
    data = Dataset.from_list(
        [{"prompt": row["prompt"], "truth": row["reward_model"]["ground_truth"]} for row in table]
    )
    seconds: list[float] = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self.began = time.monotonic()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            seconds.append(time.monotonic() - self.began)
            print(f"step {len(seconds)}: {seconds[-1]:.2f} s", file=sys.stderr, flush=True)

    trainer = GRPOTrainer(
        model=model,
        reward_funcs=_reward(),
        train_dataset=data,
        callbacks=[Clock()],
        args=GRPOConfig(
            output_dir="/tmp/against_trl",
            use_cpu=True,
            bf16=False,
            per_device_train_batch_size=PROMPTS * SAMPLES,
            num_generations=SAMPLES,
            max_completion_length=RESPONSE,
            max_steps=steps,
            learning_rate=LEARNING_RATE,
            lr_scheduler_type="constant",
            beta=BETA,
            temperature=1.0,
            gradient_checkpointing=False,
            logging_steps=1,
            report_to="none",
            save_strategy="no",
            seed=0,
        ),
    )
    trainer.train()
    asyncio.run_coroutine_threadsafe(
        _loop.shutdown_asyncgens(), _loop
    ).result()  # closes the grader's connections
    return seconds


_loop = asyncio.new_event_loop()
"""Where the grader runs."""


def _reward() -> Any:
    """Our grader as a reward function of TRL."""
    from verl_coder.rewards import grade_answer

    threading.Thread(target=_loop.run_forever, daemon=True).start()

    async def grade(answers: list[str], truths: list[str]) -> list[float]:
        reports = await asyncio.gather(*map(grade_answer, answers, truths))
        return [report.pass_rate for report in reports]

    def pass_rate(completions: list[Any], truth: list[str], **_: Any) -> list[float]:
        answers = [completion[0]["content"] for completion in completions]
        return asyncio.run_coroutine_threadsafe(grade(answers, truth), _loop).result()

    return pass_rate


def our_steps(steps: int, out: Path, turns: int) -> dict[str, list[float]]:
    """The seconds of each step of the main job by phase, with `turns` answers a trajectory at most."""
    subprocess.run(
        [
            *(sys.executable, "-m", "verl_coder.cli", "train", "--recipe", "tiny_cpu", "--out", str(out)),
            f"trainer.total_training_steps={steps}",
            "trainer.val_before_train=false",
            "trainer.test_freq=-1",
            "trainer.save_freq=1000",
            f"actor_rollout_ref.rollout.multi_turn.max_assistant_turns={turns}",
        ],
        check=True,
        cwd=ROOT,
        stdout=sys.stderr,
    )
    lines = [json.loads(line)["data"] for line in (out / "metrics.jsonl").open()]
    names = ("step", "gen", "ref", "update_actor")
    return {
        name: [line[f"timing_s/{name}"] for line in lines if f"timing_s/{name}" in line] for name in names
    }


def theirs(python: str, steps: int) -> list[float]:
    """TRL's steps, by a process of its environment beside a sandbox of ours."""
    from verl_coder.sandbox.embedded import EmbeddedSandbox

    with EmbeddedSandbox() as sandbox:
        done = subprocess.run(
            [python, __file__, "--as-trl", "--steps", str(steps)],
            env=os.environ
            | {"SANDBOX_URL": sandbox.url, "PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "1"},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            cwd=ROOT,
        )
    seconds: list[float] = json.loads(done.stdout.strip().splitlines()[-1])
    return seconds


def main() -> None:
    """Print medians of the steps after the first, and their ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trl", default="", help="Python of the environment that has TRL")
    parser.add_argument("--out", type=Path, default=ROOT / "outputs/against_trl")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--as-trl", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.as_trl:
        model, rows = "src/verl_coder/tiny/base", "data/sample/train.parquet"
        print(json.dumps(trl_steps(asked.steps, model, rows)))
        return
    if not asked.trl:
        parser.error("--trl: name the Python of an environment with TRL")
    if not (ROOT / "data/sample/train.parquet").is_file():
        subprocess.run([sys.executable, "data_prep/sample.py", "--out", "data/sample"], check=True, cwd=ROOT)
    found: dict[str, list[float]] = {}
    for number in range(asked.rounds):
        found.setdefault("TRL, one turn", []).extend(theirs(asked.trl, asked.steps)[1:])
        for turns, name in ((1, "verl-coder, one turn"), (3, "verl-coder, tool, three turns")):
            for phase, seconds in our_steps(asked.steps, asked.out / f"{turns}turns-{number}", turns).items():
                found.setdefault(f"{name}: {phase}", []).extend(seconds[1:])
    base = statistics.median(found["TRL, one turn"])
    for name, seconds in found.items():
        middle = statistics.median(seconds)
        print(f"{name:40} {middle:6.2f} s  {middle / base:5.2f} of TRL's step  ({len(seconds)} steps)")


if __name__ == "__main__":
    main()
