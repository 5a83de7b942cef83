"""`attn_implementation: packed` computes each sequence of a row as if it were alone."""

import pytest
import torch
from small_model import small_model
from transformers import Qwen2ForCausalLM

from verl_coder.platform import packed_attention

LENGTHS = (7, 1, 12, 5)


def _row() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    ids = torch.randint(50, (1, sum(LENGTHS)))
    return ids, torch.cat([torch.arange(length) for length in LENGTHS])[None]


def _alone(model: Qwen2ForCausalLM, ids: torch.Tensor) -> torch.Tensor:
    return torch.cat([model(input_ids=part).logits for part in ids.split(LENGTHS, dim=1)], dim=1)


@pytest.mark.parametrize("window", [None, 3])
def test_a_sequence_of_a_row_sees_itself_only(window: int | None) -> None:
    settings: dict[str, object] = {}
    if window:
        settings = {"use_sliding_window": True, "sliding_window": window, "max_window_layers": 0}
    ids, positions = _row()
    packed = small_model(packed_attention.NAME, **settings)(input_ids=ids, position_ids=positions).logits
    torch.testing.assert_close(packed, _alone(small_model("eager", **settings), ids), rtol=1e-4, atol=1e-5)


def test_the_gradients_of_a_row_are_those_of_its_sequences() -> None:
    ids, positions = _row()
    packed, alone = small_model(packed_attention.NAME), small_model("sdpa")
    packed(input_ids=ids, position_ids=positions).logits.square().mean().backward()
    _alone(alone, ids).square().mean().backward()
    for (name, ours), theirs in zip(packed.named_parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-6, msg=name)


def test_two_rows_of_other_lengths_after_each_other_are_not_confused() -> None:
    ids, positions = _row()
    model = small_model(packed_attention.NAME)
    first = model(input_ids=ids, position_ids=positions).logits
    model(input_ids=ids, position_ids=torch.arange(ids.shape[1])[None])
    torch.testing.assert_close(model(input_ids=ids, position_ids=positions).logits, first)


def test_positions_changed_in_place_are_looked_at_again() -> None:
    ids, positions = _row()
    model = small_model(packed_attention.NAME)
    model(input_ids=ids, position_ids=positions)
    positions.copy_(torch.arange(ids.shape[1])[None])
    torch.testing.assert_close(
        model(input_ids=ids, position_ids=positions).logits,
        small_model("sdpa")(input_ids=ids).logits,
        rtol=1e-4,
        atol=1e-5,
    )


def test_padding_is_not_seen() -> None:
    torch.manual_seed(2)
    ids, mask = torch.randint(50, (2, 9)), torch.ones(2, 9, dtype=torch.long)
    mask[0, :4] = 0
    ours, theirs = (
        small_model(name)(input_ids=ids, attention_mask=mask).logits[mask.bool()]
        for name in ("packed", "sdpa")
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_model_that_generates_with_a_cache_generates_the_same() -> None:
    ids, _ = _row()
    ours, theirs = (
        small_model(name).generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False
        )
        for name in ("packed", "sdpa")
    )
    assert ours.tolist() == theirs.tolist()
