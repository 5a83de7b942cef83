"""Guessed tokens on the CPU: the tokens of a seed are those that are drawn without guesses."""

import pytest
import torch

from verl_coder.platform.cpu_guesses import checked, expanded, make_room_for_guesses
from verl_coder.platform.cpu_sampling import RequestDraws, draw

COUNTS = (3, 0, 1, 4)
"""Guesses of four requests."""
PLACES = (10, 20, 30, 40)


def step(
    logits: list[torch.Tensor], seeds: list[int], guesses: list[list[int]]
) -> tuple[list[list[int]], list[int]]:
    """(tokens of each request, places of the next ones) of a step that checks these guesses."""
    counts = [len(one) for one in guesses]
    seeded = {
        row: RequestDraws(seed, place) for row, (seed, place) in enumerate(zip(seeds, PLACES, strict=True))
    }
    make_room_for_guesses(counts, seeded)
    last = draw(torch.stack([rows[-1] for rows in logits]), seeded)[:, None]
    found = checked(
        torch.tensor([token for one in guesses for token in one]),
        counts,
        torch.cat([rows[:-1] for rows in logits]),
        last,
        greedy=None,
        seeded=seeded,
        width=max(counts) + 1,
    )
    tokens = [[token for token in row if token >= 0] for row in found.tolist()]
    return tokens, [draws.position for draws in seeded.values()]


@pytest.mark.parametrize("trial", range(20))
def test_what_stays_is_what_is_drawn_one_after_the_other_up_to_the_first_wrong_guess(trial: int) -> None:
    torch.manual_seed(trial)
    logits = [2 * torch.randn(count + 1, 7) for count in COUNTS]
    seeds = [trial, trial + 1, 7, 8]
    alone = [
        [draw(rows[j : j + 1], {0: RequestDraws(seed, place + j)}).item() for j in range(len(rows))]
        for rows, seed, place in zip(logits, seeds, PLACES, strict=True)
    ]
    guesses, wanted = [], []
    for tokens, count in zip(alone, COUNTS, strict=True):
        wrong = int(torch.randint(count + 1, ()))  # where it is the count none is
        guesses.append([(token + (j == wrong)) % 7 for j, token in enumerate(tokens[:count])])
        wanted.append(tokens[: wrong + 1])
    tokens, places = step(logits, seeds, guesses)
    assert tokens == wanted
    assert places == [place + len(one) for place, one in zip(PLACES, wanted, strict=True)]


def test_greedy_rows_beside_drawn_ones_take_the_likeliest_token() -> None:
    logits = torch.tensor([[0.0, 9.0, 0.0], [5.0, 5.1, 0.0], [0.0, 0.0, 50.0]])
    found = checked(
        torch.tensor([1, 0, 2]),
        [2, 1],
        logits,
        torch.tensor([[0], [1]]),
        greedy=torch.tensor([True, False]),
        seeded={},
        width=3,
    )
    assert found.tolist() == [[1, 1, -1], [2, 1, -1]]


def test_values_of_requests_are_given_to_each_of_their_tokens_whatever_their_kind() -> None:
    ends = torch.tensor([2, 2, 5])
    for values in (torch.tensor([0.6, 1.0, 0.0]), torch.tensor([4, 5, 6], dtype=torch.int32)):
        wanted = [values[0].item()] * 2 + [values[2].item()] * 3
        assert expanded(values, ends, 5).tolist() == wanted
    assert expanded(torch.tensor([0.5, 1.0, 0.0]), ends, 5, 0, 1).tolist() == [0.5, 0.5, 1.0, 1.0, 1.0]
