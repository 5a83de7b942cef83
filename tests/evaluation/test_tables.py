"""The table in the terminal."""

import io
from typing import Any

from evaluation.test_samples import make_sample
from rich.console import Console

from verl_coder.evaluation.results import summarize
from verl_coder.evaluation.tables import print_results

TIMES = {"loading_s": 1.0, "sampling_s": 2.0, "drawn_samples": 2.0}
RATES = {"tokens_per_s": 3.0, "samples_per_s": 4.0, "waiting_for_grading_share": 0.05}


def shown(*samples: Any) -> str:
    results = {**summarize(samples, [1]), "settings": {"model": "m"}, "timing": TIMES, "throughput": RATES}
    output = io.StringIO()
    print_results(results, Console(file=output, width=80))
    return output.getvalue()


def test_it_shows_all_the_groups_and_what_became_of_calls() -> None:
    text = shown(
        make_sample("p/1", difficulty="easy", tool_calls=2, valid_tool_calls=1, tool_successes=1),
        make_sample("p/2", difficulty="hard", outcome="failed"),
    )
    for words in (
        "all",
        "easy",
        "hard",
        "0.500",
        "passed 1, failed 1",
        "valid 50.0% of 2",
        "waiting for grading 5.0%",
    ):
        assert words in text, words


def test_without_calls_nothing_is_said_of_tools() -> None:
    assert "tool calls" not in shown(make_sample("p/1"))


def test_difficulties_stand_in_their_own_order() -> None:
    given = [make_sample(name, difficulty=name) for name in ("hard", "easy", "a word of one's own", "medium")]
    assert list(summarize(given, [1])["by_difficulty"]) == ["easy", "medium", "hard", "a word of one's own"]


def test_answers_without_code_are_told_apart_from_wrong_ones() -> None:
    text = shown(make_sample("p/1"), *(make_sample(f"p/{n}", outcome="no_code") for n in (2, 3, 4)))
    assert "answers that hold code: 25.0%, of which pass 1.000" in text
    assert "answers that hold code" not in shown(make_sample("p/1"))
