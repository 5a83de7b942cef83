"""The check of a policy loss file before a run: its source, then its function, tried on small tensors."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from omegaconf import DictConfig

from verl_coder.errors import ConfigError
from verl_coder.importing import exits_refused
from verl_coder.launch.preflight.user_file import check_source, error_line, load_file
from verl_coder.run.settings import CompositeSettings
from verl_coder.trainer.composite.policy_file import FUNCTION, PROMISE, policy_loss

ARGUMENTS = ("log_prob", "old_log_prob", "advantages", "response_mask")
_PLACE = "verl_coder.policy_loss.parameters"
_ROWS, _TOKENS = 5, 6
_WITHOUT = 1
"""The row whose advantages are 0; the last one is masked altogether, as a teacher's and padding are."""


def check_policy_loss(config: DictConfig, settings: CompositeSettings) -> None:
    """ConfigError where the run names a policy loss that cannot be used, or two of them."""
    given = settings.policy_loss
    if given.path is None:
        if given.parameters:
            raise ConfigError(f"{_PLACE} is set, and verl_coder.policy_loss.path names no file (LOSS=)")
        return
    mode = config.actor_rollout_ref.actor.policy_loss.loss_mode
    if mode != "vanilla":
        raise ConfigError(
            f"LOSS={given.path} with actor_rollout_ref.actor.policy_loss.loss_mode={mode}: two policy losses; use one"
        )
    if (config.get("distillation") or {}).get("enabled", False):
        raise ConfigError(
            f"LOSS={given.path} with distillation.enabled: both replace the actor's loss; use one"
        )
    check_policy_file(given.path, given.parameters, config.actor_rollout_ref.actor)


def check_policy_file(path: str | Path, parameters: Mapping[str, Any], actor: Any = None) -> None:
    """Refuse a file that the update could not use: ConfigError of one line with the file and the line.

    The function is called on-policy and off-policy, with masked tokens and a row without an advantage.
    """
    path = Path(path).absolute()
    line = check_source(path, FUNCTION, (*ARGUMENTS, "config"), parameters, _PLACE)
    with exits_refused():
        module = load_file(path, FUNCTION)
        function = functools.partial(getattr(module, FUNCTION), **parameters)
        for on_policy in (True, False):
            _try(
                function,
                path,
                line,
                actor,
                on_policy=on_policy,
                promises=bool(getattr(module, PROMISE, False)),
            )


def _try(
    function: Callable[..., Any], path: Path, line: int, actor: Any, *, on_policy: bool, promises: bool
) -> None:
    when = "on-policy" if on_policy else "off-policy"
    loss, gradient = _loss_and_gradient(function, path, line, actor, on_policy=on_policy, rows=range(_ROWS))
    where = f"{path}:{line}"
    if not torch.isfinite(loss):
        raise ConfigError(f"{where}: the loss is {float(loss)} ({when})")
    if gradient is None or not gradient.any():
        raise ConfigError(f"{where}: {FUNCTION} has no gradient at log_prob ({when}): is it detached?")
    if not torch.isfinite(gradient).all():
        raise ConfigError(f"{where}: the gradient at log_prob is not finite ({when})")
    if not promises:
        return
    others = [row for row in range(_ROWS) if row != _WITHOUT]
    _, alone = _loss_and_gradient(function, path, line, actor, on_policy=on_policy, rows=others)
    if gradient[_WITHOUT].any() or alone is None or not torch.allclose(gradient[others], alone, atol=1e-7):
        raise ConfigError(
            f"{where}: {PROMISE} is not true ({when}): a row whose advantages are 0 has a gradient or changes another "
            "row's; take the line out"
        )


def _loss_and_gradient(
    function: Callable[..., Any], path: Path, line: int, actor: Any, *, on_policy: bool, rows: Any
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The summed loss of these rows, and its gradient at `log_prob`, which is 0 where the mask is."""
    chosen = list(rows)
    draw = torch.Generator().manual_seed(0)
    log_prob = -0.05 - torch.rand(_ROWS, _TOKENS, generator=draw) * 3
    noise = 0.5 * torch.randn(_ROWS, _TOKENS, generator=draw)
    old = log_prob if on_policy else (log_prob + noise).clamp(max=-0.05)
    advantages = torch.tensor([1.0, 0.0, -1.0, 0.5, 0.0])[:, None].expand(_ROWS, _TOKENS)
    mask = torch.ones(_ROWS, _TOKENS)
    mask[:, -1] = mask[2, 2:4] = mask[-1] = 0  # padding, what a tool returned, a row of another source
    asked = log_prob[chosen].clone().requires_grad_()
    batch = {"dp_size": 1, "batch_num_tokens": 1, "global_batch_size": len(chosen), "loss_scale_factor": None}
    try:
        loss, _ = policy_loss(
            function,
            old_log_prob=old[chosen].clone(),
            log_prob=asked,
            advantages=(advantages * mask)[chosen],
            response_mask=mask[chosen].bool(),
            config=_Actor(actor, global_batch_info=batch),
        )
        if not loss.requires_grad:
            return loss, None
        return loss.detach(), torch.autograd.grad(loss, asked, allow_unused=True)[0]
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"{path}:{error_line(error, path, line)}: {type(error).__name__}: {error}"
        ) from error


class _Actor(SimpleNamespace):
    """The actor's section, as verl's dataclass of it is read: by attributes."""

    def __init__(self, section: Any, **fields: Any) -> None:
        super().__init__(**fields)
        self._section = section

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or self._section is None:
            raise AttributeError(name)
        return getattr(self._section, name)
