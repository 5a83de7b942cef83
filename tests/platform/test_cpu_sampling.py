"""Tokens drawn by one number a row: by their probabilities, none of probability 0.

A request's seed and a token's position decide its number, whatever else is drawn.
"""

import numpy as np
import torch

from verl_coder.platform.cpu_sampling import RequestDraws, draw, uniform


def test_tokens_come_as_often_as_their_probabilities_say() -> None:
    torch.manual_seed(0)
    probabilities = torch.tensor([0.5, 0.0, 0.25, 0.2, 0.05])
    ids = draw(probabilities.log().expand(40_000, -1))
    shares = torch.bincount(ids, minlength=5) / len(ids)
    torch.testing.assert_close(shares, probabilities, rtol=0, atol=0.01)
    assert shares[1] == 0


def test_the_last_tokens_of_a_vocabulary_that_fills_no_whole_block_are_drawn() -> None:
    torch.manual_seed(0)
    logits = torch.full((100, 5000), -torch.inf)
    logits[:, [0, 4607, 4608, 4999]] = 1.0
    assert set(draw(logits).tolist()) == {0, 4607, 4608, 4999}


def test_each_row_is_drawn_from_its_own_distribution() -> None:
    for size in (1000, 9000):
        logits = torch.full((3, size), -torch.inf)
        for row, token in enumerate((0, 999, 500)):
            logits[row, token] = 3.0
        assert draw(logits).tolist() == [0, 999, 500]


def test_rare_tokens_of_a_large_vocabulary_keep_their_share() -> None:
    torch.manual_seed(0)
    logits = torch.zeros(1, 150_000).repeat(200, 1)
    logits[:, 0] = 11.9  # as likely as all the others together
    ids = torch.cat([draw(logits) for _ in range(5)])
    rare = ids[ids != 0].double()
    assert 0.45 < len(rare) / 1000 < 0.55
    assert 0.45 < rare.mean() / 150_000 < 0.55


def test_logits_that_are_no_numbers_give_a_token_that_exists() -> None:
    for size in (7, 5000):
        assert draw(torch.full((2, size), torch.nan)).max() < size


def test_the_draw_of_a_seed_is_the_same_again() -> None:
    logits = torch.randn(64, 300)
    drawn = [torch.manual_seed(3) and draw(logits) for _ in range(2)]
    assert torch.equal(*drawn)


def seeded(logits: torch.Tensor, seeds: list[int], positions: list[int]) -> list[int]:
    draws = {
        row: RequestDraws(seed, position)
        for row, (seed, position) in enumerate(zip(seeds, positions, strict=True))
    }
    return draw(logits, draws).tolist()


def test_a_seeded_rows_token_does_not_depend_on_the_rows_beside_it() -> None:
    logits = torch.randn(6, 900)
    seeds, positions = [3, 3, 4, 5, 6, 7], [10, 11, 10, 10, 12, 400]
    together = seeded(logits, seeds, positions)
    alone = [seeded(logits[i : i + 1], [seeds[i]], [positions[i]])[0] for i in range(6)]
    order = [4, 0, 5, 2, 1, 3]
    mixed = seeded(logits[order], [seeds[i] for i in order], [positions[i] for i in order])
    assert together == alone == [mixed[order.index(i)] for i in range(6)]


def test_a_request_in_two_parts_draws_what_it_draws_in_one() -> None:
    logits = torch.randn(1, 900).repeat(10, 1)
    whole = RequestDraws(9, 20)
    one = [draw(logits[:1], {0: whole}).item() for _ in range(10)]
    parts = [RequestDraws(9, 20), RequestDraws(9, 26)]
    two = [draw(logits[:1], {0: parts[i >= 6]}).item() for i in range(10)]
    assert one == two and len(set(one)) > 5


def test_a_draw_that_is_taken_back_is_drawn_again() -> None:
    logits, draws = torch.randn(1, 900), RequestDraws(9, 20)
    first = draw(logits, {0: draws}).item()
    draws.set_offset(draws.get_offset() - 4)
    assert draw(logits, {0: draws}).item() == first


def test_numbers_of_neighbouring_seeds_and_positions_are_even_and_do_not_follow_each_other() -> None:
    seeds, positions = np.meshgrid(np.arange(300, dtype=np.uint64), np.arange(300, dtype=np.uint64))
    numbers = uniform(seeds.ravel(), positions.ravel())
    shares = np.histogram(numbers, bins=20, range=(0, 1))[0] / len(numbers)
    np.testing.assert_allclose(shares, 0.05, atol=0.003)
    square = numbers.reshape(300, 300)
    for axis in (0, 1):
        a, b = np.take(square, range(299), axis), np.take(square, range(1, 300), axis)
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.015
    assert len(set(numbers.tolist())) == len(numbers)


def test_seeded_tokens_come_as_often_as_their_probabilities_say() -> None:
    probabilities = torch.tensor([0.5, 0.0, 0.25, 0.2, 0.05])
    ids = torch.tensor(seeded(probabilities.log().expand(40_000, -1), [5] * 40_000, list(range(40_000))))
    torch.testing.assert_close(torch.bincount(ids, minlength=5) / len(ids), probabilities, rtol=0, atol=0.01)
