"""Samples without a verdict are neither right nor wrong."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from trainer.fake_queue import FakeQueue
from verl.trainer.ppo.core_algos import compute_grpo_outcome_advantage

from verl_coder.trainer.composite.choice import read_rollouts
from verl_coder.trainer.sample_masks import (
    SampleMasksMixin,
    advantage_groups,
    is_overlong,
    is_void_turn,
    last_turn,
    neutral_scores,
    turn_ends,
    unavailable_rows,
)


def test_a_failed_tool_call_and_a_failed_grading_both_count() -> None:
    rows = unavailable_rows(
        [{}, {"tool_sandbox_unavailable": 1}, {"reward_extra_info": {"sandbox_unavailable": 1.0}}, {"acc": 1}]
    )
    assert rows.tolist() == [False, True, True, False]


def test_a_masked_row_does_not_move_its_groups_mean() -> None:
    scores = torch.tensor([1.0, 0.0, 1.0, 0.0, 0.25])
    unavailable = np.array([False, True, False, False, False])
    result = neutral_scores(scores, ["a", "a", "a", "a", "b"], unavailable)
    known = torch.tensor([1.0, 1.0, 0.0]).mean()
    assert torch.isclose(result[:4].mean(), known)
    assert result[1] == known
    assert result[4] == 0.25


def test_a_group_without_any_verdict_is_constant() -> None:
    result = neutral_scores(torch.tensor([0.5, 0.1, 1.0]), ["a", "a", "b"], np.array([True, True, False]))
    assert result.tolist() == [0.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("scores", "missing"),
    [
        ([1, 0, 1, 0, 0, 0, 0, 0], [4, 5, 6, 7]),
        ([1, 0, 0, 0], [2, 3]),
        ([1, 0, 1, 0.5], [0]),
        ([1, 0, 1, 0], [1, 2, 3]),
        ([1, 0, 1, 0], [0, 1, 2, 3]),
    ],
)
def test_the_others_advantages_are_those_of_the_group_without_the_rows_that_have_no_verdict(
    scores: list[float], missing: list[int]
) -> None:
    unavailable = np.isin(np.arange(len(scores)), missing)
    uids = ["a"] * len(scores)
    neutral = neutral_scores(torch.tensor(scores, dtype=torch.float32), uids, unavailable)
    mask = torch.from_numpy(~unavailable).float()[:, None]
    given = np.array(advantage_groups(uids, unavailable), dtype=object)
    advantages = compute_grpo_outcome_advantage(neutral[:, None].clone(), mask, given)[0].flatten()
    known = torch.from_numpy(~unavailable)
    alone = compute_grpo_outcome_advantage(
        torch.tensor(scores)[known][:, None].float(),
        torch.ones(int(known.sum()), 1),
        np.array(uids)[~unavailable],
    )[0].flatten()
    # verl gives a row that is alone its raw score; where only one has a verdict there is nothing to compare it with.
    expected = alone if len(alone) > 1 else torch.zeros_like(alone)
    torch.testing.assert_close(advantages[known], expected)
    assert not advantages[~known].any()


def test_groups_with_all_verdicts_keep_their_name() -> None:
    groups = advantage_groups(["a", "a", "a", "b"], np.array([True, False, False, False]))
    assert groups[1:] == ["a", "a", "b"] and groups[0] not in ("a", "b")


def test_a_response_is_overlong_at_the_limit_or_without_an_end_of_turn() -> None:
    def judge(*ids: int) -> bool:
        return is_overlong(torch.tensor(ids), end_of_turn={2}, max_tokens=4)

    assert not judge(5, 6, 2)
    assert judge(5, 6)
    assert judge(5, 6, 7, 2)


@pytest.mark.parametrize(
    ("end_reason", "last_token", "overlong"),
    [
        ("length", 2, True),  # what a tool returned did not fit: the turn before it has its end
        ("turns", 9, False),  # a program of the last turn ends at its tag
        ("answer", 2, False),
        (None, 9, True),  # of a loop that does not say
        (None, 2, False),
    ],
)
def test_the_agent_loop_knows_best_what_was_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end_reason: str | None, last_token: int, overlong: bool
) -> None:
    said = {"end_reason": end_reason} if end_reason else {}
    held = queue([1.0, 0.0], [said, {"end_reason": "answer"}], last_token)
    metrics: dict[str, float] = {}
    Masks(tmp_path, mask_overlong=True)._compute_advantage(held.stand_in(monkeypatch), metrics)
    assert metrics["masked/overlong_share"] == (0.5 if overlong else 0.0)
    assert bool(held.columns["loss_mask"][0].any()) is not overlong


def test_where_every_sample_would_be_masked_what_they_earned_is_still_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = queue([0.5, 0.25, 0.0], [{"end_reason": "length"}] * 3)
    trainer = Masks(tmp_path, mask_overlong=True)
    trainer._compute_advantage(held.stand_in(monkeypatch), {})
    assert [float(row.sum()) for row in held.columns["rm_scores"]] == [0.5, 0.25, 0.0]
    assert not any(row.any() for row in held.columns["advantages"])


@pytest.mark.parametrize("estimator", ["grpo", "rloo", "reinforce_plus_plus"])
def test_where_every_sample_is_masked_the_rollouts_train_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, estimator: str
) -> None:
    """Neither by the policy term, KL nor entropy, which read the masks, nor by self-SFT, which chooses of the rest."""
    passed = {"reward_extra_info": {"acc": 1.0}}
    held = queue(
        [1.0, 1.0, 0.0], [{"end_reason": "length", **passed}] * 2 + [{"tool_sandbox_unavailable": 1}]
    )
    held.columns["extra_info"] = [{"problem_id": "p"}] * 3
    settings = {"mask_overlong": True, "losses": {"gamma": 0.1}, "max_sandbox_unavailable_share": 1.0}
    trainer = Masks(tmp_path, estimator, **settings)
    trainer.tokenizer = SimpleNamespace(decode=lambda ids: "I do not know.")
    batch = held.stand_in(monkeypatch)
    trainer._compute_advantage(batch, {})
    for name in ("response_mask", "loss_mask", "advantages"):
        assert not any(row.any() for row in held.columns[name]), name
    rollouts = read_rollouts(batch)
    assert not rollouts.tokens.any() and rollouts.problem_pass_rates() == {}
    assert [float(row.sum()) for row in held.columns["rm_scores"]] == [1.0, 1.0, 0.0]


def test_a_sample_that_was_cut_off_or_is_void_is_marked_for_self_sft_whatever_is_masked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = {5: "```python\ndef f(): return 1\n```", 7: "I do not know."}
    held = queue([1.0] * 3, [{"end_reason": "length"}, {"end_reason": "answer"}, {"end_reason": "answer"}])
    held.columns["responses"][2][0] = 7
    held.columns["extra_info"] = [{}] * 3
    trainer = Masks(tmp_path, losses={"gamma": 0.1})
    trainer.tokenizer = SimpleNamespace(decode=lambda ids: texts[ids[0]])
    batch = held.stand_in(monkeypatch)
    trainer._compute_advantage(batch, {})
    rollouts = read_rollouts(batch)
    assert rollouts.whole.tolist() == [False, True, False] and rollouts.tokens.all()
    assert [row[0].item() for row in rollouts.responses] == [5, 5, 7]


@pytest.mark.parametrize(("given", "ends"), [(None, {2}), (3, {2, 3}), ([2, 4], {2, 4})])
def test_generation_also_ends_where_the_models_settings_say(given: object, ends: set[int]) -> None:
    assert turn_ends(2, SimpleNamespace(eos_token_id=given)) == ends
    assert turn_ends(2, None) == {2}


def test_the_last_turn_is_the_last_run_of_the_models_own_tokens() -> None:
    ids, mask = torch.arange(7), torch.tensor([1, 1, 0, 0, 1, 1, 0])
    assert last_turn(ids, mask).tolist() == [4, 5]
    assert last_turn(ids, torch.ones(7, dtype=torch.int64)).tolist() == list(range(7))
    assert last_turn(ids, torch.zeros(7, dtype=torch.int64)).tolist() == []


@pytest.mark.parametrize(
    ("text", "void"),
    [
        ("```python\ndef f(xs): return 1\n```<|im_end|>", False),
        ('<tool_call>\n{"name": "python_interpreter", "arguments": {}}\n</tool_call><|im_end|>', False),
        ("I try it.\n<program>\nprint(1)\n</program>", False),
        ('<tool_call>\n{"name": "python_interp', True),
        ("I try it.\n<program>\nprint(", True),
        ("I am not sure about this one.<|im_end|>", True),
        ("", True),
    ],
)
def test_a_turn_without_call_and_code_is_void(text: str, void: bool) -> None:
    assert is_void_turn(text) is void


class Masks(SampleMasksMixin):
    """The mixin over verl's own advantage."""

    def __init__(self, out: Path, estimator: str = "grpo", **settings: Any) -> None:
        self.config = OmegaConf.create(
            {
                "verl_coder": {"run_name": "r", "out": str(out), "recipe": "x", **settings},
                "algorithm": {"adv_estimator": estimator, "use_kl_in_reward": False, "gamma": 1, "lam": 1},
                "actor_rollout_ref": {"rollout": {"n": 4}},
                "data": {"max_response_length": 8},
            }
        )
        self.global_steps = 3
        self._turn_ends = {2}

    def on_sample_end(self) -> None:
        """Abstract in verl's trainer."""

    def on_step_end(self) -> None:
        """Abstract in verl's trainer."""


def queue(scores: list[float], extra_fields: list[dict[str, Any]], last_token: int = 2) -> FakeQueue:
    """A group of three tokens a row."""
    rows = range(len(scores))
    return FakeQueue(
        uid=["u" for _ in rows],
        extra_fields=extra_fields,
        responses=[torch.tensor([5, 6, last_token]) for _ in rows],
        rm_scores=[torch.tensor([0.0, 0.0, score]) for score in scores],
        response_mask=[torch.ones(3, dtype=torch.long) for _ in rows],
        loss_mask=[torch.ones(3, dtype=torch.long) for _ in rows],
    )


@pytest.mark.parametrize("estimator", ["grpo", "rloo"])
def test_in_the_trainer_a_row_without_a_verdict_changes_no_other_rows_advantage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, estimator: str
) -> None:
    found = {}
    for missing in (0, 2):
        lost: list[dict[str, Any]] = [{"tool_sandbox_unavailable": 1}] * missing
        held = queue([1.0, 0.0, *[1.0] * missing], [{}, {}, *lost])
        trainer = Masks(tmp_path, estimator, max_sandbox_unavailable_share=1.0)
        trainer._compute_advantage(held.stand_in(monkeypatch), {})
        found[missing] = [row.tolist() for row in held.columns["advantages"]]
    assert found[2] == [*found[0], [0.0] * 3, [0.0] * 3]
