"""Log-probabilities of the labels where the package flash-attn is missing: verl then loops over single tokens.

Importing the module puts it in the place of verl's. `fsdp_cpu.py` and `fsdp_gpu.py` do, which recipes name as
`external_lib`.
"""

from typing import Any

import torch
import verl.utils.torch_functional as torch_functional

_CHUNK = 1024
"""Tokens whose logits are turned into float32 at a time."""
_CHUNK_LOGITS = 1 << 23
"""Logits of float32 that are summed up at a time: what is needed beside them, 32 MB."""


def log_probs_in_chunks(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Log-probabilities of `labels` (T,) under `logits` (T, V), computed in float32 or, if they are that, float64.

    Without flash_attn, verl's own loops over the tokens of a packed row, several kernels for each.
    """
    if logits.dim() != 2:
        return _verls_log_probs(logits, labels)
    if logits.dtype in (torch.float32, torch.float64):
        # Nothing of the size of the logits is kept for the backward pass but the logits.
        rows = max(_CHUNK_LOGITS // logits.size(-1), 1)
        normalizers = torch.cat([torch.logsumexp(part, dim=-1) for part in logits.split(rows)])
        return logits.gather(-1, labels.unsqueeze(-1)).squeeze(-1) - normalizers
    parts = zip(logits.split(_CHUNK), labels.split(_CHUNK), strict=True)
    return torch.cat(
        [-torch.nn.functional.cross_entropy(part.float(), wanted, reduction="none") for part, wanted in parts]
    )


_verls_log_probs: Any = torch_functional.logprobs_from_logits_v2
torch_functional.logprobs_from_logits_v2 = log_probs_in_chunks
