"""Commands of gdb and pdb."""

import pytest

from verl_coder.tools.debugger_commands import CommandMistake, read_command


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
        ("next 3", ("next", {"times": 3})),
        ("u 2", ("up", {"times": 2})),
        ("step 5000", ("step", {"times": 100})),
        ("p\tx", ("print", {"expression": "x"})),
        ("list 3, 9", ("list", {"lines": (3, 9)})),
        ("l 12", ("list", {"lines": (7, 17)})),
        ("info breakpoints", ("breakpoints", {})),
        ("b", ("breakpoints", {})),
        ("info locals", ("locals", {})),
        ("info stack", ("where", {})),
    ],
)
def test_a_command_is_read(text, command):
    assert read_command(text) == command


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("brake 3", "did you mean break?"),
        ("x = 3", "no command 'x'"),
        ("break 3 4", "give a line or a function"),
        ("print", "wants an expression"),
        ("until solve", "give a line"),
        ("run 5", "run takes nothing, and not '5'"),
        ("n 3; p x", "next takes a number, and not '3; p x'; one command a line"),
        ("step into", "step takes a number"),
        ("list solve", "list takes a line"),
        ("where 5", "where takes nothing"),
        ("clear 0", "the first line of the program is 1"),
    ],
)
def test_a_command_that_cannot_be_read_is_told_why(text, words):
    with pytest.raises(CommandMistake) as caught:
        read_command(text)
    assert words in str(caught.value)


@pytest.mark.parametrize("command", ["break", "until", "clear", "next", "list"])
def test_a_line_number_of_any_length_is_a_mistake_at_most(command: str) -> None:
    with pytest.raises(CommandMistake, match="digits"):
        read_command(f"{command} {'9' * 5000}")
