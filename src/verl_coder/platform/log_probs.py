"""Log-probabilities of the labels where the package flash-attn is missing: verl then loops over single tokens.

Importing the module puts it in the place of verl's. `fsdp_gpu.py` does, which a GPU recipe names as `external_lib`.
"""

from typing import Any

import torch
import verl.utils.torch_functional as torch_functional

_CHUNK = 1024
"""Tokens whose logits are turned into float32 at a time."""


def log_probs_in_chunks(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Log-probabilities of `labels` (T,) under bfloat16 `logits` (T, V), computed in float32.

    Without flash_attn, verl's own loops over the tokens of a packed row, several kernels for each.
    """
    if logits.dtype in (torch.float32, torch.float64) or logits.dim() != 2:
        return _verls_log_probs(logits, labels)
    parts = zip(logits.split(_CHUNK), labels.split(_CHUNK), strict=True)
    return torch.cat(
        [-torch.nn.functional.cross_entropy(part.float(), wanted, reduction="none") for part, wanted in parts]
    )


_verls_log_probs: Any = torch_functional.logprobs_from_logits_v2
torch_functional.logprobs_from_logits_v2 = log_probs_in_chunks
