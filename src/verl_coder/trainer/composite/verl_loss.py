"""The composite loss in the form that verl's actor worker calls, once per micro-batch."""

from typing import Any

import torch
from tensordict import TensorDict
from verl.utils import tensordict_utils as tu
from verl.utils.metric import AggregationType, Metric
from verl.workers.utils.losses import ppo_loss
from verl.workers.utils.padding import no_padding_2_padding

from verl_coder.trainer.composite.losses import SOURCES, composite_loss, logit_gradient_mass

WEIGHT_FIELDS = ("sft_teacher_weights", "sft_self_weights")
"""Per-token fields of a batch, (response length,) each, by `losses.token_weights`."""

ALPHA_FIELD = "policy_loss_weight"


def actor_loss(
    config: Any, model_output: dict[str, Any], data: TensorDict, dp_group: Any = None
) -> tuple[torch.Tensor, dict[str, Any]]:
    """verl's `ppo_loss` (policy, KL and entropy) times alpha, plus the two supervised terms.

    Metrics, each a sum over micro-batches and ranks: `term/<source>`, the weighted term itself, and
    `pull/<source>`, its `logit_gradient_mass`.
    """
    if not data["batch_num_tokens"]:
        # No rollout of the mini-batch is trained on: a mean over no token would make the other terms nan, too.
        tu.assign_non_tensor(data, batch_num_tokens=1)
    log_probs = model_output["log_probs"]  # jagged, (B, prompt + response)
    values = log_probs.values()
    # A view of `values`, so that the policy term's gradient at the log-probabilities can be asked for.
    rebuilt = torch.nested.nested_tensor_from_jagged(values, offsets=log_probs.offsets())
    policy_loss, metrics = ppo_loss(config, {**model_output, "log_probs": rebuilt}, data, dp_group)
    log_prob = no_padding_2_padding(rebuilt, data)  # (B, response)
    weights = [data[name].to_padded_tensor(0.0) for name in WEIGHT_FIELDS]
    alpha, dp_size = float(tu.get_non_tensor_data(data, ALPHA_FIELD, 1.0)), int(data["dp_size"])
    loss, terms = composite_loss(policy_loss, log_prob, weights, alpha=alpha, dp_size=dp_size)
    pulls = [_policy_pull(terms[0], values), *(dp_size * logit_gradient_mass(log_prob, w) for w in weights)]
    for source, term, pull in zip(SOURCES, terms, pulls, strict=True):
        metrics[f"term/{source}"] = Metric(value=term, aggregation=AggregationType.SUM)
        metrics[f"pull/{source}"] = Metric(value=pull, aggregation=AggregationType.SUM)
    return loss, metrics


def _policy_pull(policy_term: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """`logit_gradient_mass` of the policy term; it reaches the log-probabilities only through `values`."""
    if not policy_term.requires_grad:
        return torch.zeros_like(policy_term)
    (gradient,) = torch.autograd.grad(policy_term, values, retain_graph=True, allow_unused=True)
    return torch.zeros_like(policy_term) if gradient is None else logit_gradient_mass(values, gradient)
