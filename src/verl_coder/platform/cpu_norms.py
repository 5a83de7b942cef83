"""RMS norms of vLLM on the CPU by its own C kernel, which its CPU build has and does not call.

Where nothing is compiled vLLM writes each norm as nine operations of torch. Each of them is shared out among the
threads, and waits for the slowest: with 128 sequences of a 0.5 B model the norms were a fifth of a step on two cores
beside which programs run. The kernel sums up in float32 as they do, and rounds once in the place of twice.
"""

from typing import Any

import torch

_STRIDE = 8
"""Numbers that the kernel takes at a time: rows of another length it refuses."""
_NUMBERS = (torch.float32, torch.bfloat16, torch.float16)


def put_into_vllm() -> None:
    """The kernel in the place of vLLM's `RMSNorm.forward_cpu`, where it can compute what that would."""
    from vllm import _custom_ops as ops
    from vllm.model_executor.layers.layernorm import RMSNorm

    original: Any = RMSNorm.forward_cpu
    if hasattr(original, "verl_coder_original"):
        return

    def fits(norm: Any, x: torch.Tensor) -> bool:
        whole = norm.variance_size_override is None and norm.has_weight
        return whole and x.dtype == norm.weight.dtype and x.dtype in _NUMBERS and x.shape[-1] % _STRIDE == 0

    def forward_cpu(self: Any, x: torch.Tensor, residual: torch.Tensor | None = None) -> Any:
        if not fits(self, x):
            return original(self, x, residual)
        weight = self.weight.data
        if residual is None:
            x = x.contiguous()
            out = torch.empty_like(x)
            ops.rms_norm(out, x, weight, self.variance_epsilon)
            return out
        if not x.is_contiguous() or not residual.is_contiguous() or residual.dtype != x.dtype:
            return original(self, x, residual)
        ops.fused_add_rms_norm(x, residual, weight, self.variance_epsilon)
        return x, residual

    forward_cpu.verl_coder_original = original  # type: ignore[attr-defined]
    RMSNorm.forward_cpu = forward_cpu  # type: ignore[method-assign]
