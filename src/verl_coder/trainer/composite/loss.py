"""The composite loss L = alpha * L_GRPO + beta * L_teacher + gamma * L_self, as functions on tensors.

Each supervised term is the mean negative log-likelihood over the tokens of its source in one mini-batch. Its
weight and its token count are folded into one number per token, known before the mini-batch is split: so a
micro-batch adds up its share, and no split over micro-batches or data-parallel ranks changes the sum (the form
sum of L_source / N_source; an empty source has no token and adds zero). The log-probabilities are those that the
policy term needs anyway.
"""

from collections.abc import Sequence
from typing import Any

import torch
from tensordict import TensorDict
from verl.utils import tensordict_utils as tu
from verl.utils.metric import AggregationType, Metric
from verl.workers.utils.losses import ppo_loss
from verl.workers.utils.padding import no_padding_2_padding

from verl_coder.platform.tensordicts import replaced
from verl_coder.platform.update_options import COMPUTED_SHARE_FIELD
from verl_coder.trainer.composite.policy_file import PolicyFile

SOURCES = ("grpo", "teacher", "self")
"""The three terms, in the order of alpha, beta, gamma."""


def token_weights(
    masks: Sequence[torch.Tensor], mini_batches: Sequence[int], weight: float
) -> list[torch.Tensor]:
    """Per-token weights of one supervised source: `weight` / (its tokens in the row's mini-batch), else 0.

    masks: one (T_i,) mask per row, over the rows of all ranks, 1 where the token is trained on.
    mini_batches: the mini-batch, that is the optimiser step, that row i takes part in.
    Returns one (T_i,) float32 tensor per row.
    """
    tokens: dict[int, int] = {}
    for mask, mini_batch in zip(masks, mini_batches, strict=True):
        tokens[mini_batch] = tokens.get(mini_batch, 0) + int(mask.sum())
    return [
        mask.to(torch.float32) * (weight / max(tokens[mini_batch], 1))
        for mask, mini_batch in zip(masks, mini_batches, strict=True)
    ]


def weighted_nll(log_prob: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Scalar: sum of -weights * log_prob, both (B, T). A weight of 0 hides even an infinite log_prob."""
    return -(log_prob.masked_fill(weights == 0, 0.0) * weights).sum()


def composite_loss(
    policy_loss: torch.Tensor,
    log_prob: torch.Tensor,
    weights: Sequence[torch.Tensor],
    *,
    alpha: float,
    dp_size: int = 1,
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """(loss, its three terms) of one micro-batch, as scalars.

    policy_loss: this micro-batch's share of L_GRPO, times `dp_size` as verl computes it.
    log_prob: (B, T), of the response tokens. weights: (B, T) for the teacher and for self, by `token_weights`.
    dp_size: FSDP averages gradients over the ranks, and the weights count the tokens of all ranks.
    """
    terms = [alpha * policy_loss, *(dp_size * weighted_nll(log_prob, w) for w in weights)]
    return torch.stack(terms).sum(), terms


def logit_gradient_mass(log_prob: torch.Tensor, coefficient: torch.Tensor) -> torch.Tensor:
    """Scalar: how hard a term pulls, sum over tokens of |dL/dlog p| * (1 - p).

    That is the absolute gradient of the term at the logit of each chosen token (temperature 1), a stand-in for
    its share of the parameters' gradient that needs no backward pass. Both arguments are (B, T) or flat;
    `coefficient` is dL/dlog p.
    """
    return (coefficient.detach().abs() * (1 - log_prob.detach().exp())).sum()


WEIGHT_FIELDS = ("sft_teacher_weights", "sft_self_weights")
"""Per-token fields of a batch, (response length,) each, by `loss.token_weights`."""

ALPHA_FIELD = "policy_loss_weight"

ROUNDING = 1e-4
"""Below it old and own log-prob are one policy's: the same sums in another order, as those of vLLM and the trainer in
float32. Which order it was depends on what else was generated, so that they would make each run another one."""


def rollout_loss(
    config: Any,
    model_output: dict[str, Any],
    data: TensorDict,
    dp_group: Any = None,
    *,
    policy: PolicyFile | None = None,
) -> tuple[torch.Tensor, dict[str, Any]]:
    """verl's `ppo_loss`, which is nan where no rollout of the mini-batch is trained on: here it is 0.

    Old log-probs within ROUNDING of the policy's own are taken for these. The metric `computed_token_share` says how
    much of the mini-batch is computed at all (platform/gradient_rows.py). `policy`: the user's own policy term.
    """
    if policy is not None:
        policy.use()
    if not data["batch_num_tokens"]:
        tu.assign_non_tensor(data, batch_num_tokens=1)
    own = no_padding_2_padding(model_output["log_probs"], data).detach()  # (B, response)
    old = data.select("old_log_probs").to_padded_tensor()["old_log_probs"]
    with replaced(data, "old_log_probs", torch.where((old - own).abs() < ROUNDING, own, old)):
        loss, metrics = ppo_loss(config, model_output, data, dp_group)
    metrics = token_sums(metrics, int(data["response_mask"].values().bool().sum()))
    metrics[COMPUTED_SHARE_FIELD] = float(tu.get_non_tensor_data(data, COMPUTED_SHARE_FIELD, 1.0))
    return loss, metrics


_TOKEN_SUM = "token_sum/"
_TOKENS = "tokens_of_token_sums"
"""Outside of that prefix: no mean of a user's loss is found here, whatever its name."""


def token_sums(metrics: dict[str, Any], tokens: int) -> dict[str, Any]:
    """Metrics of a micro-batch with `tokens` to train on, its means as sums over them, for `take_token_means`.

    verl takes the mean of the micro-batches' means, in which one of traces alone has a 0 for every rollout's metric. A
    mean over sequences, which a loss of the user's may give, is weighed by its micro-batch's tokens, too.
    """
    found: dict[str, Any] = {_TOKENS: Metric(value=tokens, aggregation=AggregationType.SUM)}
    for name, metric in metrics.items():
        is_mean = isinstance(metric, Metric) and metric.aggregation == AggregationType.MEAN
        # By these words verl takes the largest or the smallest of several mini-batches.
        if not is_mean or "max" in name or "min" in name:
            found[name] = metric
        else:
            value = float(metric.aggregate()) * tokens if tokens else 0.0
            found[f"{_TOKEN_SUM}{name}"] = Metric(value=value, aggregation=AggregationType.SUM)
    return found


def take_token_means(metrics: dict[str, Any]) -> None:
    """In a step's metrics: means over the tokens of all its micro-batches, by `token_sums`; 0 where there is none."""
    prefix = "actor/"
    tokens = metrics.pop(f"{prefix}{_TOKENS}", 0)
    for name in [name for name in metrics if name.startswith(f"{prefix}{_TOKEN_SUM}")]:
        value, own = metrics.pop(name), name.removeprefix(f"{prefix}{_TOKEN_SUM}")
        metrics[own if own.startswith(prefix) else f"{prefix}{own}"] = value / tokens if tokens else 0.0


def actor_loss(
    config: Any,
    model_output: dict[str, Any],
    data: TensorDict,
    dp_group: Any = None,
    *,
    policy: PolicyFile | None = None,
) -> tuple[torch.Tensor, dict[str, Any]]:
    """verl's `ppo_loss` (policy, KL and entropy) times alpha, plus the two supervised terms.

    Metrics, each a sum over micro-batches and ranks: `term/<source>`, the weighted term itself, and
    `pull/<source>`, its `logit_gradient_mass`.
    """
    log_probs = model_output["log_probs"]  # jagged, (B, prompt + response)
    values = log_probs.values()
    # A view of `values`, so that the policy term's gradient at the log-probabilities can be asked for.
    rebuilt = torch.nested.nested_tensor_from_jagged(values, offsets=log_probs.offsets())
    policy_loss, metrics = rollout_loss(
        config, {**model_output, "log_probs": rebuilt}, data, dp_group, policy=policy
    )
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
