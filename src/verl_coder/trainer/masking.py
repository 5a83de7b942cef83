"""Samples that are not trained on: those without a verdict, cut off ones, and ones whose last turn is void."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from verl_coder.extraction import extract_code
from verl_coder.protocols import PROTOCOLS


def unavailable_rows(extra_fields: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """(B,) bool: the sandbox failed the sample's tool call or its grading, so it is neither right nor wrong."""
    return np.array(
        [
            bool(fields.get("tool_sandbox_unavailable"))
            or bool((fields.get("reward_extra_info") or {}).get("sandbox_unavailable"))
            for fields in extra_fields
        ],
        dtype=bool,
    )


def neutral_scores(scores: torch.Tensor, uids: Sequence[str], unavailable: np.ndarray) -> torch.Tensor:
    """(B,) scores in which a row without a verdict has the mean of its group's other rows.

    So it moves neither the group's mean nor gets an advantage of its own (GRPO's baseline is that mean).
    A group in which no row has a verdict becomes constant, hence has zero advantage throughout.
    """
    result = scores.clone()
    groups = np.array([str(uid) for uid in uids])
    for uid in np.unique(groups[unavailable]):
        members = groups == uid
        known = members & ~unavailable
        mean = scores[torch.from_numpy(known)].mean() if known.any() else torch.tensor(0.0)
        result[torch.from_numpy(members & unavailable)] = mean.to(result.dtype)
        if not known.any():
            result[torch.from_numpy(members)] = 0.0
    return result


def turn_ends(eos_token_id: int, generation_config: Any) -> set[int]:
    """Tokens at which generation ends by itself: the tokenizer's, and those of the model's generation settings."""
    given = getattr(generation_config, "eos_token_id", None)
    return {eos_token_id, *(given if isinstance(given, list | tuple) else [] if given is None else [given])}


def is_overlong(response_ids: torch.Tensor, *, end_of_turn: set[int], max_tokens: int) -> bool:
    """A response, (T,) tokens, that was cut off: at the response length, or before the turn's end (DAPO)."""
    return len(response_ids) >= max_tokens or int(response_ids[-1]) not in end_of_turn


def last_turn(response_ids: torch.Tensor, response_mask: torch.Tensor) -> torch.Tensor:
    """The tokens of the last assistant turn, both (T,): the last run of ones in the mask."""
    ones = torch.nonzero(response_mask).flatten()
    if not len(ones):
        return response_ids[:0]
    gaps = torch.nonzero(ones.diff() > 1).flatten()
    first = ones[gaps[-1] + 1] if len(gaps) else ones[0]
    return response_ids[first : ones[-1] + 1]


def is_void_turn(text: str) -> bool:
    """An assistant's last turn with neither a whole tool call nor code (SimpleTIR, arXiv 2509.02479)."""
    if any(protocol.has_call(text) for protocol in PROTOCOLS.values()):
        return False
    return extract_code(text) is None
