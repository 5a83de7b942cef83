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
