"""Thoughts of one turn: which answer counts where more than one thought ends, and that no draft in one does."""

import pytest

from verl_coder.extraction import extract, extract_code

DOUBLE = "def double(x):\n    return x + x\n"
BLOCK = f"```python\n{DOUBLE}```"
PROGRAM = "<program>\nprint(1)\n</program>"
OUTPUT = "\n<output>\n1\n</output>\n"


@pytest.mark.parametrize(
    "later",
    [
        "\n</think>",
        "\n</think>\nDone.",
        "\n<think>check</think>\nDone.",
        "\n<think>a</think>\n<think>b</think>",
    ],
)
def test_an_answer_counts_where_no_code_follows_a_later_thought(later):
    found = extract(f"<think>hm</think>\n{BLOCK}{later}")
    assert (found.thinking, found.think_closed, found.fenced, found.code) == ("hm", True, True, DOUBLE)


@pytest.mark.parametrize(
    "later",
    [
        "\n</think>",
        "\n</think>\n\n</think>\n",
        "</think><|im_end|>\n",
        "\n<think>check</think>\nDone.",
        "\n<think>a</think>",
    ],
)
def test_a_closing_tag_that_nothing_follows_leaves_the_answer_to_a_thought_that_the_prompt_opened(later):
    found = extract(f"hm</think>\n{BLOCK}{later}")
    assert (found.thinking, found.think_closed, found.code) == ("hm", True, DOUBLE)


@pytest.mark.parametrize("answer", ["I give up.", "Done.\n</think>", f"Done.\n{PROGRAM}"])
def test_a_draft_between_a_spoken_of_and_the_real_end_of_a_thought_counts_for_no_answer(answer):
    assert extract_code(f"My thought ends with\n</think>\nA draft:\n{BLOCK}\n</think>\n{answer}") is None


def test_the_answer_behind_the_real_end_of_a_thought_counts_whatever_it_drafted():
    text = f"My thought ends with\n</think>\nA draft:\n{BLOCK}\n</think>\n```python\nx = 2\n```\n</think>"
    assert extract_code(text) == "x = 2\n"


@pytest.mark.parametrize(
    "later",
    ["\n</think>", "\n<think>check</think>", f"\n<think>{BLOCK}</think>\nNo.", f"\n{BLOCK}\n</think>"],
)
def test_code_behind_a_later_thought_replaces_the_answer_before_it(later):
    final = "x = 2\n"
    assert extract_code(f"<think>hm</think>\n{BLOCK}{later}\n```python\n{final}```") == final


@pytest.mark.parametrize(
    "text",
    [
        f"{BLOCK}\n</think>\nDone.",
        f"<think>{BLOCK}</think>\nDone.\n</think>\nYes.",
        f"<think>a</think>\n<think>{BLOCK}</think>\nDone.",
        f"{BLOCK}\n<think>a</think>\nDone.\n<think>b</think>\nDone.",
        f"<think>a</think>\n{BLOCK}\n</think>\n{PROGRAM}",
        f"<think>a</think>\n{BLOCK}\n<think>b\n{PROGRAM}",
        f"<think>a</think>\n{PROGRAM}{OUTPUT}{BLOCK}\n</think>\nDone.",
    ],
)
def test_code_within_a_thought_counts_for_no_answer(text):
    assert extract_code(text) is None
