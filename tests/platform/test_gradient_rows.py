"""Rows without a gradient are left out of an update, whose gradient stays what it was."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import verl.workers.engine.fsdp.transformer_impl as fsdp
from small_model import small_engine
from tensordict import TensorDict
from verl.utils import tensordict_utils as tu
from verl.workers.config import ActorConfig, OptimizerConfig

from verl_coder.paths import repository_root
from verl_coder.platform import gradient_rows, shared_prefix
from verl_coder.platform.update_options import COMPUTED_SHARE_FIELD, GRADIENT_FIELD
from verl_coder.trainer.composite.loss import rollout_loss

ADVANTAGES = (0.0, 0.0, 1.0, -1.0, 0.0, 0.5)
PROMPT = list(range(3, 23))


def _nested(values: list[list[float]], dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.nested.as_nested_tensor([torch.tensor(v, dtype=dtype) for v in values], layout=torch.jagged)


def _batch(advantages: tuple[float, ...] = ADVANTAGES, **settings: Any) -> TensorDict:
    """An update's batch: a prompt of 20 tokens, answers of 2 to 7, the same advantage for all tokens of an answer."""
    lengths = [2 + i for i in range(len(advantages))]
    answers = [[30 + i, *range(30, 29 + n)] for i, n in enumerate(lengths)]
    fields = {
        "prompts": _nested([PROMPT for _ in answers], torch.long),
        "responses": _nested(answers, torch.long),
        "input_ids": _nested([PROMPT + answer for answer in answers], torch.long),
        "position_ids": _nested([list(range(20 + n)) for n in lengths], torch.long),
        "loss_mask": _nested([[1.0] * n for n in lengths]),
        "response_mask": _nested([[1.0] * n for n in lengths]),
        "old_log_probs": _nested([[-4.0] * n for n in lengths]),
        "advantages": _nested([[a] * n for a, n in zip(advantages, lengths, strict=True)]),
    }
    data = TensorDict(fields, batch_size=len(answers))
    options = {"use_remove_padding": True, "use_dynamic_bsz": True, "max_token_len_per_gpu": 60}
    options |= {"temperature": 1.0, "calculate_entropy": False, "global_batch_size": len(answers)}
    tu.assign_non_tensor(data, **options, **settings)
    return data


def _rows(parts: list[TensorDict]) -> list[int]:
    """The first token of each answer says which it is."""
    return sorted(int(row[0]) - 30 for part in parts for row in part["responses"].unbind())


def _engine(monkeypatch: pytest.MonkeyPatch, attention: str) -> Any:
    """verl's engine around a small model, in a world of one."""
    engine = small_engine(attention)
    engine.ulysses_sequence_parallel_size = 1
    engine.scaler = None
    for name, value in {
        "get_data_parallel_group": None,
        "get_data_parallel_size": 1,
        "is_mp_src_rank_with_outputs": True,
    }.items():
        monkeypatch.setattr(type(engine), name, lambda self, value=value: value)
    monkeypatch.setattr(type(engine), "_gradient_sync_context", lambda *_, **__: torch.enable_grad())
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda *_, **__: None)
    return engine


@pytest.mark.parametrize("attention", [shared_prefix.NAME, "packed"])
def test_the_gradient_and_the_loss_are_those_of_all_rows(
    attention: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ActorConfig(
        strategy="fsdp2",
        rollout_n=1,
        ppo_mini_batch_size=6,
        use_dynamic_bsz=True,
        optim=OptimizerConfig(lr=1),
    )

    def loss(model_output: Any, data: TensorDict, dp_group: Any = None) -> Any:
        return rollout_loss(config, model_output, data, dp_group)

    found = {}
    for names in ("", "advantages"):
        engine = _engine(monkeypatch, attention)
        output = engine.forward_backward_batch(_batch(**{GRADIENT_FIELD: names}), loss)
        gradients = [value.grad.flatten() for value in engine.module.parameters()]
        found[names] = float(sum(output["loss"])), torch.cat(gradients)
    (whole_loss, whole), (skipping_loss, skipping) = found.values()
    assert whole_loss == pytest.approx(skipping_loss, abs=1e-6) and whole.norm() > 0.1
    # The engine multiplies in bfloat16: another layout rounds at other places.
    assert (whole - skipping).norm() < 1e-2 * whole.norm()


@pytest.mark.parametrize("shares", [True, False])
def test_only_rows_with_a_number_in_a_named_column_are_computed(shares: bool) -> None:
    data = _batch(**{GRADIENT_FIELD: "advantages", "shares_prefixes": shares})
    assert _rows(fsdp.prepare_micro_batches(data=data, dp_group=None)[0]) == [2, 3, 5]


def test_a_row_that_another_source_learns_from_is_computed() -> None:
    data = _batch(**{GRADIENT_FIELD: "advantages,sft_self_weights"})
    data["sft_self_weights"] = _nested([[0.0] * (2 + i) if i else [0.0, 0.1] for i in range(6)])
    assert _rows(fsdp.prepare_micro_batches(data=data, dp_group=None)[0]) == [0, 2, 3, 5]


def test_a_batch_without_the_field_is_computed_whole() -> None:
    assert _rows(fsdp.prepare_micro_batches(data=_batch(), dp_group=None)[0]) == list(range(6))


def test_the_share_of_the_tokens_that_is_computed_goes_along() -> None:
    data = _batch(**{GRADIENT_FIELD: "advantages"})
    parts = fsdp.prepare_micro_batches(data=data, dp_group=None)[0]
    answers = [2 + row for row in range(6)]
    computed = sum(20 + answers[row] for row in (2, 3, 5)) / sum(20 + n for n in answers)
    assert [tu.get_non_tensor_data(part, COMPUTED_SHARE_FIELD, 1.0) for part in parts] == [
        pytest.approx(computed)
    ] * len(parts)
    whole = fsdp.prepare_micro_batches(data=_batch(), dp_group=None)[0]
    assert {tu.get_non_tensor_data(part, COMPUTED_SHARE_FIELD, 1.0) for part in whole} == {1.0}


def test_one_row_stays_where_none_has_a_gradient() -> None:
    data = _batch((0.0, 0.0, 0.0), **{GRADIENT_FIELD: "advantages"})
    assert _rows(fsdp.prepare_micro_batches(data=data, dp_group=None)[0]) == [0]


def test_a_rank_with_fewer_rows_takes_its_shortest_others() -> None:
    lengths = torch.tensor([9, 5, 7, 8])
    rows = gradient_rows.rows_to_compute(torch.tensor([True, False, False, False]), lengths, least=3)
    assert rows.tolist() == [0, 1, 2]


def _rank(rank: int, meeting: str) -> None:
    """What each of two processes runs: the first has no row with a gradient, the second four, long ones."""
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    advantages = [(0.0,) * 6, (1.0, 0.0, 1.0, 1.0, 0.0, 1.0)][rank]
    data = _batch(advantages, **{GRADIENT_FIELD: "advantages", "shares_prefixes": False})
    parts, _ = fsdp.prepare_micro_batches(data=data, dp_group=dist.group.WORLD)
    print(json.dumps([_rows(parts), len(parts)]), flush=True)
    dist.destroy_process_group()


def test_two_ranks_have_as_many_rows_and_micro_batches(tmp_path: Path) -> None:
    command = [sys.executable, __file__, str(tmp_path / "meeting")]
    around = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    ranks = [
        subprocess.Popen([*command, rank], env=around, stdout=subprocess.PIPE, text=True)
        for rank in ("0", "1")
    ]
    try:
        found = [json.loads(rank.communicate(timeout=100)[0].splitlines()[-1]) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    (first, first_parts), (second, second_parts) = found
    assert first == [0, 1, 2, 3] and second == [0, 2, 3, 5]
    assert first_parts == second_parts > 1


@pytest.mark.parametrize("name", ["fsdp_cpu", "fsdp_gpu"])
def test_a_worker_has_it_by_the_external_lib_of_its_recipe(name: str) -> None:
    source = (repository_root() / "src" / "verl_coder" / "platform" / f"{name}.py").read_text()
    assert "import verl_coder.platform.gradient_rows" in source
    assert fsdp.prepare_micro_batches.__module__ == gradient_rows.__name__


if __name__ == "__main__":
    _rank(int(sys.argv[2]), sys.argv[1])
