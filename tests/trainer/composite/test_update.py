"""Which rows a step trains on, and with which weights."""

import pickle
import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.trainer_base import PPOTrainer

from verl_coder.platform.update_options import GRADIENT_FIELD
from verl_coder.run.settings import CompositeSettings
from verl_coder.sections import read_section
from verl_coder.traces import Trace, TraceRow
from verl_coder.trainer.composite.choice import StepRollouts, TeacherPool
from verl_coder.trainer.composite.layout import Layout
from verl_coder.trainer.composite.policy_file import FILE_MODE, PolicyFile
from verl_coder.trainer.composite.update import TeacherGuidedMixin, _row_fields, _shuffled_by_rank

LAYOUT = Layout(rows=8, dp_size=2, mini_batch_rows=4)
PROMPTS = ("solved", "solved", "mixed", "mixed", "unsolved", "unsolved", "other", "other")
PASSED = (True, True, True, False, False, False, False, False)


def _rollouts() -> StepRollouts:
    return StepRollouts(
        uids=list(PROMPTS),
        problem_ids=list(PROMPTS),
        scores=np.array(PASSED, dtype=float),
        passed=np.array(PASSED),
        whole=np.ones(8, dtype=bool),
        masks=[torch.tensor([1] * (row + 1) + [0]) for row in range(8)],
        responses=[torch.full((row + 2,), row) for row in range(8)],
    )


def _trainer(step: int = 1, **sections: Any) -> Any:
    """What the choice of rows reads of a trainer: settings, step, and a pool with two traces of each prompt."""
    names = [name for name in ("solved", "mixed", "unsolved", "other", "elsewhere") for _ in range(2)]
    traces = [Trace(problem_id=name, messages=()) for name in names]

    def tokenise(trace: Trace) -> TraceRow:
        number = names.index(trace.problem_id)
        return TraceRow(prompt_ids=(number,), response_ids=(7, 8, 9), loss_mask=(1, 0, 1))

    return SimpleNamespace(
        settings=read_section(CompositeSettings, sections, "verl_coder"),
        global_steps=step,
        _teacher_pool=TeacherPool(traces, tokenise),
    )


def _teach(trainer: Any) -> tuple[list[list[TraceRow]], list[list[torch.Tensor]], Any]:
    return TeacherGuidedMixin._weigh_teacher(trainer, _rollouts(), LAYOUT, random.Random(0))


class Trainer(TeacherGuidedMixin):
    """The mixin without verl."""

    def on_sample_end(self) -> None:
        """Abstract in verl's trainer."""

    def on_step_end(self) -> None:
        """Abstract in verl's trainer."""


@pytest.mark.parametrize(
    ("losses", "distils", "expected"),
    [({}, False, "rollout_loss"), ({"gamma": 0.1}, False, "actor_loss"), ({}, True, None)],
)
def test_the_actor_gets_a_loss_that_stands_a_mini_batch_without_a_token(
    monkeypatch: pytest.MonkeyPatch, losses: dict[str, Any], distils: bool, expected: str | None
) -> None:
    given: list[Any] = []
    trainer: Any = object.__new__(Trainer)
    trainer.config = OmegaConf.create(
        {
            "verl_coder": {"run_name": "r", "out": "o", "recipe": "x", "losses": losses},
            "actor_rollout_ref": {"actor": {"_target_": "builtins.dict"}},
            "distillation": {"enabled": distils},
        }
    )
    trainer.actor_rollout_wg = SimpleNamespace(set_loss_fn=given.append)
    monkeypatch.setattr(PPOTrainer, "_setup", lambda _: None)
    trainer._setup()
    assert [loss.func.__name__ for loss in given] == ([expected] if expected else [])


@pytest.mark.parametrize("losses", [{}, {"gamma": 0.1}])
def test_the_actor_gets_a_loss_of_ones_own_by_its_place(
    monkeypatch: pytest.MonkeyPatch, losses: dict[str, Any]
) -> None:
    given: list[Any] = []
    trainer: Any = object.__new__(Trainer)
    own = {"path": "/mine.py", "parameters": {"high": 0.3}}
    trainer.config = OmegaConf.create(
        {
            "verl_coder": {"run_name": "r", "out": "o", "recipe": "x", "losses": losses, "policy_loss": own},
            "actor_rollout_ref": {
                "actor": {"_target_": "builtins.dict", "policy_loss": {"loss_mode": "vanilla"}}
            },
        }
    )
    trainer.actor_rollout_wg = SimpleNamespace(set_loss_fn=given.append)
    monkeypatch.setattr(PPOTrainer, "_setup", lambda _: None)
    trainer._setup()
    [loss] = pickle.loads(pickle.dumps(given))
    assert loss.keywords["policy"] == PolicyFile(path="/mine.py", parameters={"high": 0.3})
    assert loss.keywords["config"]["policy_loss"]["loss_mode"] == FILE_MODE


def test_the_worker_is_told_by_which_columns_a_row_has_a_gradient_and_its_sums_become_means(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trainer: Any = object.__new__(Trainer)
    actor = {"use_dynamic_bsz": True, "use_kl_loss": False, "entropy_coeff": 0, "calculate_entropy": False}
    trainer.config = OmegaConf.create(
        {
            "verl_coder": {"run_name": "r", "out": "o", "recipe": "x"},
            "actor_rollout_ref": {"actor": {**actor, "policy_loss": {"loss_mode": "vanilla"}}},
        }
    )

    def update(self: Any, batch: Any, metrics: dict[str, Any]) -> Any:
        metrics |= {"actor/tokens_of_token_sums": 4, "actor/token_sum/actor/ppo_kl": 2.0}
        return batch

    monkeypatch.setattr(PPOTrainer, "_update_actor", update)
    batch: Any = SimpleNamespace(extra_info={})
    metrics: dict[str, Any] = {}
    assert trainer._update_actor(batch, metrics).extra_info == {GRADIENT_FIELD: "advantages"}
    assert metrics == {"actor/ppo_kl": 0.5}


def test_updates_between_two_weight_syncs_have_names_of_their_own() -> None:
    trainer: Any = object.__new__(Trainer)
    trainer.global_steps = 3
    names = []
    for trainer.local_trigger_step in range(3):
        names.append(trainer._update_name)
    assert names == ["3", "3/1", "3/2"]


def test_the_traces_of_each_mini_batch_weigh_beta_together() -> None:
    trainer = _trainer(losses={"beta": 0.3}, teacher={"traces": "t", "rows": 3})
    rows, weights, counts = _teach(trainer)
    assert [len(group) for group in rows] == [3, 3]
    for group in weights:
        assert float(torch.cat(group).sum()) == pytest.approx(0.3)
        assert all(weight[1] == 0 for weight in group)
    assert (counts.rows, counts.tokens, counts.weight, counts.covered) == (6, 12, 0.3, 1.0)


def test_the_gate_teaches_unsolved_prompts_only_and_scales_beta_by_their_share() -> None:
    teacher = {"traces": "t", "rows": 8, "max_group_pass_rate": 0}
    rows, weights, counts = _teach(_trainer(losses={"beta": 0.8}, teacher=teacher))
    taught = {row.prompt_ids for group in rows for row in group}
    assert taught == {(4,), (6,)}
    assert counts.weight == pytest.approx(0.4)
    assert [float(torch.cat(group).sum()) for group in weights] == pytest.approx([0.4, 0.4])


def test_the_weights_follow_their_schedule() -> None:
    beta = {"schedule": "linear", "start": 1.0, "end": 0.0, "steps": 4}
    for step, expected in ((1, 1.0), (3, 0.5)):
        _, _, counts = _teach(_trainer(step, losses={"beta": beta}, teacher={"traces": "t", "rows": 2}))
        assert counts.weight == pytest.approx(expected)
    rows, weights, _ = _teach(_trainer(5, losses={"beta": beta}, teacher={"traces": "t", "rows": 2}))
    assert rows == [[], []] and weights == [[], []]


def test_the_chosen_rollouts_of_a_mini_batch_weigh_gamma_together() -> None:
    trainer = _trainer(losses={"gamma": 0.2}, self_sft={"top_k": 2})
    masks, weights, counts = TeacherGuidedMixin._weigh_self(trainer, _rollouts(), LAYOUT)
    assert [row for row, mask in enumerate(masks) if mask.any()] == [0, 1, 2]
    sums = dict.fromkeys((0, 1), 0.0)
    for number, weight in zip(LAYOUT.mini_batch_of, weights, strict=True):
        sums[number] += float(weight.sum())
    assert sums == pytest.approx({0: 0.2, 1: 0.2})
    assert counts.tokens == 1 + 2 + 3


def test_a_problems_pass_rate_leaves_masked_rollouts_out() -> None:
    rollouts = _rollouts()
    rollouts.masks[3] = torch.zeros_like(rollouts.masks[3])
    assert rollouts.problem_pass_rates() == {"solved": 1.0, "mixed": 1.0, "unsolved": 0.0, "other": 0.0}


def test_a_traces_columns_have_the_types_of_a_rollouts_and_train_nothing_of_the_policy() -> None:
    pattern = {
        name: torch.zeros(2, dtype=torch.bfloat16)
        for name in ("old_log_probs", "advantages", "sft_teacher_weights", "sft_self_weights")
    }
    pattern |= {
        name: torch.zeros(2, dtype=torch.long)
        for name in ("prompts", "responses", "input_ids", "position_ids", "response_mask", "loss_mask")
    }
    row = TraceRow(prompt_ids=(1, 2), response_ids=(3, 4, 5), loss_mask=(1, 0, 1))
    fields = _row_fields(row, torch.tensor([0.5, 0.0, 0.5]), pattern)
    assert set(fields) == set(pattern)
    assert all(fields[name].dtype == value.dtype for name, value in pattern.items())
    assert fields["input_ids"].tolist() == [1, 2, 3, 4, 5] and fields["position_ids"].tolist() == [
        0,
        1,
        2,
        3,
        4,
    ]
    assert not any(fields[name].any() for name in ("response_mask", "loss_mask", "advantages"))
    assert fields["sft_teacher_weights"].tolist() == [0.5, 0.0, 0.5]


def test_shuffling_leaves_every_row_on_its_rank() -> None:
    keys = [str(number) for number in range(8)]
    order = _shuffled_by_rank(keys, LAYOUT, random.Random(0))
    assert order != keys
    assert set(order[:4]) == set(keys[:4]) and set(order[4:]) == set(keys[4:])


def test_tokens_and_rows_of_several_updates_are_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """verl takes the mean of what its updates report."""
    trainer: Any = object.__new__(Trainer)
    trainer.config = OmegaConf.create({"data": {"train_batch_size": 4}})
    trainer.parameter_sync_step, trainer.prepare_step = 2, dict
    reported = [
        {
            "source/self/tokens": tokens,
            "source/self/rows": 2.0,
            "source/self/loss": 0.5,
            "source/teacher/refused": so_far,
        }
        for tokens, so_far in ((10.0, 1.0), (30.0, 3.0), (8.0, 3.0), (8.0, 3.0))
    ]

    def once(metrics: dict[str, Any], timing_raw: Any, samples: int) -> Any:
        of_update = reported.pop(0)
        trainer._source_metrics.append(of_update)
        metrics.update(of_update)
        return KVBatchMeta(
            keys=[f"{len(reported)}_{row}_0" for row in range(2)], tags=[{}, {}], partition_id="train"
        )

    monkeypatch.setattr(trainer, "_step_once", once)
    for tokens in (40.0, 16.0):
        metrics: dict[str, Any] = {}
        trainer.step(metrics, {})
        assert metrics["source/self/tokens"] == tokens and metrics["source/self/rows"] == 4.0
        assert metrics["source/self/loss"] == 0.5 and metrics["source/teacher/refused"] == 3.0
