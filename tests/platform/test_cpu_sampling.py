"""Tokens drawn by one number a row: by their probabilities, none of probability 0, and vLLM draws so on the CPU."""

import subprocess
import sys

import torch

from verl_coder.platform.cpu_sampling import draw

_VLLM_DRAWS_SO = """
from verl_coder.platform.vllm_plugin import register
register()
import torch
from vllm.v1.sample.ops import topk_topp_sampler
from verl_coder.platform.cpu_sampling import draw
assert topk_topp_sampler.compiled_random_sample is draw
sampler = topk_topp_sampler.TopKTopPSampler()
ids, _ = sampler(torch.tensor([[0.0, 9.0, 8.0, -99.0]] * 50), {}, None, torch.full((50,), 0.6))
assert set(ids.tolist()) == {1}, ids
"""


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


def test_vllm_draws_so_on_the_cpu() -> None:
    found = subprocess.run(
        [sys.executable, "-c", _VLLM_DRAWS_SO], capture_output=True, text=True, timeout=120
    )
    assert found.returncode == 0, found.stderr[-2000:]
