"""Commands of gdb and pdb, and what is shown after them."""

import pytest

from verl_coder.tools.debugger_commands import CommandMistake, read_command, show


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("b 12", ("break", {"line": 12})),
        ("break main.py:12 if x > 3", ("break", {"line": 12, "condition": "x > 3"})),
        ("break solve, len(xs) == 0", ("break", {"function": "solve", "condition": "len(xs) == 0"})),
        ("break Solution.solve", ("break", {"function": "Solution.solve"})),
        ("clear", ("clear", {})),
        ("p xs[0] if xs else None", ("print", {"expression": "xs[0] if xs else None"})),
        ("print(total)", ("print", {"expression": "total"})),
        ("until 9", ("until", {"line": 9})),
        ("R", ("run", {})),
        ("finish", ("return", {})),
        ("bt", ("where", {})),
    ],
)
def test_a_command_is_read(text, command):
    assert read_command(text) == command


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("brake 3", "did you mean break?"),
        ("x = 3", "no command 'x'"),
        ("break", "give a line or a function"),
        ("break 3 4", "give a line or a function"),
        ("print", "wants an expression"),
        ("until solve", "give a line"),
    ],
)
def test_a_command_that_cannot_be_read_is_told_why(text, words):
    with pytest.raises(CommandMistake) as caught:
        read_command(text)
    assert words in str(caught.value)


def answer(**state):
    base = {
        "event": "line",
        "line": 3,
        "function": "f",
        "locals": {},
        "stack": [],
        "breakpoints": [],
        "source": [],
    }
    return {"run_result": {"stdout": "", "status": "Finished"}, "message": "", "state": base | state}


def test_line_numbers_are_those_of_the_models_code():
    source = [{"line": n, "text": f"line {n - 2}", "current": n == 5} for n in range(1, 9)]
    text = show("next", answer(line=5, source=source, locals={"x": "1"}), window=1, shift=2)
    assert text == "stopped at line 3 in f\n     2  line 2\n->   3  line 3\n     4  line 4\nx = 1"


def test_functions_are_no_locals_worth_showing():
    text = show("locals", answer(locals={"f": "<function f at 0x1>", "x": "1"}), window=1)
    assert text == "x = 1"


def test_a_program_that_ended_says_so():
    assert show("run", answer(event="exited", line=None, return_code=0), window=1) == "the program ended"


@pytest.mark.parametrize("command", ["break", "until", "clear"])
def test_a_line_number_of_any_length_is_a_mistake_at_most(command: str) -> None:
    with pytest.raises(CommandMistake, match="digits"):
        read_command(f"{command} {'9' * 5000}")
