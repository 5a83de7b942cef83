"""A real training run by the user's own command, small: interrupted, started again, started a third time; evaluated."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from verl_coder.paths import repository_root
from verl_coder.run.run_dir import RunDir

STEPS = 3
EVALUATED = 24
"""Problems of each evaluation."""
_OVERRIDES = (
    f"trainer.total_training_steps={STEPS}",
    "trainer.save_freq=1",
    f"trainer.test_freq={STEPS}",
    f"data.val_max_samples={EVALUATED}",
    "verl_coder.eval_samples=1",
    "data.train_batch_size=8",
    "actor_rollout_ref.actor.ppo_mini_batch_size=8",
    "actor_rollout_ref.rollout.n=4",
    "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=32",
    "actor_rollout_ref.ref.log_prob_micro_batch_size_per_gpu=32",
    "+verl_coder.policy_loss.parameters.high=0.28",
)


@dataclass(frozen=True)
class TrainingRun:
    """What the session's run left: its folder, and what the terminal showed at each start."""

    out: str
    first_output: str
    first_status: int
    takes_sigterm: list[str]
    """Processes of Ray and vLLM with a thread that SIGTERM ends, after the first step."""
    hold_vllm: list[str]
    """Those that have imported vLLM, by then: the first word of each."""
    left_after_interrupt: list[str]
    second_output: str
    second_status: int
    third_output: str
    third_status: int

    @property
    def run_dir(self) -> RunDir:
        """The files of the run's folder."""
        return RunDir(Path(self.out))


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
        "LOSS": "losses/clipped.py",
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


def _takes_sigterm(launcher: int) -> list[str]:
    """The run's processes of Ray and vLLM with a thread that neither blocks nor ignores SIGTERM."""
    found, seen = [], set()
    for process in psutil.Process(launcher).children(recursive=True):
        try:
            command = " ".join(process.cmdline())
            if not command.startswith(("ray::", "VLLM::")):
                continue
            seen.add(command[:4])
            for status in Path(f"/proc/{process.pid}/task").glob("*/status"):
                masks = dict(re.findall(r"^Sig(Blk|Ign):\s*(\w+)$", status.read_text(), re.M))
                if not (int(masks["Blk"], 16) | int(masks["Ign"], 16)) >> (signal.SIGTERM - 1) & 1:
                    found.append(f"{command[:60]}, thread {status.parent.name}")
        except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError):
            continue
    return found if len(seen) == 2 else [f"of Ray and vLLM there are only {seen}"]


def _hold_vllm(launcher: int) -> list[str]:
    """The first words of the run's processes whose memory maps a library of vLLM's."""
    found = []
    for process in psutil.Process(launcher).children(recursive=True):
        try:
            if "site-packages/vllm/" in Path(f"/proc/{process.pid}/maps").read_text():
                words = process.cmdline()
                forks = "multiprocessing.forkserver" in " ".join(words)
                found.append("fork server" if forks else words[0].partition(".")[0])
        except (psutil.NoSuchProcess, FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return sorted(found)


def _interrupt_after_step(
    process: subprocess.Popen[str], run_dir: RunDir, step: int, timeout_s: float
) -> tuple[list[str], list[str]]:
    """Returns what takes SIGTERM at that moment, and what has imported vLLM (see TrainingRun)."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and process.poll() is None:
        if run_dir.checkpoint_step() >= step:
            found = _takes_sigterm(process.pid), _hold_vllm(process.pid)
            process.send_signal(signal.SIGINT)
            return found
        time.sleep(0.2)
    return ["no such step"], []


def run_interrupt_and_resume(folder: Path) -> TrainingRun:
    """Start, interrupt after step 1, start again to the end, start a third time; the limits suit a busy machine."""
    out = folder / "run"
    command, environment = _command(out)
    run_dir = RunDir(out)
    first = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    takes_sigterm, hold_vllm = _interrupt_after_step(first, run_dir, 1, timeout_s=600)
    first_output, _ = first.communicate(timeout=240)
    left = _processes_of(out)
    outputs = []
    for _ in range(2):
        outputs.append(
            subprocess.run(command, env=environment, capture_output=True, text=True, timeout=800, check=False)
        )
    log = run_dir.log.read_text(errors="replace")[-3000:] if run_dir.log.is_file() else ""
    assert outputs[0].returncode == 0, first_output + outputs[0].stdout + outputs[0].stderr + log
    return TrainingRun(
        out=str(out),
        first_output=first_output,
        first_status=first.returncode,
        takes_sigterm=takes_sigterm,
        hold_vllm=hold_vllm,
        left_after_interrupt=left,
        second_output=outputs[0].stdout + outputs[0].stderr,
        second_status=outputs[0].returncode,
        third_output=outputs[1].stdout + outputs[1].stderr,
        third_status=outputs[1].returncode,
    )


@dataclass(frozen=True)
class Evaluation:
    """What `verl-coder evaluate` left of the run's last checkpoint."""

    out: str
    said: str
    status: int


def evaluate_last_checkpoint(folder: Path) -> Evaluation:
    """On the first of the problems, as many as the run's own evaluation has."""
    out = folder / "evaluation"
    command = [sys.executable, "-m", "verl_coder.cli", "evaluate", "--model", f"{folder / 'run'}@{STEPS}"]
    command += ["--limit", str(EVALUATED), "--out", str(out)]
    environment = {**os.environ, "PROFILE": "cpu"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=800, check=False)
    return Evaluation(out=str(out), said=done.stdout + done.stderr, status=done.returncode)
