"""Where breakpoints may stand, and where they go when the program is edited."""

import pytest

from verl_coder.sandbox.guest.breakpoints import Breakpoints

CODE = "a = 1\nb = 2\nprint(a + b)\n"


def moved(after: str, *lines: int) -> tuple[list[int], list[int]]:
    """(lines that have breakpoints after the edit, lines that had one before and lost it)."""
    points = Breakpoints()
    for line in lines:
        points.set(CODE, line=line, function=None, condition=None)
    dropped = points.move(CODE, after)
    return [line for line, _ in points.known()], dropped


@pytest.mark.parametrize("instead", ["# gone", "", "    "])
def test_a_breakpoint_whose_line_has_no_code_any_more_is_dropped(instead: str) -> None:
    assert moved(CODE.replace("b = 2", instead), 2, 3) == ([3], [2])


def test_a_mistake_in_the_new_program_drops_no_breakpoint() -> None:
    assert moved("new = 0\n" + CODE.replace("a = 1", "a = (1"), 2, 3) == ([3, 4], [])


METHODS = (
    "class Sum:\n    def add(self, x):\n        return x\n"
    "def outer():\n    def inner():\n        return 1\n    return inner\n"
    "def add(a, b):\n    '''Doc.'''\n    return a + b\n"
)


@pytest.mark.parametrize(
    ("name", "line"), [("add", 10), ("Sum.add", 3), ("inner", 6), ("outer.inner", 6), ("outer", 5)]
)
def test_a_name_means_the_function_at_the_top_level_before_a_method(name: str, line: int) -> None:
    points = Breakpoints()
    points.set(METHODS, line=None, function=name, condition=None)
    assert points.known() == [(line, None)]


def test_of_functions_of_one_name_at_the_top_level_the_last_is_meant() -> None:
    points = Breakpoints()
    points.set("def f():\n    return 1\ndef f():\n    return 2\n", line=None, function="f", condition=None)
    assert points.known() == [(4, None)]
