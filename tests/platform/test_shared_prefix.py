"""`attn_implementation: shared_prefix`: what samples have in common is computed once, and nothing else changes."""

import random
from typing import Any

import pytest
import torch
import verl.workers.engine.fsdp.transformer_impl as fsdp
from small_model import small_engine
from tensordict import TensorDict
from verl.utils import tensordict_utils as tu

from verl_coder.platform import packed_attention, shared_prefix

PROMPTS = ([*range(3, 33)], [*range(40, 10, -1)], [5, 6, 7])


def _rows(seed: int = 0) -> list[list[int]]:
    """Three prompts, the first two long, with three answers each of 1 to 9 tokens, in mixed order."""
    draw = random.Random(seed)
    rows = [prompt + draw.choices(range(50), k=draw.randint(1, 9)) for prompt in PROMPTS for _ in range(3)]
    draw.shuffle(rows)
    return rows


def _batch(rows: list[list[int]], **settings: Any) -> TensorDict:
    def nested(values: list[list[int]]) -> torch.Tensor:
        return torch.nested.as_nested_tensor([torch.tensor(v) for v in values], layout=torch.jagged)

    fields = {"input_ids": nested(rows), "position_ids": nested([list(range(len(row))) for row in rows])}
    data = TensorDict(fields, batch_size=len(rows))
    tu.assign_non_tensor(data, use_remove_padding=True, temperature=0.7, calculate_entropy=True, **settings)
    return data


def _pass(engine: Any, data: TensorDict) -> tuple[dict[str, torch.Tensor], int]:
    """Values of every token, and the number of tokens that the model computed."""
    inputs, arguments = engine.prepare_model_inputs(data)
    output = engine.module(**inputs, use_cache=False)
    found = engine.prepare_model_outputs(output, arguments, data, None)
    return {name: value.values() for name, value in found.items()}, inputs["input_ids"].numel()


def test_log_probs_entropy_and_gradients_are_those_of_the_samples_alone() -> None:
    data = _batch(_rows())
    weights = torch.randn(int(data["input_ids"].offsets()[-1]), generator=torch.Generator().manual_seed(1))
    gradients, values, computed = {}, {}, {}
    for name in (packed_attention.NAME, shared_prefix.NAME):
        engine = small_engine(name)
        values[name], computed[name] = _pass(engine, data)
        keep = torch.cat(
            [torch.arange(len(row)) < len(row) - 1 for row in _rows()]
        )  # the last token has no label
        ((values[name]["log_probs"] + values[name]["entropy"]) * weights * keep).sum().backward()
        gradients[name] = {key: value.grad for key, value in engine.module.named_parameters()}
    assert computed[shared_prefix.NAME] < 0.6 * computed[packed_attention.NAME]
    for key in ("log_probs", "entropy"):
        ours, theirs = (values[name][key][keep] for name in (shared_prefix.NAME, packed_attention.NAME))
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    for key, value in gradients[packed_attention.NAME].items():
        torch.testing.assert_close(gradients[shared_prefix.NAME][key], value, rtol=1e-3, atol=1e-5, msg=key)


def test_rows_without_a_common_beginning_are_left_as_they_are() -> None:
    rows = [[number, *range(20)] for number in range(4)]
    _, computed = _pass(small_engine(shared_prefix.NAME), _batch(rows))
    assert computed == sum(map(len, rows))


def test_the_same_row_twice_is_computed_nearly_once() -> None:
    row = list(range(40))
    values, computed = _pass(small_engine(shared_prefix.NAME), _batch([row, row]))
    assert computed == 39 + 1 + 1
    torch.testing.assert_close(values["log_probs"][:40], values["log_probs"][40:])


@pytest.mark.parametrize("attention", [packed_attention.NAME, shared_prefix.NAME])
def test_only_trained_tokens_have_logits_and_their_values_and_gradients_stay(attention: str) -> None:
    rows = _rows()
    masks = [[float(place % 3 != 1) for place in range(len(row) - (len(row) > 9) * 5)] for row in rows]
    extra = [[float(place == 1) for place in range(len(mask))] for mask in masks]

    def jagged(values: list[list[float]]) -> torch.Tensor:
        return torch.nested.as_nested_tensor([torch.tensor(v) for v in values], layout=torch.jagged)

    found, gradients, computed = [], [], []
    for marked in (False, True):
        engine, data = small_engine(attention), _batch(rows)
        if marked:
            data["loss_mask"], data["sft_teacher_weights"] = jagged(masks), jagged(extra)
        inputs, arguments = engine.prepare_model_inputs(data)
        output = engine.module(**inputs, use_cache=False)
        computed.append(output.logits.shape[1])
        values = engine.prepare_model_outputs(output, arguments, data, None)
        total = 0.0
        for name in ("log_probs", "entropy"):
            for row, mask, other in zip(values[name].unbind(), masks, extra, strict=True):
                weights = torch.tensor([max(pair) for pair in zip(mask, other, strict=True)])
                shifted = row[len(row) - len(mask) - 1 : len(row) - 1] if len(mask) < len(row) else row[:-1]
                weights = weights[-len(shifted) :]
                found.append(shifted.detach()[weights > 0])
                total = total + (shifted * weights).sum()
        assert isinstance(total, torch.Tensor)
        total.backward()
        gradients.append({key: value.grad for key, value in engine.module.named_parameters()})
    half = len(found) // 2
    for ours, theirs in zip(found[half:], found[:half], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    for key, value in gradients[0].items():
        torch.testing.assert_close(gradients[1][key], value, rtol=1e-3, atol=1e-5, msg=key)
    assert computed[1] < computed[0]


def test_a_batch_of_which_nothing_is_trained_has_values_of_zero_and_a_gradient() -> None:
    rows = _rows()
    engine, data = small_engine(shared_prefix.NAME), _batch(rows)
    data["loss_mask"] = torch.nested.as_nested_tensor([torch.zeros(2) for _ in rows], layout=torch.jagged)
    inputs, arguments = engine.prepare_model_inputs(data)
    output = engine.module(**inputs, use_cache=False)
    values = engine.prepare_model_outputs(output, arguments, data, None)["log_probs"].values()
    assert len(values) == sum(map(len, rows)) and int(values.count_nonzero()) <= 1 + len(rows)
    (values * 0).sum().backward()


@pytest.mark.parametrize("seed", range(20))
def test_every_token_of_the_layout_stands_where_it_stood(seed: int) -> None:
    rows = _rows(seed)
    data = _batch(rows)
    layout = shared_prefix.layout_of(data["input_ids"])
    assert layout is not None
    for field in ("input_ids", "position_ids"):
        flat = data[field].values()
        assert torch.equal(flat[layout.source][layout.expand], flat)


@pytest.mark.parametrize("seed", range(20))
def test_micro_batches_hold_every_row_once_and_fit(seed: int) -> None:
    rows = _rows(seed)
    batches = shared_prefix.micro_batches(rows, most=60)
    assert sorted(number for batch in batches for number in batch) == list(range(len(rows)))
    for batch in batches:
        assert (
            sum(cluster.tokens for cluster in shared_prefix.clusters([rows[number] for number in batch]))
            <= 60
        )


def test_there_are_as_many_micro_batches_as_another_rank_needs() -> None:
    rows = _rows()
    batches = shared_prefix.micro_batches(rows, most=1000, least=5)
    assert len(batches) == 5
    assert all(batches)
    assert sorted(number for batch in batches for number in batch) == list(range(len(rows)))


def test_a_row_longer_than_a_micro_batch_is_an_error() -> None:
    with pytest.raises(ValueError, match="the longest of 39 tokens"):
        shared_prefix.micro_batches([list(range(39))], most=30)


def test_the_engine_makes_micro_batches_of_rows_that_begin_alike() -> None:
    rows = _rows()
    data = _batch(rows, shares_prefixes=True, max_token_len_per_gpu=60, use_dynamic_bsz=True)
    parts, indices = fsdp.prepare_micro_batches(data=data, dp_group=None)
    for part, numbers in zip(parts, indices, strict=True):
        assert [row.tolist() for row in part["input_ids"].unbind()] == [rows[number] for number in numbers]
    assert len(parts) < len(
        fsdp.prepare_micro_batches(data=_batch(rows, max_token_len_per_gpu=60), dp_group=None)[0]
    )
