"""Log-probabilities without flash-attn: the same values, a chunk of tokens at a time."""

import pytest
import torch
from verl.utils.torch_functional import logprobs_from_logits_naive

from verl_coder.platform.log_probs import log_probs_in_chunks


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_log_probs_in_chunks_are_the_log_probs_and_so_are_their_gradients(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    logits = torch.randn(2500, 37).to(dtype).requires_grad_()
    labels = torch.randint(37, (2500,))
    weights = torch.rand(2500)
    (log_probs_in_chunks(logits, labels) * weights).sum().backward()
    reference = logits.detach().float().requires_grad_()
    expected = logprobs_from_logits_naive(reference, labels)
    (expected * weights).sum().backward()
    torch.testing.assert_close(log_probs_in_chunks(logits, labels), expected, rtol=1e-5, atol=1e-5)
    assert logits.grad is not None and reference.grad is not None
    torch.testing.assert_close(logits.grad.float(), reference.grad, rtol=1e-2, atol=1e-5)
