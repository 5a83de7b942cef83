"""The tree of a source, whatever else the process parses at that moment."""

import ast
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from verl_coder.syntax import literal_value, parse_python, statements

SOURCE = "def f(x):\n    return [y for y in x if y]\n"


def failing(times: int, read: Callable[..., Any]) -> Callable[..., Any]:
    """Like `read`, but the interpreter's fault for the first calls."""
    left = [times]

    def call(*arguments: Any, **options: Any) -> Any:
        left[0] -= 1
        if left[0] >= 0:
            raise SystemError("AST constructor recursion depth mismatch (before=210, after=262)")
        return read(*arguments, **options)

    return call


def test_a_fault_of_the_interpreter_says_nothing_about_the_source(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = ast.dump(ast.parse(SOURCE))
    with monkeypatch.context() as patch:
        patch.setattr(ast, "parse", failing(3, ast.parse))
        assert ast.dump(parse_python(SOURCE)) == expected
        patch.setattr(ast, "literal_eval", failing(2, ast.literal_eval))
        assert literal_value("[1, 2]") == [1, 2]
        patch.setattr(ast, "parse", failing(99, ast.parse))
        with pytest.raises(SystemError, match="recursion depth"):
            parse_python(SOURCE)


def test_faults_of_the_source_are_told() -> None:
    for text, kind in (
        ("def", SyntaxError),
        ("\0", (SyntaxError, ValueError)),
        ("(" * 9999, (SyntaxError, MemoryError)),
    ):
        with pytest.raises(kind):  # type: ignore[arg-type]
            parse_python(text)


def test_threads_that_parse_at_once_get_their_trees() -> None:
    source = Path(ast.__file__).read_text()
    errors: list[SystemError] = []

    def parse() -> None:
        for _ in range(4):
            try:
                parse_python(source)
            except SystemError as error:
                errors.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=parse) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not errors


def test_what_python_thinks_of_an_answers_style_is_not_said() -> None:
    program = (
        "import ast; from verl_coder.syntax import parse_python\n"
        "answer = 'x = ' + repr(chr(92) + 'd').replace(chr(92) * 2, chr(92))\n"
        "parse_python(answer); ast.parse(answer, 'own.py')"
    )
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", program], capture_output=True, text=True, check=True
    )
    assert [line.partition(":")[0] for line in done.stderr.splitlines()] == ["own.py"]


def test_a_statement_keeps_its_whole_lines_whatever_characters_they_hold() -> None:
    source = "a = '\x0c\u2028'  # one\r\nassert f(\n    1\n)\nassert a; b = 2\n"
    found = [(type(node).__name__, text) for node, text in statements(source)]
    assert found[:2] == [("Assign", "a = '\x0c\u2028'  # one"), ("Assert", "assert f(\n    1\n)")]
    assert found[2] == ("Assert", "assert a; b = 2")
    assert statements("def (") == []
