"""What a model reads after a command of the debugger."""

import pytest

from verl_coder.tools.debugger_texts import how_it_ended, listed, show


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
    return {
        "run_result": {"stdout": "", "stderr": "", "status": "Finished"},
        "message": "",
        "state": base | state,
    }


def test_line_numbers_are_those_of_the_models_code():
    source = [{"line": n, "text": f"line {n - 2}", "current": n == 5} for n in range(1, 9)]
    text = show("next", answer(line=5, source=source, locals={"x": "1"}), window=1, shift=2)
    assert text == "stopped at line 3 in f\n     2  line 2\n->   3  line 3\n     4  line 4\nx = 1"


def test_functions_are_no_locals_worth_showing():
    text = show("locals", answer(locals={"f": "<function f at 0x1>", "x": "1"}), window=1)
    assert text == "x = 1"


def test_a_program_that_ended_says_so():
    assert show("run", answer(event="exited", line=None, return_code=0), window=1) == "the program ended"


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (0, "the program ended"),
        (3, "the program ended with exit code 3"),
        (-11, "the program was ended by SIGSEGV"),
        (-63, "the program was ended by signal 63"),
    ],
)
def test_an_end_is_told_in_words(code: int, words: str) -> None:
    assert how_it_ended(code) == words


def test_messages_name_the_lines_of_the_models_code() -> None:
    told = answer() | {"message": "line 7 has no code: the breakpoint stands at line 9"}
    assert show("break", told, window=1, shift=2) == "line 5 has no code: the breakpoint stands at line 7"
    error = {"ename": "SyntaxError", "evalue": "'(' was never closed (main.py, line 4)"}
    failed = answer(event="exception", line=None) | {"error": error}
    assert show("run", failed, window=1, shift=2) == "SyntaxError: '(' was never closed (main.py, line 2)"


def test_what_is_left_out_of_the_stack_is_counted() -> None:
    frame = {"function": "f", "file": "main.py", "line": 2, "selected": True}
    text = show("where", answer(stack=[frame], frames=9), window=1)
    assert text == "   ... 8 frames above these\n-> f, line 2"


def test_a_value_about_to_be_returned_stands_in_one_short_line() -> None:
    returning = answer(event="return", returning="a\n" + "b" * 500)
    first = show("return", returning, window=1).splitlines()[0]
    assert first == f"about to return a {'b' * 198}... at line 3 in f"


def test_lines_are_listed_as_far_as_there_are_any() -> None:
    assert listed("a\nb\nc", (2, 9), 2) == "->   2  b\n     3  c"
    assert listed("a", (7, 9), 1) == "the program has no line 7"


def test_what_the_program_wrote_to_stderr_is_shown() -> None:
    wrote = answer(event="exited", line=None, return_code=0)
    wrote["run_result"] |= {"stdout": "out\n", "stderr": "1\n2\n3\n"}
    assert show("run", wrote, window=1, stderr_lines=2) == "out\n2\n3\nthe program ended"


def test_a_note_of_a_stop_is_shown_with_the_lines_of_the_models_code() -> None:
    told = answer() | {"note": "the condition 'n' of the breakpoint at line 5 failed"}
    assert show("next", told, window=1, shift=2).endswith(
        "\nthe condition 'n' of the breakpoint at line 3 failed"
    )


@pytest.mark.parametrize(("last", "more"), [(300, "... `list 62,100` shows the others"), (61, "    61  x")])
def test_a_listing_that_is_cut_says_where_it_goes_on(last: int, more: str) -> None:
    assert listed("\n".join(["x"] * 100), (1, last), None).splitlines()[-1].strip() == more.strip()
