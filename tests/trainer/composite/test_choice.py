"""Which of the model's own rollouts are trained on again."""

import numpy as np

from verl_coder.run.settings import SelfSettings
from verl_coder.trainer.composite.choice import choose_rollouts

UIDS = ["a", "a", "a", "b", "b", "c", "c"]
SCORES = np.array([1.0, 1.0, 0.2, 1.0, 1.0, 0.0, 0.0])
PASSED = SCORES >= 1
TOKENS = np.array([9, 5, 1, 7, 6, 3, 3])


def _chosen(tokens: np.ndarray = TOKENS, scores: np.ndarray = SCORES, **settings: object) -> list[int]:
    result = choose_rollouts(UIDS, scores, PASSED, tokens, SelfSettings(**settings))  # type: ignore[arg-type]
    return np.flatnonzero(result).tolist()


def test_the_shortest_passing_rollout_of_each_prompt_is_taken() -> None:
    assert _chosen() == [1, 4]


def test_a_better_reward_comes_before_a_shorter_answer() -> None:
    assert _chosen(scores=np.array([1.5, 1.0, 0.2, 1.0, 1.0, 0.0, 0.0])) == [0, 4]


def test_no_more_than_pass_are_taken() -> None:
    assert _chosen(top_k=3) == [0, 1, 3, 4]


def test_only_mixed_leaves_out_prompts_that_every_rollout_solves() -> None:
    assert _chosen(only_mixed=True) == [1]


def test_a_masked_rollout_is_neither_taken_nor_a_failure() -> None:
    masked = np.array([9, 5, 0, 7, 0, 3, 3])
    assert _chosen(tokens=masked, only_mixed=True) == []
    assert _chosen(tokens=masked) == [1, 3]
