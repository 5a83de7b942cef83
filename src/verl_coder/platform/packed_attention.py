"""Attention over rows of one packed sequence with PyTorch's own kernels: `attn_implementation: packed`.

verl packs a micro-batch into one row without padding and asks for flash-attn, which no package index has as a wheel.
PyTorch carries the same variable-length kernels (`torch.nn.attention.varlen`); this puts them behind transformers'
interface. On a CPU each sequence goes through `scaled_dot_product_attention` by itself, and a sequence may go on from
the first tokens of one before it, as `shared_prefix.py` lays them out.
Importing the module registers it: name it in `actor_rollout_ref.model.external_lib`.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch.nn import functional
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "packed"


@dataclass
class Sequences:
    """Where the sequences of a packed row begin, as its positions tell.

    `starts` (sequences + 1,) int32, `longest` in tokens; `prefixes` holds for each sequence where the tokens begin that
    it goes on from, and how many: a sequence whose first position is n goes on from the first n tokens of the last
    sequence that began with 0.
    """

    starts: torch.Tensor
    longest: int
    prefixes: list[tuple[int, int]]


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
    """Causal attention in which a position of 0, or one that does not follow the last, begins a sequence.

    query (batch, heads, tokens, dim), key and value (batch, key heads, tokens, dim); returns
    (batch, tokens, heads, dim). A padded batch and a decoding step go to transformers' own SDPA.
    """
    batch, heads, tokens, dim = query.shape
    if attention_mask is not None or key.shape[2] != tokens or dropout:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **kwargs
        )
    sequences = _sequences(position_ids, batch, tokens, query.device)
    if query.is_cuda and query.dtype in (torch.bfloat16, torch.float16):
        output = _on_cuda(query, key, value, sequences, scaling, sliding_window)
    else:
        output = _by_sequence(query, key, value, sequences, scaling, sliding_window)
    return output.view(batch, tokens, heads, dim), None


def _on_cuda(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    sequences: Sequences,
    scaling: float | None,
    sliding_window: int | None,
) -> torch.Tensor:
    """One kernel for all sequences; heads that share a key head are not copied."""
    from torch.nn.attention.varlen import varlen_attn

    starts, longest = sequences.starts, sequences.longest
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
    sequences: Sequences,
    scaling: float | None,
    sliding_window: int | None,
) -> torch.Tensor:
    """One call of SDPA for each sequence: (all tokens, heads, dim)."""
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    queries, keys, values = (tensor.transpose(0, 1).flatten(1, 2) for tensor in (query, key, value))
    outputs = []
    for (begin, end), (root, shared) in zip(
        pairwise(sequences.starts.tolist()), sequences.prefixes, strict=True
    ):
        own_keys, own_values = keys[:, begin:end], values[:, begin:end]
        if shared:
            own_keys = torch.cat([keys[:, root : root + shared], own_keys], dim=1)
            own_values = torch.cat([values[:, root : root + shared], own_values], dim=1)
        mask = _mask(end - begin, shared, sliding_window, query.device)
        output = functional.scaled_dot_product_attention(
            queries[None, :, begin:end],
            own_keys[None],
            own_values[None],
            attn_mask=mask,
            is_causal=mask is None,
            scale=scaling,
        )
        outputs.append(output[0])
    return torch.cat(outputs, dim=1).transpose(0, 1)


def _mask(own: int, shared: int, window: int | None, device: torch.device) -> torch.Tensor | None:
    """(own, shared + own): what a token sees of the prefix and of its own sequence; None where it is merely causal."""
    if not shared and not (window and window < own):
        return None
    distance = torch.arange(shared, shared + own, device=device)[:, None] - torch.arange(
        shared + own, device=device
    )
    return (distance >= 0) if not window else (distance >= 0) & (distance < window)


def packed_mask(
    *, q_length: int, kv_length: int, attention_mask: torch.Tensor | None = None, **kwargs: Any
) -> torch.Tensor | None:
    """transformers' SDPA mask for a padded batch or a step of decoding; None where positions tell everything."""
    if q_length == kv_length and (attention_mask is None or bool(attention_mask.all())):
        return None
    return sdpa_mask(q_length=q_length, kv_length=kv_length, attention_mask=attention_mask, **kwargs)


_last: tuple[torch.Tensor, int, Sequences] | None = None


def _sequences(position_ids: torch.Tensor | None, batch: int, tokens: int, device: torch.device) -> Sequences:
    """The sequences that positions (batch, tokens) tell of.

    All layers of a pass have the same tensor of positions, so it is looked at once.
    """
    global _last
    if position_ids is None:
        starts = torch.arange(0, (batch + 1) * tokens, tokens, dtype=torch.int32, device=device)
        return Sequences(starts, tokens, [(0, 0)] * batch)
    if _last is not None and _last[0] is position_ids and _last[1] == position_ids._version:
        return _last[2]
    flat = position_ids.expand(batch, tokens).reshape(-1)
    follows = functional.pad(flat[1:] == flat[:-1] + 1, (1, 0), value=False)
    begins = (~follows).nonzero().view(-1)
    starts = functional.pad(begins, (0, 1), value=batch * tokens).to(torch.int32)
    root, prefixes = 0, []
    for begin, first in zip(begins.tolist(), flat[begins].tolist(), strict=True):
        root = begin if first == 0 else root
        prefixes.append((root, first))
    _last = (position_ids, position_ids._version, Sequences(starts, int(starts.diff().max()), prefixes))
    return _last[2]


AttentionInterface.register(NAME, packed_attention)
AttentionMaskInterface.register(NAME, packed_mask)
