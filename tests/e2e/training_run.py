"""A real training run by the user's own command, small: interrupted, started again, started a third time."""

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from verl_coder.paths import repository_root
from verl_coder.run.run_dir import RunDir

STEPS = 3
_OVERRIDES = (
    f"trainer.total_training_steps={STEPS}",
    "trainer.save_freq=1",
    f"trainer.test_freq={STEPS}",
    "data.val_max_samples=24",
    "verl_coder.eval_samples=1",
    "data.train_batch_size=8",
    "actor_rollout_ref.actor.ppo_mini_batch_size=8",
    "actor_rollout_ref.rollout.n=4",
    "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=32",
    "actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu=32",
)


@dataclass(frozen=True)
class TrainingRun:
    """What the session's run left: its folder, and what the terminal showed at each start."""

    run_dir: RunDir
    first_output: str
    first_status: int
    left_after_interrupt: list[str]
    second_output: str
    second_status: int
    third_output: str
    third_status: int


def _tools(folder: Path) -> Path:
    """The recipe's tool YAML with one setting changed: the model sees where its program failed, too."""
    brief = (repository_root() / "tool_config" / "python_interpreter_brief.yaml").read_text()
    changed = folder / "two_lines.yaml"
    changed.write_text(brief.replace("traceback_lines: 1", "traceback_lines: 2"))
    return changed


def _command(out: Path) -> tuple[list[str], dict[str, str]]:
    script = repository_root() / "run_scripts" / "run_qwen_grpo.sh"
    environment = os.environ | {
        "PROFILE": "cpu",
        "OUT": str(out),
        "REWARD": "rewards/binary.py",
        "TOOLS": str(_tools(out.parent)),
        "COLUMNS": "160",
        "WANDB_MODE": "offline",
    }
    return ["bash", str(script), *_OVERRIDES], environment


def _processes_of(out: Path) -> list[str]:
    """Command lines of live processes that have this run's folder, or its sandbox, in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and str(out) in process.environ().get("OUT", ""):
                found.append(" ".join(process.cmdline()))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def _interrupt_after_step(
    process: subprocess.Popen[str], run_dir: RunDir, step: int, timeout_s: float
) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and process.poll() is None:
        if run_dir.checkpoint_step() >= step:
            process.send_signal(signal.SIGINT)
            return
        time.sleep(0.2)


def run_interrupt_and_resume(out: Path) -> TrainingRun:
    """Start, interrupt after step 1, start again to the end, start a third time."""
    command, environment = _command(out)
    run_dir = RunDir(out)
    first = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    _interrupt_after_step(first, run_dir, 1, timeout_s=300)
    first_output, _ = first.communicate(timeout=120)
    left = _processes_of(out)
    outputs = []
    for _ in range(2):
        outputs.append(
            subprocess.run(command, env=environment, capture_output=True, text=True, timeout=400, check=False)
        )
    log = run_dir.log.read_text(errors="replace")[-3000:] if run_dir.log.is_file() else ""
    assert outputs[0].returncode == 0, first_output + outputs[0].stdout + outputs[0].stderr + log
    return TrainingRun(
        run_dir=run_dir,
        first_output=first_output,
        first_status=first.returncode,
        left_after_interrupt=left,
        second_output=outputs[0].stdout + outputs[0].stderr,
        second_status=outputs[0].returncode,
        third_output=outputs[1].stdout + outputs[1].stderr,
        third_status=outputs[1].returncode,
    )
