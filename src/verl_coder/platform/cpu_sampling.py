"""Tokens drawn by the inverse of the cumulative distribution: one random number a row, none for each token.

In two steps, a block of the vocabulary and then a token of it, so that all probabilities are read once. A request with
a seed has its numbers by the position of the token: whatever else is generated beside it, whether it was preempted, in
however many parts it was asked for, the same seed draws the same tokens from the same probabilities.
"""

from collections.abc import Mapping

import numpy as np
import torch

from verl_coder.platform.cpu_memory import Scratch

_BLOCK = 512
"""Tokens of a block."""
_SMALL = 2048
"""Of a vocabulary in which one step is faster."""


_DRAW = 4
"""What one draw adds to a generator's offset: vLLM takes that off for a token that it throws away."""


_PROBABILITIES = Scratch()


class RequestDraws:
    """The random numbers of one request, in the place of its generator: seed, and position of the next token."""

    def __init__(self, seed: int, position: int) -> None:
        self.seed = seed & 0xFFFFFFFFFFFFFFFF
        self._offset = position * _DRAW

    @property
    def position(self) -> int:
        """Where the token stands that is drawn next."""
        return self._offset // _DRAW

    def next_position(self) -> int:
        """Where the token stands that is drawn now; the next call is for the one behind it."""
        position = self.position
        self.move(1)
        return position

    def move(self, tokens: int) -> None:
        """Go on by so many tokens, or back."""
        self._offset += tokens * _DRAW

    def get_offset(self) -> int:
        """As of vLLM's generators: grows by 4 with each draw."""
        return self._offset

    def set_offset(self, offset: int) -> None:
        """Go back to what `get_offset` gave."""
        self._offset = offset


def uniform(seeds: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Numbers in [0, 1) by seed and position, both uint64 [n]: the mixing function of SplitMix64, of both in turn."""
    with np.errstate(over="ignore"):
        mixed = _mix(_mix(seeds) + positions * np.uint64(0x9E3779B97F4A7C15))
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mix(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _places(rows: int, seeded: Mapping[int, RequestDraws]) -> torch.Tensor:
    """One number in [0, 1) for each row, float64 [rows, 1]: of its request where that has a seed, else torch's next."""
    places = torch.rand(rows, 1, dtype=torch.float64)
    if seeded:
        seeds = np.array([draws.seed for draws in seeded.values()], np.uint64)
        positions = np.array([draws.next_position() for draws in seeded.values()], np.uint64)
        places[list(seeded), 0] = torch.from_numpy(uniform(seeds, positions))
    return places


def draw(logits: torch.Tensor, seeded: Mapping[int, RequestDraws] | None = None) -> torch.Tensor:
    """Token ids [rows] drawn from the softmax of logits [rows, vocabulary]; one of probability 0 is never drawn.

    `seeded`: the draws of those rows whose request has a seed.
    """
    rows, size = logits.shape
    probabilities = torch.softmax(logits, dim=-1, dtype=torch.float32, out=_PROBABILITIES.matrix(rows, size))
    place = _places(rows, seeded or {})
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
