"""What an evaluation comes to."""

from typing import Any

import pytest

from verl_coder.trainer.evaluation.report import Answer, evaluation_metrics, sample_table


def answer(problem: str, *, acc: float = 1.0, sampled: bool = False, **changes: Any) -> Answer:
    values: dict[str, Any] = {
        "uid": f"{problem}-{sampled}",
        "problem_id": problem,
        "difficulty": "easy",
        "data_source": "sample",
        "sampled": sampled,
        "prompt": "p",
        "text": "t",
        "score": acc,
        "infos": {"acc": acc, "pass_rate": acc},
        "turns": 4,
        "response_tokens": 100,
        "end_reason": "answer",
        "tool_calls": 1,
        "tool_successes": 1,
        "ground_truth": "{}",
        "extra_info": {},
    }
    return Answer(**(values | changes))


def test_greedy_and_sampled_answers_are_counted_apart() -> None:
    answers = [answer("a"), answer("b", acc=0.0)]
    answers += [answer(name, acc=0.0, sampled=True) for name in ("a", "a", "b", "b")]
    metrics = evaluation_metrics(answers)
    assert metrics["eval_avg_test_pass_rate"] == 0.5
    assert metrics["eval_avg_test_pass_rate_sampled"] == 0.0
    assert (metrics["eval/greedy/pass_at_1"], metrics["eval/sampled/pass_at_1"]) == (0.5, 0.0)
    assert metrics["eval/problems"] == 2


def test_the_share_of_conversations_that_are_cut_off_is_told_where_the_loop_says_why_they_end() -> None:
    answers = [
        answer("a", end_reason="length", response_tokens=300),
        answer("b"),
        answer("c", sampled=True, end_reason=""),
    ]
    metrics = evaluation_metrics([*answers, answer("d", end_reason="", response_tokens=200)])
    assert metrics["eval/greedy/cut_off"] == 0.5 and metrics["eval/greedy/response_tokens/mean"] == 200
    assert "eval/sampled/cut_off" not in metrics


def test_the_average_test_pass_rate_gives_part_marks_and_pass_at_1_does_not() -> None:
    half = answer("a", infos={"acc": 0.0, "pass_rate": 0.5})
    metrics = evaluation_metrics([half, answer("b")])
    assert metrics["eval_avg_test_pass_rate"] == 0.75 and metrics["eval/greedy/pass_at_1"] == 0.5


def test_without_a_reported_share_of_tests_a_wrong_answer_has_none_and_the_table_claims_none() -> None:
    answers = [answer("a", infos={"acc": 0.0}), answer("b", infos={"acc": 1.0})]
    assert evaluation_metrics(answers)["eval_avg_test_pass_rate"] == 0.5
    assert all("test_pass_rate" not in row for row in sample_table(answers, 2))


def test_an_answer_that_failed_has_passed_none_of_its_tests() -> None:
    failed = answer("a", infos={"acc": 0.0, "lost": 1.0})
    assert evaluation_metrics([failed, answer("b")])["eval_avg_test_pass_rate"] == 0.5
    assert {row["test_pass_rate"] for row in sample_table([failed, answer("b")], 2)} == {0.0, 1.0}


def test_an_answer_without_a_verdict_is_neither_right_nor_wrong() -> None:
    lost = answer("a", acc=0.0, infos={"acc": 0.0, "sandbox_unavailable": True})
    metrics = evaluation_metrics([lost, answer("b")])
    assert metrics["eval/greedy/pass_at_1"] == 1.0 and metrics["eval/unavailable_share"] == 0.5


def test_an_evaluation_without_any_verdict_claims_no_rate() -> None:
    lost = answer("a", infos={"acc": 0.0, "sandbox_unavailable": True})
    assert "eval/greedy/pass_at_1" not in evaluation_metrics([lost])


def test_tools_are_counted() -> None:
    answers = [answer("a", tool_calls=3, tool_successes=1), answer("b", tool_calls=0, tool_successes=0)]
    metrics = evaluation_metrics(answers)
    assert metrics["eval/greedy/tool_calls/mean"] == 1.5
    assert metrics["eval/greedy/tool_calls/rate"] == 0.5
    assert metrics["eval/greedy/tool_calls/success_rate"] == pytest.approx(1 / 3)
    assert metrics["eval/greedy/turns/mean"] == 4


def test_what_is_answered_and_what_is_right_of_it_are_told_apart() -> None:
    infos = {"right": {"acc": 1.0, "no_code": 0.0}, "none": {"acc": 0.0, "no_code": 1.0}}
    lost = answer("d", infos={"acc": 0.0, "lost": 1.0})
    answers = [answer("a", infos=infos["right"]), *(answer(name, infos=infos["none"]) for name in "bc"), lost]
    metrics = evaluation_metrics(answers)
    assert (metrics["eval/greedy/given/rate"], metrics["eval/greedy/given/pass_rate"]) == (0.25, 1.0)
    assert metrics["eval/greedy/pass_at_1"] == 0.25


def test_where_nothing_is_answered_no_share_of_it_is_claimed() -> None:
    metrics = evaluation_metrics([answer("a", infos={"acc": 0.0, "no_code": 1.0})])
    assert metrics["eval/greedy/given/rate"] == 0 and "eval/greedy/given/pass_rate" not in metrics


def test_difficulties_have_rates_of_their_own() -> None:
    metrics = evaluation_metrics([answer("a"), answer("b", acc=0.0, difficulty="hard")])
    assert metrics["eval/greedy/pass_at_1/easy"] == 1.0 and metrics["eval/greedy/pass_at_1/hard"] == 0.0


def test_the_table_shows_the_same_problems_at_every_evaluation() -> None:
    names = [f"p{i}" for i in range(20)]
    first = sample_table([answer(name) for name in names], 6)
    second = sample_table([answer(name, acc=0.0) for name in reversed(names)], 6)
    assert [row["problem"] for row in first] == [row["problem"] for row in second]
    assert len(first) == 6 and first[0]["passed"] and not second[0]["passed"]


def test_the_table_has_greedy_and_sampled_answers_side_by_side() -> None:
    answers = [answer(name, sampled=sampled) for sampled in (True, False) for name in ("a", "b")]
    rows = sample_table(answers, 4)
    assert [row["sampled"] for row in rows] == [False, True, False, True]
    assert rows[0]["problem"] == rows[1]["problem"]


def test_sampled_answers_give_pass_at_k_as_far_as_each_problem_has_samples() -> None:
    sampled = [
        answer(name, acc=float(n == 0 and name == "a"), sampled=True) for name in "ab" for n in range(5)
    ]
    metrics = evaluation_metrics(sampled)
    assert metrics["eval/sampled/pass_at_1"] == 0.1 and metrics["eval/sampled/pass_at_5"] == 0.5
    assert "eval/sampled/pass_at_10" not in metrics
