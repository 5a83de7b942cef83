"""Examples in docstrings as asserts, and asserts as a docstring's examples."""

import ast

import pytest

from verl_coder.docstring_examples import as_stub, asserts_in, without_asserts, without_examples


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
        # No call of the function with values alone, so that right solutions would fail or wrong ones pass.
        (">>> f(1) == 2\nTrue\n>>> f(1) or 7\n7\n>>> lambda: f(1)\n1\n>>> not f(1)\nFalse", ()),
        (">>> f(1), f(2)\n(2, 3)\n>>> print(f(1))\n1\n>>> f(math.pi)\n3\n>>> g(f(1))\n3\n>>> g(1)\n2", ()),
        (">>> await f(1)\n1\n>>> (yield f(1))\n1\n>>> f(f(1))\n1\n>>> f(x := 1)\n1\n>>> f(*[1])\n1", ()),
        (">>> f(1) # doctest: +SKIP\n2\n>>> f(3);\n4", ("assert f(3) == 4",)),
        (
            ">>> round(f(2), 1) # halves: 1 + 2x\n0.5\n>>> sorted(f([2, 1])[0:2])\n[-1, 2]",
            ("assert round(f(2), 1) == 0.5", "assert sorted(f([2, 1])[0:2]) == [-1, 2]"),
        ),
        ("f(3) -> 0.333...\nf(4) -> 0.25.", ("assert f(4) == 0.25",)),
        # What Python reads and cannot write, or not in time.
        (">>> f(1)\n0x" + "f" * 5000 + "\n>>> f(2)\n3", ("assert f(2) == 3",)),
        ("f(0x" + "f" * 900 + "0" * 5000 + ") == 1", ()),
        (
            f"f({'1+' * 900}1) == 1\nf({'not ' * 900}1) == 1\nf(1){' returns x' * 3000}\nf(1){' ' * 20000}x",
            (),
        ),
        ("", ()),
    ],
)
def test_examples_that_are_calls_with_values_become_asserts(docstring: str, asserts: tuple[str, ...]) -> None:
    assert asserts_in(stub(docstring)) == asserts
    for one in asserts:
        ast.parse(one)


def test_functions_at_the_top_level_alone_have_examples() -> None:
    inner = (
        'def f(x):\n    def g(y):\n        """\n        >>> g(1)\n        2\n        """\n    return g(x)\n'
    )
    method = 'class Solution:\n    def f(self, x):\n        """f(1) == 2"""\n'
    assert asserts_in(inner) == asserts_in(method) == ()
    both = 'def h():\n    """h() == 1"""\n\ndef f(x):\n    """\n    >>> f(1)\n    2\n    """\n'
    assert asserts_in(both) == ("assert h() == 1", "assert f(1) == 2")


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
        ("Do it.", "assert f('a\tb') == 'a   b'"),
        ("Do it.", "assert f(LIMIT) == 2"),
        ("Do it.", "assert print(f(1)) == None"),
        ("Do it.", "assert f(1) == 0x" + "f" * 5000),
    ],
)
def test_what_a_docstring_cannot_say_as_it_is_makes_no_stub(statement: str, example: str) -> None:
    assert as_stub("def f(x):", statement, [example]) is None


def test_a_head_that_needs_other_names_makes_no_stub() -> None:
    example = ["assert f(1) == 2"]
    assert as_stub("def f(x: int, y=None) -> list[str]:", "Do it.", example) is not None
    assert as_stub("def f(x=LIMIT):", "Do it.", example) is None
    assert as_stub("def f(x: List[int]):", "Do it.", example) is None


def test_a_statement_is_compared_without_its_examples() -> None:
    made = as_stub("def f(x):", "Do it.\nTwice.", ["assert f(1) == 2", "assert f(2) == [4]"])
    assert made is not None and without_examples(made.statement) == "Do it.\nTwice."
    assert without_examples("Do it.\n>>> f(1)\n2\n\nMore.\n  >>> f(2)\n3") == "Do it.\n\nMore."
    assert without_examples(">>> f(1)\n2") == ">>> f(1)\n2"


def test_single_examples_can_be_left_out_of_a_text() -> None:
    code = stub("Twice.\n>>> f(2)\n4\n>>> f([1,\n...    2])\n[1,\n 2]\n>>> f(3)\n5\n", "def f(x):")
    gone = ("assert f([1, 2]) == [1, 2]", "assert f(3) == 5")
    left = without_asserts(code, gone)
    assert asserts_in(left) == ("assert f(2) == 4",)
    assert left == 'def f(x):\n    """Twice.\n    >>> f(2)\n    4\n\n    """\n'
    assert without_asserts(code, ("assert f(4) == 5", "assert (")) == code
    lines = stub("f(2) => 4\nf(3) gives 5\nIt is not f(3) => 5.")
    assert without_asserts(lines, ("assert f(3) == 5",)) == lines
    assert asserts_in(without_asserts(stub("f(2) => 4\nf(3) => 5"), ("assert f(3) == 5",))) == (
        "assert f(2) == 4",
    )
