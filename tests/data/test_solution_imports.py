"""A test module imports from `solution` what it uses, and nothing that an answer need not have."""

from pathlib import Path

import pytest

from verl_coder.data.solution_imports import import_from_solution

STACK = "class Stack:\n    def push(self, x): ...\n\ndef helper(): ...\n\nLIMIT = 3\n"


def first_lines(test: str, solution: str = STACK, listed: tuple[str, ...] = ()) -> list[str]:
    """What was put before the test."""
    made = import_from_solution(test, solution, listed)
    assert made.endswith(test)
    return made.removesuffix(test).splitlines()


@pytest.mark.parametrize(
    ("body", "names"),
    [
        ("s = Stack()\n    s.push(1)\n    assert s", "Stack"),
        ("assert helper() == LIMIT", "helper, LIMIT"),
        ("helper = 1\n    assert Stack", "Stack"),
        ("assert [LIMIT for LIMIT in range(3)] and (lambda Stack: Stack)(helper())", "helper"),
        ("class A(Stack):\n        x = LIMIT\n    assert A", "Stack, LIMIT"),
    ],
)
def test_what_the_tests_use_and_the_solution_defines_is_imported(body: str, names: str) -> None:
    assert first_lines(f"def test_it():\n    {body}\n", listed=("push", "missing")) == [
        f"from solution import {names}"
    ]


def test_a_name_of_the_tests_own_is_not_imported() -> None:
    test = "def helper():\n    return Stack()\n\ndef test_it():\n    assert helper()\n"
    assert first_lines(test) == ["from solution import Stack"]


def test_an_import_that_lacks_a_name_is_completed_and_a_whole_one_left() -> None:
    whole = "from solution import helper\n\ndef test_it():\n    assert helper()\n"
    assert import_from_solution(whole, STACK) == whole
    assert first_lines(whole + "    assert Stack()\n") == ["from solution import Stack"]


@pytest.mark.parametrize("line", ["from solution import *", "import solution", "import solution as s"])
def test_an_import_of_everything_is_left(line: str) -> None:
    test = f"{line}\n\ndef test_it():\n    assert helper()\n"
    assert import_from_solution(test, STACK) == test


def test_a_module_that_only_the_solution_imports_is_imported_as_there() -> None:
    solution = "import math, os\nfrom collections import Counter as C, deque\ndef f(): ...\n"
    test = "def test_it():\n    assert f() == math.pi + len(C())\n"
    assert first_lines(test, solution) == [
        "from solution import f",
        "import math",
        "from collections import Counter as C",
    ]


def test_a_module_that_the_tests_take_something_of_is_imported_by_its_name() -> None:
    test = "def test_it():\n    with pytest.raises(E):\n        helper(re.compile('a'), string)\n"
    assert first_lines(test) == ["from solution import helper", "import pytest", "import re"]


def test_everything_is_imported_where_nothing_is_known() -> None:
    assert first_lines("def test_it(:\n") == ["from solution import *"]
    assert first_lines("def test_it():\n    assert other()\n") == ["from solution import *"]
    assert first_lines("def test_it(:\n", listed=("helper", "push")) == ["from solution import helper"]
    assert first_lines("def test_it():\n    assert f()\n", "def f(:\n    g", ("f", "g")) == [
        "from solution import f"
    ]


def test_imports_from_the_future_stay_first() -> None:
    test = '"""Tests."""\nfrom __future__ import annotations\n\ndef test_it():\n    assert helper()\n'
    made = import_from_solution(test, STACK)
    compile(made, "test", "exec")
    assert made.splitlines()[2] == "from solution import helper"


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        ("from your_module import Stack", "from solution import Stack"),
        (
            "from your_module.stacks import (\n    Stack,\n    helper as h,\n)",
            "from solution import Stack, helper as h",
        ),
        ("from .stacks import Stack", "from solution import Stack"),
        ("from your_module import *", "from solution import *"),
        (
            "import your_module\ny = your_module.Stack",
            "import solution as your_module\ny = your_module.Stack",
        ),
        ("import your.module as m\ny = m.Stack", "import solution as m\ny = m.Stack"),
    ],
)
def test_a_module_that_does_not_exist_is_the_solution(line: str, instead: str) -> None:
    rest = (
        "\n\ndef test_ä():\n    assert Stack\n" if "Stack" in line and "y =" not in line else "\nassert y\n"
    )
    rest = rest if "*" not in line else "\n\ndef test_it():\n    assert helper()\n"
    assert import_from_solution(line + rest, STACK) == instead + rest


@pytest.mark.parametrize(
    "line", ["from heapq import helper", "from numpy import helper", "from your_module import other"]
)
def test_a_module_that_exists_or_has_other_names_is_left(line: str) -> None:
    assert line in import_from_solution(f"{line}\n\ndef test_it():\n    assert helper()\n", STACK)


def test_a_module_that_only_the_preparing_process_finds_does_not_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "beside.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    test = "def test_it():\n    assert helper()\n"
    for name in ("beside", "kodcode"):
        made = import_from_solution(f"from {name} import helper\n{test}", STACK)
        assert made == f"from solution import helper\n{test}"


def test_two_imports_on_one_line_are_both_replaced() -> None:
    made = import_from_solution(
        "from your_module import helper; from your_code import Stack\n\ndef test_it():\n    assert Stack(helper())\n",
        STACK,
    )
    assert made.splitlines()[0] == "from solution import helper; from solution import Stack"
