"""The composite loss L = alpha * L_GRPO + beta * L_teacher + gamma * L_self, as functions on tensors.

Each supervised term is the mean negative log-likelihood over the tokens of its source in one mini-batch. Its
weight and its token count are folded into one number per token, known before the mini-batch is split: so a
micro-batch adds up its share, and no split over micro-batches or data-parallel ranks changes the sum (the form
sum of L_source / N_source; an empty source has no token and adds zero). The log-probabilities are those that the
policy term needs anyway.
"""

from collections.abc import Sequence

import torch

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
