"""What a solution may read of later questions before it answers: never an answer as it is written in one of them."""

# ruff: noqa: E501 - tables of programs

import pytest

from verl_coder.grading import grade
from verl_coder.grading.programs.ahead import AHEAD, sent_together, text_of_answer, text_of_question
from verl_coder.problems import (
    AssertTests,
    CheckTests,
    FunctionCase,
    FunctionTests,
    StdioCase,
    StdioTests,
)

PEEK = """
import sys
def peek(key):
    frame, found = sys._getframe(), None
    while frame:
        for value in frame.f_locals.values():
            if isinstance(value, dict) and key in value: found = found or value[key]
            if key == "inputs" and frame.f_code.co_name == "serve_together" and type(value) is list and value: found = found or value
        frame = frame.f_back
    return found
"""
CALLS = (
    PEEK
    + "def f(x):\n    seen = [c['t'][0]['t'][0] for c in peek('batch')]\n    return [*seen, 7][seen.index(x) + 1]\n"
)
PROGRAM = PEEK + "x = input()\nprint((peek('inputs') or ['7'])[0])\n"
CHAIN = [(7, 19), (19, 53), (53, 11), (11, 23), (23, 5)]
WAYS = {
    "function": (FunctionTests(entry_point="f", tests=tuple(FunctionCase(args=(a,), expected=e) for a, e in CHAIN)), CALLS),
    "assert": (AssertTests(tests=tuple(f"assert f({a}) == {e}" for a, e in CHAIN)), CALLS),
    "check": (CheckTests(entry_point="f", check="def check(f):\n" + "".join(f"    assert f({a}) == {e}\n" for a, e in CHAIN)), CALLS),
    "stdio": (StdioTests(tests=tuple(StdioCase(input=f"{a}\n", output=f"{e}\n") for a, e in CHAIN)), PROGRAM),
}  # fmt: skip
VALUES = {
    "a number": (19, [[1, 19]], True),
    "a number in a longer one": (19, [[119, 190, -19, 1.19, 19.5]], False),
    "a text": ("abc", [["xabcx"]], True),
    "a list": ([1, 2], [[0, 1, 2, 3]], True),
    "a list with a number of more digits behind it": ([1, 2], [[1, 22]], False),
    "a truth": (True, [[True, False]], False),
    "nothing": (None, [[None]], False),
    "an empty list": ([], [[[]]], False),
    "a tuple as it is encoded": ({"t": [5, 6]}, [[5, 6]], True),
}


@pytest.mark.parametrize("style", WAYS)
def test_an_answer_that_a_later_question_holds_is_not_there_yet(style, with_pair_client):
    suite, code = WAYS[style]
    report = with_pair_client(lambda client: grade(code, suite, client))
    assert report.passed == 0 and report.outcome == "failed", report.explain()


@pytest.mark.parametrize("what", VALUES)
def test_what_stands_in_a_question(what):
    answer, question, stands = VALUES[what]
    questions = [text_of_question([]), text_of_question(question)]
    assert sent_together(questions, [text_of_answer(answer), ""], 0) == (1 if stands else 2)


def test_a_frame_ends_before_the_first_question_that_holds_an_answer_of_it():
    questions, answers = ["1", "2", "3", "9 4", "8 5", "6"], ["8", "9", "", "", "", ""]
    assert (sent_together(questions, answers, 0), sent_together(questions, answers, 3)) == (3, 3)


def test_no_more_questions_are_shown_than_a_bound():
    many = [str(number) for number in range(100)]
    assert sent_together(many, [""] * 100, 10) == AHEAD and sent_together(many, [""] * 100, 99) == 1


def test_many_tests_in_several_frames_are_all_graded(with_client):
    cases = [(number, number + 1 if number % 7 else number * 1000) for number in range(60)]
    calls = FunctionTests(entry_point="f", tests=tuple(FunctionCase(args=(a,), expected=e) for a, e in cases))
    runs = StdioTests(tests=tuple(StdioCase(input=f"{a}\n", output=f"{e}\n") for a, e in cases))
    plain = "def f(x): return x + 1 if x % 7 else x * 1000\n"

    async def work(client):
        right = [
            await grade(plain, calls, client),
            await grade(plain + "print(f(int(input())))", runs, client),
        ]
        wrong = "def f(x): return x + 1\n"
        return right, [
            await grade(wrong, calls, client),
            await grade(wrong + "print(f(int(input())))", runs, client),
        ]

    right, wrong = with_client(work)
    assert [report.outcome for report in right] == ["passed"] * 2
    assert [(report.outcome, report.passed) for report in wrong] == [("failed", 51)] * 2
