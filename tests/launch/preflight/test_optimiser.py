"""An optimiser's values out of range are named before a worker builds it."""

import pytest
from omegaconf import OmegaConf

from verl_coder.errors import ConfigError
from verl_coder.launch.preflight.optimiser import check_optimiser


def _check(**values: object) -> None:
    check_optimiser(OmegaConf.create({"actor": {"optim": {"lr": 1e-5, **values}}}), "actor.optim")


def test_what_adamw_takes_passes() -> None:
    _check(betas=[0.9, 0.95], weight_decay=0, lr_warmup_steps_ratio=1.0, min_lr_ratio=None, clip_grad=1e9)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("lr", "fast", "lr=fast: use a number of 0 or more"),
        ("lr", None, "lr=null: use a number of 0 or more"),
        ("weight_decay", -1, "weight_decay=-1: use a number of 0 or more"),
        ("lr_warmup_steps_ratio", 2, r"lr_warmup_steps_ratio=2: use a number in \[0, 1\]"),
        ("clip_grad", 0, "clip_grad=0: use a number above 0"),
        ("clip_grad", -1.0, "clip_grad=-1.0: use a number above 0"),
        ("grad_clip", -1.0, "grad_clip=-1.0: use a number above 0"),
        ("betas", [0.9, 1.0], r"betas=\[0.9, 1.0\]: use two numbers in \[0, 1\)"),
        ("betas", [0.9, 0.95, 0.99], "use two numbers"),
        ("betas", [0.9, True], "use two numbers"),
        ("betas", 0.9, "betas=0.9: use two numbers"),
    ],
)
def test_a_value_that_no_step_can_use_is_named(name: str, value: object, words: str) -> None:
    with pytest.raises(ConfigError, match=r"^actor\.optim\." + words if "=" in words else words):
        _check(**{name: value})
