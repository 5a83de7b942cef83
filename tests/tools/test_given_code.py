"""What stands around the code of a call."""

import pytest

from verl_coder.tools.given_code import given_program


@pytest.mark.parametrize(
    ("code", "program"),
    [
        ("```python\nx = 1\n```", "x = 1\n"),
        ("\n```\ndef f(:\n```\n", "def f(:\n"),
        ("```py\n  x = 1\n  y = 2\n```", "x = 1\ny = 2\n"),
        ("    x = 1\n    if x:\n        y = 2", "x = 1\nif x:\n    y = 2"),
        (">>> def f(x):\n...     return x\n...\n>>> f(1)\n1", "def f(x):\n    return x\n\nf(1)"),
        (">>> def f(x):\n    return x\n>>> f(1)\n1", "def f(x):\n    return x\nf(1)"),
    ],
)
def test_what_models_put_around_code_is_taken_off(code: str, program: str) -> None:
    assert given_program(code) == program


@pytest.mark.parametrize(
    "code",
    [
        "x = 1\n",
        "",
        "  # a comment\nx = 1",
        '"""\n```python\nx = 1\n```\n"""',
        "x = '''\n>>> 1\n'''",
        "  x = 1\ny = 2",
        "```python\nx = 1",
        ">>> x = (",
        "\tif x:\n  y",
    ],
)
def test_any_other_code_is_left_as_it_is(code: str) -> None:
    assert given_program(code) == code
