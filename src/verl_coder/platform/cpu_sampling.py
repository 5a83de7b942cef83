"""Tokens drawn by the inverse of the cumulative distribution: one random number a row, none for each token.

In two steps, a block of the vocabulary and then a token of it, so that all probabilities are read once.
"""

import torch

_BLOCK = 512
"""Tokens of a block."""
_SMALL = 2048
"""Of a vocabulary in which one step is faster."""


def draw(logits: torch.Tensor) -> torch.Tensor:
    """Token ids [rows] drawn from the softmax of logits [rows, vocabulary]; one of probability 0 is never drawn."""
    probabilities = logits.softmax(dim=-1, dtype=torch.float32)
    rows, size = probabilities.shape
    place = torch.rand(rows, 1, dtype=torch.float64)
    if size <= _SMALL:
        return _pick(probabilities, place)[0].view(-1)
    filled = size // _BLOCK * _BLOCK
    sums = torch.cat(
        [
            probabilities[:, :filled].unflatten(-1, (filled // _BLOCK, _BLOCK)).sum(-1),
            probabilities[:, filled:].sum(-1, keepdim=True),
        ],
        dim=-1,
    )
    block, rest = _pick(sums, place)
    tokens = block * _BLOCK + torch.arange(_BLOCK)
    inside = probabilities.gather(-1, tokens.clamp(max=size - 1)).masked_fill_(tokens >= size, 0.0)
    token, _ = _pick(inside, rest)
    # Of logits that are not numbers any token, as by argmax, but one that exists.
    return (block * _BLOCK + token).view(-1).clamp_(max=size - 1)


def _pick(weights: torch.Tensor, at: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the place `at` in [0, 1) of weights [rows, n] side by side: index, how far into its weight; each [rows, 1]."""
    cumulative = weights.cumsum(dim=-1, dtype=torch.float64)
    total = cumulative[:, -1:]
    # The product may be rounded up to the total itself, which no index reaches.
    place = torch.minimum(at * total, torch.nextafter(total, torch.zeros_like(total)))
    index = torch.searchsorted(cumulative, place, right=True).clamp_(max=weights.shape[-1] - 1)
    weight = weights.gather(-1, index)
    return index, (place - cumulative.gather(-1, index) + weight) / weight
