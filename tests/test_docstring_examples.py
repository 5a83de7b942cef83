"""Examples in docstrings as asserts, and asserts as a docstring's examples."""

import ast

import pytest

from verl_coder.docstring_examples import as_stub, asserts_in


def stub(docstring: str, head: str = "def f(x):") -> str:
    lines = "\n".join(f"    {line}".rstrip() for line in docstring.split("\n"))
    return f'{head}\n    """{lines.lstrip()}\n    """\n'


@pytest.mark.parametrize(
    ("docstring", "asserts"),
    [
        (
            "Twice.\n>>> f(2)\n4\n>>> f('a')\n'aa'\n\nNothing else.",
            ("assert f(2) == 4", "assert f('a') == 'aa'"),
        ),
        (">>> f([1,\n...    2])\n[1, 2]", ("assert f([1, 2]) == [1, 2]",)),
        ("f(2) => 4\n- f(3)  ==> 6 # six", ("assert f(2) == 4", "assert f(3) == 6")),
        (
            "f(2) ➞ 4\nf(3) -> 6\nf(0) returns 0.\nf(1) should return 2.",
            tuple(f"assert f({x}) == {y}" for x, y in ((2, 4), (3, 6), (0, 0), (1, 2))),
        ),
        (">>> f(2)\n4, 5\n>>> f(3)\n[4,\n 5]", ("assert f(2) == (4, 5)", "assert f(3) == [4, 5]")),
        ("f(2) => 4, 5", ("assert f(2) == (4, 5)",)),
        ("f(x=2) -> 4\nf({'a': 1}) == {'a': 2}", ("assert f(x=2) == 4", "assert f({'a': 1}) == {'a': 2}")),
        # No examples of values: a formula, another name, an error, steps, a picture, what depends on a name.
        ("f(n) = 2 * n\nf(2) = 2 + 2 = 4\nf(1) = 2\ng(2) => 4\nf(2) gives 4", ()),
        (">>> f(None)\nTraceback (most recent call last):\nTypeError", ()),
        (">>> x = 2\n>>> f(x)\n4", ()),
        (">>> f(2)\n[0, ..., 4]\n>>> f(3)\n<object at 0x7f>\n>>> f(4)", ()),
        ("f(a) => 4\nf(2 # two) => 4", ()),
        ("", ()),
    ],
)
def test_examples_that_are_calls_with_values_become_asserts(docstring: str, asserts: tuple[str, ...]) -> None:
    assert asserts_in(stub(docstring)) == asserts
    for one in asserts:
        ast.parse(one)


def test_code_that_no_python_is_has_no_examples() -> None:
    for code in (
        "",
        "def f(",
        "class Solution:\n    def f(self):",
        ">>> f(2)\n4",
        "def f(x):\n  '''\n>>> f(2)\n4",
    ):
        assert asserts_in(code) == ()


def test_examples_with_a_mixed_indent_are_none() -> None:
    assert asserts_in('def f(x):\n    """\n    >>> f(2)\n  4\n    """\n') == ()


def test_a_stub_gives_its_asserts_back() -> None:
    examples = ("assert f( (1, 2),'a\"b')==[1, -2]", "assert f((3,), '') == {'k': (None, True)}")
    made = as_stub("def f(x, y):", "Do it.\nIn two lines.", examples)
    assert made is not None
    assert asserts_in(made.code) == (
        "assert f( (1, 2),'a\"b') == [1, -2]",
        "assert f((3,), '') == {'k': (None, True)}",
    )
    [function] = ast.parse(made.code).body
    assert isinstance(function, ast.FunctionDef) and ast.get_docstring(function) == made.statement
    assert made.statement.startswith("Do it.\nIn two lines.\n>>> f( (1, 2),'a\"b')\n[1, -2]")


@pytest.mark.parametrize(
    ("statement", "example"),
    [
        ("Do it.", "assert f(1) != 2"),
        ("Do it.", "assert math.isclose(f(1), 2)"),
        ("Do it.", "assert f(1) == 2 == 2"),
        ("Do it.", "assert f(1)"),
        ("Do it.", "assert f(1) == g(2)"),
        ("Do it.", "x = 1; assert f(x) == 2"),
        ("Do it.", "assert f(1) =="),
        ("Do it.", "assert f('\\n') == 1"),
        ('Do """ it.', "assert f(1) == 2"),
        ("Do \\it.", "assert f(1) == 2"),
        (">>> x = 1", "assert f(1) == 2"),
    ],
)
def test_what_a_docstring_cannot_say_as_it_is_makes_no_stub(statement: str, example: str) -> None:
    assert as_stub("def f(x):", statement, [example]) is None
