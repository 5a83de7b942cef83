"""A policy loss of the user's own: a file with `token_loss`, in the place of verl's losses by name.

The function says what each token costs; mask, rejection's weights and the mean over tokens are added here, as in verl's
own losses.
"""

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from verl.trainer.ppo.core_algos import POLICY_LOSS_REGISTRY, agg_loss
from verl.utils.torch_functional import masked_mean

from verl_coder.run.settings import CompositeSettings

FILE_MODE = "file"
"""`policy_loss.loss_mode` of verl's tree, by which it finds the function."""
FUNCTION = "token_loss"
PROMISE = "ROWS_WITHOUT_ADVANTAGE_HAVE_NO_GRADIENT"
"""Of a file: a row whose advantages are 0 has no gradient and changes no other row's."""

TokenLoss = Callable[..., torch.Tensor | tuple[torch.Tensor, Mapping[str, Any]]]


@dataclass(frozen=True, kw_only=True)
class PolicyFile:
    """Where the function is, and its parameters; what is sent to the workers."""

    path: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def use(self) -> None:
        """Let verl find the function in this process."""
        function: TokenLoss = getattr(load_policy_file(self.path), FUNCTION)
        POLICY_LOSS_REGISTRY[FILE_MODE] = partial(policy_loss, partial(function, **self.parameters))

    def keeps_promise(self) -> bool:
        """Whether rows without an advantage need not be computed."""
        return bool(getattr(load_policy_file(self.path), PROMISE, False))


def policy_file_of(settings: CompositeSettings) -> PolicyFile | None:
    """That of a run; None where verl's own loss is used."""
    given = settings.policy_loss
    return PolicyFile(path=given.path, parameters=given.parameters) if given.path else None


@lru_cache(maxsize=8)
def load_policy_file(path: str) -> ModuleType:
    """The file as a module; whatever it raises when it is imported."""
    spec = importlib.util.spec_from_file_location(f"_policy_loss_{Path(path).stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def policy_loss(
    function: TokenLoss,
    old_log_prob: torch.Tensor,
    log_prob: torch.Tensor,
    advantages: torch.Tensor,
    response_mask: torch.Tensor,
    loss_agg_mode: str = "token-mean",
    config: Any = None,
    rollout_is_weights: torch.Tensor | None = None,
) -> tuple[torch.Tensor, dict[str, float]]:
    """verl's interface of a policy loss; all tensors (B, T).

    ValueError where the function returns no losses of that shape, or metrics of another.
    """
    mask = response_mask.bool()
    # Masked before the call: behind it an infinity at a masked token would make the whole row's gradient nan.
    result = function(
        log_prob=log_prob.masked_fill(~mask, 0.0),
        old_log_prob=old_log_prob.masked_fill(~mask, 0.0),
        advantages=advantages,
        response_mask=response_mask,
        config=config,
    )
    losses, further = result if isinstance(result, tuple) else (result, {})
    if not isinstance(losses, torch.Tensor) or losses.shape != log_prob.shape:
        shape = tuple(losses.shape) if isinstance(losses, torch.Tensor) else type(losses).__name__
        raise ValueError(f"{FUNCTION} returned {shape}, not losses of shape {tuple(log_prob.shape)}")
    losses = losses.masked_fill(~mask, 0.0)
    if rollout_is_weights is not None:
        losses = losses * rollout_is_weights
    loss = agg_loss(
        loss_mat=losses, loss_mask=response_mask, loss_agg_mode=loss_agg_mode, **config.global_batch_info
    )
    metrics = {"ppo_kl": old_log_prob - log_prob, **further}
    return loss, {f"actor/{name}": _mean(name, value, mask) for name, value in metrics.items()}


def _mean(name: str, value: Any, mask: torch.Tensor) -> float:
    """Over the trained tokens; 0 where there is none."""
    if not isinstance(value, torch.Tensor) or not value.dim():
        return float(value)
    if value.shape != mask.shape:
        raise ValueError(f"the metric {name} has shape {tuple(value.shape)}, not {tuple(mask.shape)}")
    return float(masked_mean(value.detach().float().masked_fill(~mask, 0.0), mask))
