"""What is found in the code of a reference solution."""

import pytest

from verl_coder.data.python_code import class_names


def test_a_class_is_known_by_all_its_names():
    code = "class A: pass\nB = A\nC = B\nP = namedtuple('P', 'x')\nd = A()\ne = len\n"
    assert class_names(code) == ("A", "B", "C", "P")


@pytest.mark.parametrize("code", ["class A(", "x = " + "1+" * 20_000 + "1", "x = " + "-" * 20_000 + "1"])
def test_code_that_does_not_parse_tells_of_no_classes(code: str) -> None:
    assert class_names(code) is None
