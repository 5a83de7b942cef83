"""Attention over rows of one packed sequence with PyTorch's own kernels: `attn_implementation: packed`.

verl packs a micro-batch into one row without padding and asks for flash-attn, which no package index has as a wheel.
PyTorch carries the same variable-length kernels (`torch.nn.attention.varlen`); this puts them behind transformers'
interface. On a CPU each sequence goes through `scaled_dot_product_attention` by itself.
Importing the module registers it: name it in `actor_rollout_ref.model.external_lib`.
"""

from itertools import pairwise
from typing import Any

import torch
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "packed"


def packed_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    position_ids: torch.Tensor | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention in which a position of 0 begins a sequence.

    query (batch, heads, tokens, dim), key and value (batch, key heads, tokens, dim); returns
    (batch, tokens, heads, dim). A padded batch and a decoding step go to transformers' own SDPA.
    """
    batch, heads, tokens, dim = query.shape
    if attention_mask is not None or key.shape[2] != tokens or dropout:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    starts, longest = _sequences(position_ids, batch, tokens, query.device)
    if query.is_cuda and query.dtype in (torch.bfloat16, torch.float16):
        output = _on_cuda(query, key, value, starts, longest, scaling, sliding_window)
    else:
        output = _by_sequence(query, key, value, starts.tolist(), scaling, sliding_window)
    return output.view(batch, tokens, heads, dim), None


def _on_cuda(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    starts: torch.Tensor,
    longest: int,
    scaling: float | None,
    sliding_window: int | None,
) -> torch.Tensor:
    """One kernel for all sequences; heads that share a key head are not copied."""
    from torch.nn.attention.varlen import varlen_attn

    window = (sliding_window - 1, 0) if sliding_window else (-1, 0)
    queries, keys, values = (t.transpose(1, 2).flatten(0, 1).contiguous() for t in (query, key, value))
    output = varlen_attn(
        queries, keys, values, starts, starts, longest, longest, scale=scaling, window_size=window
    )
    assert isinstance(output, torch.Tensor)
    return output


def _by_sequence(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    starts: list[int],
    scaling: float | None,
    sliding_window: int | None,
) -> torch.Tensor:
    """One call of SDPA for each sequence: (all tokens, heads, dim)."""
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    flat = [tensor.transpose(0, 1).flatten(1, 2) for tensor in (query, key, value)]  # heads, all tokens, dim
    outputs = []
    for begin, end in pairwise(starts):
        queries, keys, values = (tensor[None, :, begin:end] for tensor in flat)
        length = end - begin
        mask = None
        if sliding_window and sliding_window < length:
            place = torch.arange(length, device=query.device)
            distance = place[:, None] - place[None, :]
            mask = (distance >= 0) & (distance < sliding_window)
        outputs.append(
            functional.scaled_dot_product_attention(
                queries, keys, values, attn_mask=mask, is_causal=mask is None, scale=scaling
            )[0]
        )
    return torch.cat(outputs, dim=1).transpose(0, 1)


def packed_mask(
    *, q_length: int, kv_length: int, attention_mask: torch.Tensor | None = None, **kwargs: Any
) -> torch.Tensor | None:
    """transformers' SDPA mask for a padded batch or a step of decoding; None where positions tell everything."""
    if q_length == kv_length and (attention_mask is None or bool(attention_mask.all())):
        return None
    return sdpa_mask(q_length=q_length, kv_length=kv_length, attention_mask=attention_mask, **kwargs)


_last: tuple[torch.Tensor, int, tuple[torch.Tensor, int]] | None = None


def _sequences(
    position_ids: torch.Tensor | None, batch: int, tokens: int, device: torch.device
) -> tuple[torch.Tensor, int]:
    """Where sequences begin, with the end of the last one (int32), and the longest length.

    All layers of a pass have the same tensor of positions, so it is looked at once.
    """
    global _last
    if position_ids is None:
        return torch.arange(0, (batch + 1) * tokens, tokens, dtype=torch.int32, device=device), tokens
    if _last is not None and _last[0] is position_ids and _last[1] == position_ids._version:
        return _last[2]
    flat = position_ids.expand(batch, tokens).reshape(-1)
    begins = (flat == 0).nonzero().view(-1).to(torch.int32)
    starts = functional.pad(begins, (0, 1), value=batch * tokens)
    _last = (position_ids, position_ids._version, (starts, int(starts.diff().max())))
    return _last[2]


AttentionInterface.register(NAME, packed_attention)
AttentionMaskInterface.register(NAME, packed_mask)
