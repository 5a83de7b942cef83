"""RMS norms of vLLM on the CPU by its own C kernel, which its CPU build has and does not call.

Where nothing is compiled vLLM writes each norm as nine operations of torch. Each of them is shared out among the
threads, and waits for the slowest: with 128 sequences of a 0.5 B model the norms were a fifth of a step on two cores
beside which programs run. The kernel sums up in float32 as they do, and rounds once in the place of twice.
"""

from typing import Any

import torch


def put_into_vllm() -> None:
    """The kernel in the place of vLLM's `RMSNorm.forward_cpu`, where it can compute what that would."""
    from vllm.model_executor.layers.layernorm import RMSNorm

    original: Any = RMSNorm.forward_cpu
    if hasattr(original, "verl_coder_original") or not hasattr(torch.ops._C, "fused_add_rms_norm"):
        return

    def forward_cpu(self: Any, x: torch.Tensor, residual: torch.Tensor | None = None) -> Any:
        weight = self.weight.data
        if self.variance_size_override is not None or not self.has_weight or x.dtype != weight.dtype:
            return original(self, x, residual)
        if residual is None:
            x = x.contiguous()
            out = torch.empty_like(x)
            torch.ops._C.rms_norm(out, x, weight, self.variance_epsilon)
            return out
        if not x.is_contiguous() or not residual.is_contiguous() or residual.dtype != x.dtype:
            return original(self, x, residual)
        torch.ops._C.fused_add_rms_norm(x, residual, weight, self.variance_epsilon)
        return x, residual

    forward_cpu.verl_coder_original = original  # type: ignore[attr-defined]
    RMSNorm.forward_cpu = forward_cpu  # type: ignore[method-assign]
