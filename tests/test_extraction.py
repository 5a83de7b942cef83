"""What counts as the answer of a completion."""

import time

import pytest

from verl_coder.extraction import extract, extract_code

CALL = '<tool_call>\n{"name": "python_interpreter", "arguments": {"code": "```python\\ncalled()\\n```"}}\n</tool_call>'
RESULT = "\nuser\n<tool_response>\n```python\nresult()\n```\n</tool_response>\nassistant\n"


@pytest.mark.parametrize("label", ["python", "py", "Python", "python3", ""])
def test_a_fenced_block_is_the_code_whatever_its_label(label):
    assert extract_code(f"Here it is:\n```{label}\nx = 1\n```\nDone.") == "x = 1\n"


def test_the_last_complete_block_wins_over_earlier_and_unclosed_ones():
    text = "```python\nfirst()\n```\nBetter:\n```python\nsecond()\n```\nOr:\n```python\nunclosed("
    assert extract_code(text) == "second()\n"


def test_an_unlabelled_block_of_output_does_not_replace_the_python_block():
    assert extract_code("```python\nprint(1)\n```\nIt prints\n```\n1\n```") == "print(1)\n"


@pytest.mark.parametrize("label", ["text", "bash", "json"])
def test_a_block_of_another_language_is_no_code(label):
    assert extract_code(f"```{label}\nx = 1\n```") is None


def test_an_unclosed_block_alone_is_taken_but_not_called_fenced():
    found = extract("```python\nx = 1")
    assert (found.code, found.fenced) == ("x = 1\n", False)


@pytest.mark.parametrize(
    ("text", "thinking", "closed", "code"),
    [
        ("<think>hm</think>\n```python\nx = 1\n```", "hm", True, "x = 1\n"),
        ("hm</think>\n```python\nx = 1\n```", "hm", True, "x = 1\n"),
        ("<think>hm\n```python\nx = 1\n```", "hm\n```python\nx = 1\n```", False, None),
        ("```python\nx = 1\n```", "", False, "x = 1\n"),
        ("<think>```python\ny = 2\n```</think>nothing", "```python\ny = 2\n```", True, None),
    ],
)
def test_thinking_closed_unclosed_and_absent(text, thinking, closed, code):
    found = extract(text)
    assert (found.thinking, found.think_closed, found.code) == (thinking, closed, code)


@pytest.mark.parametrize(
    "text",
    [
        "def f(x):\n    return x",
        "Sure, this does it:\ndef f(x):\n    return x\n\nIt returns x.",
        "def f(x):\n    return x\n\n",
    ],
)
def test_code_without_a_fence_is_found_between_prose(text):
    assert extract_code(text) == "def f(x):\n    return x\n"


@pytest.mark.parametrize("text", ["", "   \n", "I do not know.", "yes", "It is x", "```python\n\n```"])
def test_no_code_is_none(text):
    assert extract_code(text) is None


def test_code_in_tool_calls_and_tool_results_never_counts():
    assert extract_code(CALL) is None
    assert extract_code(CALL + RESULT) is None
    assert extract_code(CALL + RESULT + "I am done.") is None
    assert extract_code("```python\nearly()\n```\n" + CALL + RESULT + "I am done.") is None


def test_the_answer_follows_the_tool_turns():
    text = (
        "<think>try</think>\n"
        + CALL
        + RESULT
        + CALL
        + RESULT
        + "<think>good</think>\n```python\nfinal()\n```"
    )
    found = extract(text)
    assert (found.code, found.thinking) == ("final()\n", "good")


def test_bare_code_after_a_tool_turn_loses_the_role_line():
    assert extract_code(CALL + RESULT + "def f(x):\n    return x") == "def f(x):\n    return x\n"


def test_a_turn_that_ends_inside_a_call_has_no_answer():
    assert extract_code('```python\nx = 1\n```\n<tool_call>\n{"name": "python') is None
    assert extract_code("```python\nx = 1\n```\n<program>\nprint(1)") is None


def test_program_tags_are_turns_too():
    turns = "<program>\nprint(1)\n</program>\n<output>\n1\n</output>\n"
    assert extract_code(turns) is None
    assert extract_code(turns + "```python\nanswer()\n```") == "answer()\n"


def test_a_tag_inside_an_expression_is_text():
    code = 'x = "a</program>b"\ny = "<tool_call>"\n'
    assert extract_code(f"```python\n{code}```") == code


def test_windows_line_ends():
    assert extract_code("```python\r\nx = 1\r\ny = 2\r\n```\r\n") == "x = 1\ny = 2\n"


def test_an_indented_fence_loses_its_indentation():
    assert (
        extract_code("1. So:\n   ```python\n   def f():\n       return 1\n   ```")
        == "def f():\n    return 1\n"
    )


def test_special_tokens_are_not_code():
    assert extract_code("def f():\n    return 1<|im_end|>") == "def f():\n    return 1\n"


JUNK = [
    "a",
    "`",
    "```",
    "\n",
    " ",
    "(",
    "<think>",
    "</think>",
    "```python\n",
    "</tool_call>\n",
    "def f(",
    "{}</tool_call>",
]


@pytest.mark.parametrize("piece", JUNK)
def test_a_megabyte_of_junk_takes_time_in_proportion(piece):
    def seconds(size: int) -> float:
        text = piece * (size // len(piece))
        start = time.process_time()
        extract(text)
        return time.process_time() - start

    seconds(10_000)
    # 16 times the text: a quadratic search would take 256 times as long.
    assert seconds(1_000_000) < 80 * max(seconds(62_500), 0.01)
