import pytest

from verl_coder.trainer.group_statistics import SilentSteps, group_statistics
from verl_coder.trainer.recipe_trainer import place_of


def keys(*counts: int) -> list[str]:
    return [f"step3_p{group}_{sample}_0" for group, count in enumerate(counts) for sample in range(count)]


def test_a_group_has_a_signal_where_one_of_its_samples_has_an_advantage() -> None:
    found = group_statistics(keys(2, 2), [False, True, False, False], [0.0, 1.0, 1.0, 1.0])
    assert found == {
        "groups/with_signal": 0.5,
        "groups/rows_with_signal": 0.25,
        "groups/all_passed": 0.5,
        "groups/none_passed": 0.0,
    }


def test_a_sample_without_a_verdict_says_nothing_of_its_group() -> None:
    found = group_statistics(keys(2, 2, 1), [False] * 5, [None, 0.0, 1.0, None, None])
    assert found["groups/none_passed"] == 0.5
    assert found["groups/all_passed"] == 0.5


def test_a_reward_without_verdicts_leaves_the_shares_of_verdicts_out() -> None:
    found = group_statistics(keys(2), [True, True], [None, None])
    assert found == {"groups/with_signal": 1.0, "groups/rows_with_signal": 1.0}


def test_a_partly_right_sample_is_neither_passed_nor_failed() -> None:
    found = group_statistics(keys(2), [False, False], [0.5, 0.5])
    assert found["groups/all_passed"] == 0.0
    assert found["groups/none_passed"] == 0.0


def test_a_step_without_rows_has_no_statistics() -> None:
    assert group_statistics([], [], []) == {}


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("a_b_3_1", ("a_b", 3, 1)),
        ("uid", ("uid", 0, 0)),
        ("a_b_c", ("a_b_c", 0, 0)),
        ("a_2_x", ("a_2_x", 0, 0)),
    ],
)
def test_the_place_of_a_row_is_read_from_its_key(key: str, place: tuple[str, int, int]) -> None:
    assert place_of(key) == place


@pytest.mark.parametrize(
    ("verdict", "cause"),
    [(0.0, " (all are wrong: take easier"), (1.0, " (all are right: take harder"), (0.5, "")],
)
def test_three_steps_without_a_signal_in_a_row_are_told_with_the_cause(verdict: float, cause: str) -> None:
    silent = SilentSteps()
    none = group_statistics(keys(2, 2), [False] * 4, [verdict] * 4)
    some = group_statistics(keys(2, 2), [True] * 4, [0.0, 1.0, 1.0, 0.0])
    for statistics in (none, none, some, {}, none, none):
        assert silent.words(statistics) == ""
    words = silent.words(none)
    assert words.startswith("3 steps in a row had no group of samples with different rewards")
    assert cause in words and words.endswith(")" if cause else "from them")
    assert silent.words(none).startswith("4 steps")
