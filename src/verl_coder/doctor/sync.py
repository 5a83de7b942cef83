"""Whether the rollout follows the trainer: two steps of the recipe, with a learning rate that moves the policy.

After the first update vLLM must have the new weights. In the second step verl compares the log-probabilities of the
rollout with those of the trainer, and the loss tells how far the policy went from where it began.
"""

import copy
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from omegaconf import OmegaConf

from verl_coder.doctor.check import CheckResult, DoctorCheck, failed, passed, skipped, warned
from verl_coder.doctor.situation import KNOBS, Situation
from verl_coder.errors import ConfigError
from verl_coder.launch.preflight.mode import restores_aliases
from verl_coder.run.run_dir import RunDir

DIFFERENCE, MOVED = "training/rollout_probs_diff_mean", "actor/kl_loss"
_LEAST_MOVE = 1e-4
_OVERRIDES = (
    "trainer.total_training_steps=2",
    "trainer.save_freq=-1",
    "trainer.test_freq=-1",
    "verl_coder.curriculum=null",  # two steps are of one stage, and a curriculum wants validations
    "trainer.val_before_train=false",
    "actor_rollout_ref.actor.use_kl_loss=true",
    "algorithm.rollout_correction.bypass_mode=false",
    "actor_rollout_ref.actor.optim.lr=1e-3",
    "verl_coder.wandb=disabled",
)
_TIMEOUT_S = 900


def judge(steps: Sequence[Mapping[str, float]]) -> CheckResult:
    """The finding for the metrics of two steps (`DIFFERENCE` of probabilities in [0, 1], `MOVED` in nats)."""
    missing = [name for name in (DIFFERENCE, MOVED) for step in steps if name not in step]
    if len(steps) < 2 or missing:
        return failed(
            f"two steps did not report {missing[0] if missing else DIFFERENCE}", "see its train.log"
        )
    first, second, moved = steps[0][DIFFERENCE], steps[1][DIFFERENCE], steps[1][MOVED]
    words = (
        f"the update moved the policy by {moved:.1e} nats a token; rollout and trainer differ by {first:.1e} "
        f"before it and {second:.1e} after it"
    )
    if moved < _LEAST_MOVE:
        return warned(f"{words}: too little to tell", "a recipe whose rewards differ within a group")
    if second > max(5 * first, 1e-3) and second > 0.1 * moved:
        return failed(
            f"{words}: vLLM has the old weights", "platform/vllm_extension.py: is it in engine_kwargs?"
        )
    return passed(words)


def _follows(situation: Situation) -> CheckResult:
    if situation.config.actor_rollout_ref.model.get("lora_rank"):
        return skipped("with LoRA: not looked at")
    judged = copy.deepcopy(situation.config)
    OmegaConf.update(judged, "algorithm.rollout_correction.bypass_mode", False, force_add=True)
    if restores_aliases(judged):
        return skipped(
            "several updates a sync, parameters on the CPU: verl cannot judge them with old weights"
        )
    with tempfile.TemporaryDirectory(prefix="vc-sync-") as folder:
        out = Path(folder) / "run"
        command = [
            sys.executable,
            "-m",
            "verl_coder.cli",
            "train",
            "--recipe",
            situation.recipe,
            "--out",
            str(out),
        ]
        for knob in KNOBS:
            value = getattr(situation.options, knob)
            if knob != "out" and value is not None:
                command += [f"--{knob}", str(value)]
        done = subprocess.run(
            [*command, *situation.options.overrides, *_OVERRIDES],
            capture_output=True, text=True, timeout=_TIMEOUT_S, check=False, env=dict(os.environ),
        )  # fmt: skip
        if done.returncode:
            lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
            raise ConfigError(f"two steps of {situation.recipe} failed: {' '.join(lines[-1:])[:300]}")
        records = RunDir(out).read_metrics()
    return judge([record["data"] for record in records if DIFFERENCE in record["data"]])


CHECKS = (
    DoctorCheck(
        name="weight-sync",
        component="sync",
        look=_follows,
        fix="run it by hand: verl-coder train",
        only_when_named=True,
    ),
)
