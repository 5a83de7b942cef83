"""Guessed tokens (vLLM's speculative decoding) on the CPU: a step draws what it would draw without guesses.

vLLM computes the guesses of a sequence at once with its next token, and then decides how many of them stay. Its own way
takes random numbers of its own for that. Here each place is drawn as always, by its request's seed and its position
(`cpu_sampling.py`), and a guess stays where it is what was drawn: of a guess without a distribution of its own that has
the same probability, the guess's, and the text of a seed is the same with and without guesses.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from verl_coder.platform.cpu_sampling import RequestDraws, draw

_NONE = -1
"""vLLM's mark of a place without a token."""


def make_room_for_guesses(counts: Sequence[int], seeded: Mapping[int, RequestDraws]) -> None:
    """The next draw of each seeded request is that of the token behind its guesses, of which there are `counts`."""
    for row, draws in seeded.items():
        draws.move(counts[row])


def checked(
    guesses: torch.Tensor,
    counts: Sequence[int],
    logits: torch.Tensor,
    last: torch.Tensor,
    *,
    greedy: torch.Tensor | None,
    seeded: Mapping[int, RequestDraws],
    width: int,
) -> torch.Tensor:
    """Tokens of one step, int32 [requests, width]: of each request those drawn up to the first that was not guessed.

    `guesses` [n] of all requests one after the other, `counts` of each; `logits` [n, vocabulary] of their places;
    `last` [requests, 1]: the token behind the guesses, drawn before (`make_room_for_guesses`), which stays where all
    of them do. `greedy` [requests]: whose tokens are the likeliest ones. `seeded` go on behind their last token.
    """
    ends = torch.tensor([0, *counts]).cumsum(0).tolist()
    begins = {row: draws.position - 1 - counts[row] for row, draws in seeded.items()}
    places = {
        ends[row] + number: RequestDraws(draws.seed, begins[row] + number)
        for row, draws in seeded.items()
        for number in range(counts[row])
    }
    drawn = draw(logits, places)
    if greedy is not None and bool(greedy.any()):
        wanted = greedy.repeat_interleave(torch.tensor(counts))
        drawn = torch.where(wanted, logits.argmax(dim=-1), drawn)
    agree = (drawn == guesses).tolist()
    found = torch.full((len(counts), width), _NONE, dtype=torch.int32)
    for row, count in enumerate(counts):
        begin = ends[row]
        kept = next((number for number in range(count) if not agree[begin + number]), count)
        size = min(kept + 1, count)
        found[row, :size] = drawn[begin : begin + size]
        if kept == count:
            found[row, count] = last[row, 0]
        if row in seeded:
            seeded[row].move(begins[row] + kept + 1 - seeded[row].position)
    return found


def expanded(
    values: torch.Tensor, ends: torch.Tensor, tokens: int, replace_from: float = 0, replace_to: float = 0
) -> torch.Tensor:
    """Of values [requests] one for each of the `tokens`, of which a request's last one stands before its `ends`.

    As vLLM 0.29's own function says, which on the CPU writes into a copy where values are no 64-bit whole numbers, and
    so gives temperatures that are whatever stood in the memory.
    """
    counts = ends.diff(prepend=ends.new_zeros(1)).long()
    values = torch.where(values == replace_from, replace_to, values) if replace_from != replace_to else values
    return values.repeat_interleave(counts, output_size=tokens)


def put_into_vllm() -> None:
    """Let vLLM's rejection sampler check guesses so; greedy batches stay with its own code."""
    from vllm.v1.sample import rejection_sampler

    forward: Any = rejection_sampler.RejectionSampler.forward
    if hasattr(forward, "verl_coder_original"):
        return
    original = rejection_sampler.rejection_sample

    def forward_with_room(self: Any, metadata: Any, draft_probs: Any, logits: Any, sampling: Any) -> Any:
        make_room_for_guesses(metadata.num_draft_tokens, sampling.generators)
        return forward(self, metadata, draft_probs, logits, sampling)

    def rejection_sample(
        guesses: Any,
        counts: Any,
        most: int,
        ends: Any,
        probs: Any,
        logits: Any,
        last: Any,
        sampling: Any,
        **more: Any,
    ) -> Any:
        if sampling.all_greedy:
            return original(guesses, counts, most, ends, probs, logits, last, sampling, **more)
        greedy = None if sampling.all_random else sampling.temperature == rejection_sampler.GREEDY_TEMPERATURE
        return checked(
            guesses, counts, logits, last, greedy=greedy, seeded=sampling.generators, width=most + 1
        )

    forward_with_room.verl_coder_original = forward  # type: ignore[attr-defined]
    rejection_sampler.RejectionSampler.forward = forward_with_room  # type: ignore[method-assign]
    rejection_sampler.rejection_sample = rejection_sample
    rejection_sampler.expand_batch_to_tokens = expanded  # type: ignore[assignment]
