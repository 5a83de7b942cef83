"""Which of the model's own rollouts are trained on again."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from verl_coder.run.settings import SelfSettings
from verl_coder.trainer.composite.choice import StepRollouts, choose_rollouts

UIDS = ["a", "a", "a", "b", "b", "c", "c"]
SCORES = np.array([1.0, 1.0, 0.2, 1.0, 1.0, 0.0, 0.0])
PASSED = SCORES >= 1
TOKENS = np.array([9, 5, 1, 7, 6, 3, 3])
WHOLE = np.ones(7, dtype=bool)


def _chosen(
    tokens: np.ndarray = TOKENS,
    scores: np.ndarray = SCORES,
    whole: np.ndarray = WHOLE,
    answers: Sequence[int | None] = range(7),
    **settings: Any,
) -> list[int]:
    # None: a row that nothing may read.
    responses: Any = [None if answer is None else torch.tensor([answer]) for answer in answers]
    rollouts = StepRollouts(
        uids=UIDS,
        problem_ids=UIDS,
        scores=scores,
        passed=PASSED,
        whole=whole,
        masks=[torch.ones(count) for count in tokens],
        responses=responses,
    )
    result = choose_rollouts(rollouts, SelfSettings(**settings))
    return np.flatnonzero(result).tolist()


def test_the_shortest_passing_rollout_of_each_prompt_is_taken() -> None:
    assert _chosen() == [1, 4]


def test_a_better_reward_comes_before_a_shorter_answer() -> None:
    assert _chosen(scores=np.array([1.5, 1.0, 0.2, 1.0, 1.0, 0.0, 0.0])) == [0, 4]


def test_no_more_than_pass_are_taken() -> None:
    assert _chosen(top_k=3) == [0, 1, 3, 4]


def test_an_answer_that_was_given_several_times_is_taken_once() -> None:
    assert _chosen(answers=(4, 4, 5, 6, 7, 8, 9), top_k=2) == [1, 3, 4]


def test_trajectories_that_differ_in_what_a_tool_said_are_two_answers() -> None:
    own, tool = torch.tensor([1, 0, 1]), [torch.tensor([4, said, 5]) for said in (8, 9, 9)]
    rollouts = StepRollouts(
        uids=["a"] * 3,
        problem_ids=["a"] * 3,
        scores=np.ones(3),
        passed=np.ones(3, dtype=bool),
        whole=np.ones(3, dtype=bool),
        masks=[own] * 3,
        responses=tool,
    )
    assert choose_rollouts(rollouts, SelfSettings(top_k=3)).tolist() == [True, True, False]


def test_only_what_passes_is_compared() -> None:
    assert _chosen(answers=[row if passed else None for row, passed in enumerate(PASSED)]) == [1, 4]


def test_only_mixed_leaves_out_prompts_that_every_rollout_solves() -> None:
    assert _chosen(only_mixed=True) == [1]


def test_a_masked_rollout_is_neither_taken_nor_a_failure() -> None:
    masked = np.array([9, 5, 0, 7, 0, 3, 3])
    assert _chosen(tokens=masked, only_mixed=True) == []
    assert _chosen(tokens=masked) == [1, 3]


def test_a_rollout_that_was_cut_off_is_not_taken_and_counts_as_what_it_is() -> None:
    cut = np.array([True, False, True, True, False, True, True])
    assert _chosen(whole=cut) == [0, 3]
    assert _chosen(whole=np.zeros(7, dtype=bool)) == []
    # Both of b have passed, so that it is no mixed prompt.
    assert _chosen(whole=cut, only_mixed=True) == [0]
