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


DOUBLE = "def double(x):\n    return x + x\n"
BLOCK = f"```python\n{DOUBLE}```"
PROGRAM = "<program>\nprint(1)\n</program>"
OUTPUT = "\n<output>\n1\n</output>\n"


@pytest.mark.parametrize(
    "label",
    [
        "python:main.py",
        "python3.11",
        'py title="main.py"',
        "{.python}",
        "{.python .numberLines}",
        "Python 3",
        "language-python",
        "{code-block} python",
        "main.py",
    ],
)
def test_a_label_may_say_more_than_python(label: str) -> None:
    assert extract_code(f"```{label}\n{DOUBLE}```") == DOUBLE


@pytest.mark.parametrize("label", ["python2", "pytb"])
def test_a_label_that_begins_like_python_is_another_language(label: str) -> None:
    assert extract_code(f"```{label}\n{DOUBLE}```") is None


@pytest.mark.parametrize("behind", ["</answer>", ".", "**", " It adds.", "``"])
def test_a_closing_fence_may_be_followed_by_text(behind: str) -> None:
    found = extract(f"<think>a</think>{BLOCK}{behind}")
    assert (found.code, found.fenced) == (DOUBLE, True)


def test_a_closing_fence_may_follow_the_last_line_of_code() -> None:
    found = extract(f"```python\nx = 1```\nThen:\n```python\n{DOUBLE.rstrip()}```</answer>\nDone.")
    assert (found.code, found.code_blocks) == (DOUBLE, 2)


@pytest.mark.parametrize("outer", ["```", "````", "~~~"])
@pytest.mark.parametrize("inner", ["```", "```python", "```text", "~~~"])
def test_a_fence_in_a_docstring_belongs_to_the_code(outer: str, inner: str) -> None:
    fences = f"    {inner}\n    double(2)\n    {inner[:3]}\n"
    code = f'def double(x):\n    """Twice.\n\n{fences}    """\n    return x + x\n'
    assert extract_code(f"So:\n{outer}python\n{code}{outer}\nDone.") == code


def test_a_shorter_fence_neither_ends_nor_restarts_a_block() -> None:
    assert extract_code("````text\n```python\nx = 1\n```\n````") is None


def test_a_line_of_code_about_fences_ends_no_block() -> None:
    code = "# between ``` and ```\nparts = text.split('```')\n"
    assert extract_code(f"```python\n{code}```") == code


@pytest.mark.parametrize(
    "text",
    [
        "> ```python\n> def double(x):\n>     return x + x\n> ```",
        "- So:\n\n      ```python\n      def double(x):\n          return x + x\n      ```",
        "1. So:\n   ```python\ndef double(x):\n    return x + x\n   ```",
        "```python\n    def double(x):\n        return x + x\n```",
        "So:\n\n    def double(x):\n        return x + x\n\nIt adds.",
        "\ufeff```python\n\ufeffdef double(x):\n    return x + x\n\u200b```",
    ],
)
def test_what_stands_before_the_lines_of_a_block_is_no_code(text: str) -> None:
    assert extract_code(text) == DOUBLE


def test_a_block_that_parses_wins_over_a_transcript() -> None:
    assert extract_code(f"{BLOCK}\nFor example:\n```python\n>>> double(2)\n4\n```") == DOUBLE


def test_an_unclosed_block_loses_the_prose_after_it() -> None:
    assert extract_code(f"<answer>\n```python\n{DOUBLE}</answer>\nThis adds.") == DOUBLE


@pytest.mark.parametrize("before", ["", "It reads n and adds it to itself.\n\n", "Solution:\n", "python\n"])
@pytest.mark.parametrize("after", ["", "```", "```\nIt prints:\n```\nYes\n```", "\nIt prints the sum."])
@pytest.mark.parametrize(
    "code", ["n = int(input())\nprint(n + n)\n", "for line in open(0):\n    print(line * 2)\n"]
)
def test_a_program_without_a_fence_is_found_between_prose(before: str, code: str, after: str) -> None:
    assert extract_code(before + code + after) == code


@pytest.mark.parametrize("text", ["Answer: 42", "Take x.\nx = 3\nThen add.", "if in doubt, print it", "42"])
def test_prose_that_parses_in_part_is_no_program(text: str) -> None:
    assert extract_code(text) is None


@pytest.mark.parametrize(
    "tag", ["<think>", "</think>", "<program>", "</program>", "<output>", "</output>", "</tool_call>"]
)
def test_a_tag_in_a_code_block_is_text(tag: str) -> None:
    code = f'def page(x):\n    return f"""\n{tag}\n{{x}}\n"""\n'
    for before in ("", "<think>hm</think>\n", PROGRAM + OUTPUT, CALL + RESULT):
        assert extract_code(f"{before}```python\n{code}```") == code


@pytest.mark.parametrize(
    "sentence",
    [
        "I used no <tool_call> and no <think>.",
        "<program> tags were not needed.",
        "<tool_call> and </tool_call> were not needed.",
        "Thoughts stand between <think> and </think>.",
        "The tags `</think>` and `</program>` are not part of it.",
        "It prints\n<output>\n2\n</output>\nfor 1.",
    ],
)
def test_prose_may_speak_of_a_tag(sentence: str) -> None:
    assert extract_code(f"{sentence}\n{BLOCK}") == DOUBLE
    assert extract_code(f"{BLOCK}\n{sentence}") == DOUBLE


def test_code_without_a_fence_may_have_tags_in_its_strings() -> None:
    code = 'def f(s):\n    return s.split("</think>")[-1].replace("<program>", f"<output>{s}</output>")\n'
    assert extract_code(code) == code


def test_only_the_tags_of_the_rows_agent_loop_count() -> None:
    assert extract_code(f"{BLOCK}\n{PROGRAM}") is None
    assert extract_code(f"{BLOCK}\n{PROGRAM}", agent_name="tool_agent") == DOUBLE
    assert extract_code(f"{BLOCK}\n{PROGRAM}", agent_name="program_agent") is None
    assert extract_code(f"{BLOCK}\n{CALL}", agent_name="single_turn_agent") == DOUBLE


def test_a_result_in_a_string_across_turns_is_a_result_where_the_protocol_is_known() -> None:
    text = f'```python\ns = """\n{PROGRAM}{OUTPUT}"""\n```'
    assert extract_code(text) is not None
    assert extract_code(text, agent_name="program_agent") is None


@pytest.mark.parametrize(
    "turn",
    [
        f"{BLOCK}\nI try it: {PROGRAM}",
        f"{BLOCK}\nI try it: <program>\nprint(1",
        f"```python\n{PROGRAM}\n```",
        f"```python\n{PROGRAM}",
        f"{BLOCK}\n{PROGRAM}\n<output>\n```python\nf()\n```",
        f"{BLOCK}\n" + CALL.replace("called()", "print('</tool_call>')"),
        f"{BLOCK}\n{CALL}\nI wait.{RESULT}Done.",
        f"<think>hm\n{PROGRAM}{OUTPUT}Done.",
    ],
)
def test_a_call_is_no_answer_wherever_it_stands(turn: str) -> None:
    assert extract_code(turn) is None


@pytest.mark.parametrize("printed", ["```python\nf()\n```", "```python\nf()"])
def test_a_closing_tag_that_a_program_printed_does_not_make_its_output_the_answer(printed: str) -> None:
    assert extract_code(f"{PROGRAM}\n<output>\n</output>\n{printed}\n</output>\nDone.") is None


@pytest.mark.parametrize("tags", ["<form><feedback>", "Reads </feedback><feedback>", "a<output>"])
def test_an_opening_tag_of_a_result_at_the_end_of_a_line_of_code_is_text(tags: str) -> None:
    code = f'def f(x):\n    """Reads {tags}\n    and adds one."""\n    return x + 1\n'
    assert extract_code(f"```python\n{code}```") == code
    assert extract_code(f"So:\n```python\n{code}```\nThat is all.") == code


def test_a_line_about_both_tags_ends_no_thought() -> None:
    thought = f"The format is <think>...</think> and then code. A draft:\n{BLOCK}\nThat is off by one, so"
    found = extract(f"<think>\n{thought}")
    assert (found.thinking, found.think_closed, found.code) == (thought, False, None)
    found = extract(f"<think>\n{thought} this:</think>\n```python\nx = 2\n```")
    assert found.think_closed and found.code == "x = 2\n"


def test_a_thought_of_one_line_ends_before_the_words_behind_it() -> None:
    found = extract(f"<think>short</think> Here it is:\n{BLOCK}")
    assert (found.thinking, found.think_closed, found.code) == ("short", True, DOUBLE)


def test_a_code_block_in_a_thought_may_hold_the_closing_tag() -> None:
    thought = '```python\ns = s.split("</think>")[1]\n```\nGood.'
    found = extract(f"<think>{thought}</think>\n{BLOCK}")
    assert (found.thinking, found.think_closed, found.code) == (thought, True, DOUBLE)


def test_a_fence_left_open_in_a_thought_ends_with_it() -> None:
    assert extract_code(f"<think>\n```python\nx = (\n</think>\n{BLOCK}") == DOUBLE


def test_special_tokens_in_code_are_the_codes() -> None:
    code = 'END = "<|endoftext|>"\nprint(END + "<|im_end|>")\n'
    assert extract_code(f"```python\n{code}```<|im_end|>\n<|endoftext|>") == code


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
    "```python\nx = '''\n",
    "```\n</think>\n",
    "- a\n",
    "> a ```\n",
    "print(1)\nprose here\n",
    "<program>\n</program>\n<output>\n",
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
