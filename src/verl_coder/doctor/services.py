"""Services outside: W&B by its own client, and the hub by its own."""

import os

from verl_coder.doctor.check import CheckResult, DoctorCheck, passed, skipped, warned
from verl_coder.doctor.situation import Situation
from verl_coder.errors import ConfigError

_TIMEOUT_S = 5


def _wandb(situation: Situation) -> CheckResult:
    mode = situation.plan.wandb_mode
    if mode != "online":
        words = "no key" if mode == "offline" and not os.environ.get("WANDB_MODE") else f"wandb is {mode}"
        return passed(f"{words}: metrics stay on disk (`verl-coder wandb push` sends them later)")
    import wandb

    offline = "WANDB_MODE=offline keeps the metrics on disk, `verl-coder wandb push` sends them later"
    try:
        viewer = wandb.Api(timeout=_TIMEOUT_S).viewer
    except Exception as error:  # its client raises many kinds
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        return warned(
            f"W&B does not know this key, or does not answer: {reason}", f"`wandb login`, or {offline}"
        )
    return passed(f"online as {viewer.username}")


def _hub(situation: Situation) -> CheckResult:
    from verl_coder.launch.preflight.model import TRUE_WORDS, ask_hub, local_folder

    path = str(situation.config.actor_rollout_ref.model.path)
    offline = os.environ.get("HF_HUB_OFFLINE", "").upper() in TRUE_WORDS
    if local_folder(path) is not None:
        return skipped(
            f"the model is here{', and HF_HUB_OFFLINE is set' if offline else ''}: nothing comes from the hub"
        )
    if offline:
        return warned(
            f"HF_HUB_OFFLINE is set, and {path} is not here", "MODEL=<folder>, or unset HF_HUB_OFFLINE"
        )
    try:
        return passed(f"the hub has {ask_hub(path)}, which the first start fetches")
    except ConfigError as error:
        return warned(str(error), "MODEL=<folder>, HF_ENDPOINT=<a mirror>, or HF_TOKEN")


CHECKS = (
    DoctorCheck(name="wandb", component="services", look=_wandb, fix="WANDB_MODE=offline"),
    DoctorCheck(name="hub", component="services", look=_hub, fix="MODEL=<folder>"),
)
