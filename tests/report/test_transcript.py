import pytest
from report.folders import ANSWER, CALL, RESULT

from verl_coder.report.transcript import Segment, split_output, split_prompt, title_of


def kinds(text: str) -> list[str]:
    return [segment.kind for segment in split_output(text)]


def test_a_call_its_output_and_the_answer_are_three_segments() -> None:
    first, second, third = split_output(CALL + RESULT + ANSWER)
    assert first.kind == "call" and first.text.startswith('{"name": "python_interpreter"')
    assert (second, third) == (Segment("result", "1"), Segment("model", ANSWER))


def test_special_tokens_between_the_turns_are_no_text() -> None:
    result = "<|im_end|>\n<|im_start|>user\n<tool_response>\n1\n</tool_response><|im_end|>\n<|im_start|>assistant\n"
    text = f"I try it.{CALL}{result}{ANSWER}<|im_end|>"
    assert kinds(text) == ["model", "call", "result", "model"]
    assert split_output(text)[-1].text == ANSWER + "<|im_end|>"


def test_programs_between_tags_are_calls_too() -> None:
    assert kinds(f"<program>\nprint(1)\n</program>\n<output>\n1\n</output>\n{ANSWER}") == [
        "call",
        "result",
        "model",
    ]


def test_parallel_calls_and_their_outputs_keep_their_order() -> None:
    results = RESULT.replace("\nassistant\n", "\n<tool_response>\n2\n</tool_response>\nassistant\n")
    assert kinds(f"{CALL}\n{CALL}{results}{ANSWER}") == ["call", "call", "result", "result", "model"]


def test_an_unanswered_call_at_the_end_is_a_call() -> None:
    assert kinds(f"I try it.\n{CALL}\n") == ["model", "call"]


@pytest.mark.parametrize(
    "text",
    [
        f"The tag {CALL} stands in a sentence.",
        "<tool_call>\nnever closed",
        "<tool_response>\n1\n</tool_response>",
    ],
)
def test_a_tag_that_nothing_answers_is_text(text: str) -> None:
    assert split_output(text) == [Segment("model", text)]


def test_an_output_that_was_cut_off_is_an_output() -> None:
    assert split_output(CALL + "\nuser\n<tool_response>\nmany lin")[-1] == Segment("result", "many lin")


@pytest.mark.parametrize(
    "piece",
    [
        "<tool_call>",
        "<tool_call></tool_call>",
        "<program>",
        "<tool_call></tool_call>\nuser\n<tool_response>",
        " \n",
    ],
)
def test_megabytes_of_tags_are_split_in_linear_time(piece: str) -> None:
    split_output(piece * (3_000_000 // len(piece)))


def test_nothing_of_the_model_is_lost() -> None:
    text = f"one {CALL} two\n{CALL}{RESULT}three\n{ANSWER}\nfour"
    joined = " ".join(segment.text for segment in split_output(text))
    assert all(word in joined for word in ("one", "two", "three", "four", "print(1)"))


def test_a_prompt_is_its_messages_with_and_without_special_tokens() -> None:
    plain = "system\nBe short.\nuser\nAdd two numbers.\nassert add(1, 2) == 3\nassistant\n"
    user = "<|im_start|>user\nAdd two numbers.\nassert add(1, 2) == 3<|im_end|>\n"
    marked = f"<|im_start|>system\nBe short.<|im_end|>\n{user}<|im_start|>assistant\n"
    assert split_prompt(plain) == split_prompt(marked) == [
        Segment("system", "Be short."), Segment("user", "Add two numbers.\nassert add(1, 2) == 3")
    ]  # fmt: skip
    assert title_of(plain) == "Add two numbers."


def test_a_prompt_without_roles_is_one_message() -> None:
    assert split_prompt("def add(a, b):") == [Segment("user", "def add(a, b):")]
    assert split_prompt("") == [] and title_of("") == ""


@pytest.mark.parametrize("begins", ["", "<|im_start|>"])
def test_lines_of_a_problem_that_are_words_for_roles_are_its_text(begins: str) -> None:
    problem = "The input is a list of roles:\nuser\ntool\nsystem\nPrint the number of roles."
    ends = "<|im_end|>" if begins else ""
    text = f"{begins}system\nYou program.{ends}\n{begins}user\n{problem}{ends}\n{begins}assistant\n"
    assert split_prompt(text) == [Segment("system", "You program."), Segment("user", problem)]


def test_a_prompt_with_an_example_keeps_its_turns() -> None:
    text = "user\nOne?\nassistant\nI try.\ntool\n1\nassistant\nIt is 1.\nuser\nTwo?\nassistant\n"
    assert [message.kind for message in split_prompt(text)] == [
        "user",
        "assistant",
        "tool",
        "assistant",
        "user",
    ]
