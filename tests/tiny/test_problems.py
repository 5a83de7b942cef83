from collections.abc import Callable

import pytest

from verl_coder.errors import DataError
from verl_coder.problems import FunctionTests, Problem
from verl_coder.tiny.problems import SampleProblem, all_combinations, problems, split_combinations


def statement(problem: Problem) -> str:
    return problem.prompt[0]["content"].partition("\n")[0]


def compiled(source: str) -> Callable[[list[int]], object]:
    namespace: dict[str, Callable[[list[int]], object]] = {}
    exec(source, namespace)
    return namespace["f"]


def hidden(sample: SampleProblem) -> FunctionTests:
    assert isinstance(sample.problem.tests, FunctionTests)
    return sample.problem.tests


@pytest.fixture(scope="module")
def samples() -> dict[str, list[SampleProblem]]:
    splits = split_combinations(0)
    return {split: list(problems(split, len(splits[split]), seed=0)) for split in ("sft", "rl", "heldout")}


def test_the_family_has_over_five_thousand_distinct_statements(samples):
    statements = [statement(s.problem) for split in samples.values() for s in split]
    assert len(set(statements)) == len(statements) > 5000


def test_every_combination_has_its_own_statement_and_id():
    combinations = all_combinations()
    assert len({c.statement for c in combinations}) == len(combinations)
    assert len({c.problem_id for c in combinations}) == len(combinations)


def test_no_statement_is_in_two_splits(samples):
    of_split = {split: {statement(s.problem) for s in rows} for split, rows in samples.items()}
    assert not of_split["sft"] & of_split["rl"]
    assert not of_split["sft"] & of_split["heldout"]
    assert not of_split["rl"] & of_split["heldout"]


def test_further_draws_stay_within_the_sft_split(samples):
    known = {statement(s.problem) for s in samples["sft"]}
    more = list(problems("sft", len(known) + 50, seed=0))[-50:]
    assert {statement(s.problem) for s in more} <= known
    first = {s.problem.prompt[0]["content"] for s in samples["sft"]}
    assert sum(s.problem.prompt[0]["content"] in first for s in more) < 5


def test_the_right_source_passes_all_six_hidden_cases(samples):
    for sample in samples["heldout"]:
        solve = compiled(sample.right)
        assert len(hidden(sample)) == 6
        assert all(solve(list(case.args[0])) == case.expected for case in hidden(sample).tests)


def test_the_other_reading_fails_the_example_and_half_of_the_hidden_cases(samples):
    hard = [s for s in samples["heldout"] if s.wrong]
    assert 0.5 < len(hard) / len(samples["heldout"]) < 0.7
    for sample in hard:
        mislead = compiled(sample.wrong or "")
        failed = [mislead(list(case.args[0])) != case.expected for case in hidden(sample).tests]
        assert sum(failed) >= 3
        namespace: dict[str, Callable[[object], None]] = {}
        exec(sample.problem.tool_prelude, namespace)
        with pytest.raises(AssertionError, match="got "):
            namespace["check"](mislead)


def test_both_readings_are_about_as_frequent(samples):
    hard = [s for s in samples["sft"] if s.wrong]
    inclusive = sum("=" in s.right.partition(" if ")[2].partition(")")[0] for s in hard)
    assert 0.45 < inclusive / len(hard) < 0.55


def test_difficulty_says_whether_the_statement_is_ambiguous(samples):
    for sample in samples["rl"]:
        assert sample.problem.difficulty == ("hard" if sample.wrong else "easy")


def test_the_same_seed_gives_the_same_problems_and_another_seed_others():
    first, again, other = ([s.problem for s in problems("rl", 40, seed=seed)] for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_a_row_survives_the_round_trip(samples):
    for sample in samples["rl"][:20]:
        assert Problem.from_row(sample.problem.to_row()) == sample.problem


def test_asking_for_more_held_out_problems_than_there_are_is_refused():
    with pytest.raises(DataError, match="621 sample problems held out were asked for, and there are 620"):
        list(problems("heldout", 621, seed=0))
