"""What is found in the code of a reference solution."""

import pytest

from verl_coder.data.python_code import can_fail, class_names, defined_names


def test_a_class_is_known_by_all_its_names():
    code = "class A: pass\nB = A\nC = B\nP = namedtuple('P', 'x')\nd = A()\ne = len\n"
    assert class_names(code) == ("A", "B", "C", "P")


@pytest.mark.parametrize(
    "code",
    [
        "try:\n    from fast import A\nexcept ImportError:\n    class A: pass",
        "if True:\n    with open('x'):\n        A = Enum('A', 'x')",
        "try:\n    pass\nfinally:\n    A: type = TypedDict('A', {})",
        "if False:\n    pass\nelif True:\n    pass\nelse:\n    class A: pass",
        "if 0: pass\n" + "elif 0: pass\n" * 1500 + "else:\n    class A: pass",
    ],
)
def test_a_class_within_a_statement_of_the_module_is_known(code: str) -> None:
    assert class_names(code) == ("A",) and defined_names(code) == ["A"]


def test_what_a_function_or_only_a_program_defines_is_no_name_of_the_module() -> None:
    code = "def f():\n    x = 1\n    class B: pass\na, (b, *c) = 1, (2, 3)\na.d = b[0] = 1\ne: int\n"
    code += "if __name__ == '__main__':\n    g = f()\nelse:\n    def h(): pass\n"
    assert defined_names(code) == ["f", "a", "b", "c", "h"] and class_names(code) == ()


@pytest.mark.parametrize("guard", ["__name__ == '__main__'", "('__main__' == __name__)"])
def test_a_main_guard_is_known_either_way_round(guard: str) -> None:
    assert defined_names(f"if {guard}: x = 1\nelse: y = 1") == ["y"]


@pytest.mark.parametrize(
    "guard", ["__name__ != '__main__'", "__name__ == '__main__' == x", "'__name__' == __main__"]
)
def test_another_condition_is_no_main_guard(guard: str) -> None:
    assert defined_names(f"if {guard}: x = 1\nelse: y = 1") == ["x", "y"]


DEEP = " + ".join("x" * 900)
LONG = "f()" + ".a()" * 900


@pytest.mark.parametrize("code", [f"if {DEEP}: y = 1", f"y = {LONG}"])
def test_names_stand_beside_expressions_that_are_too_deep_to_be_written_out(code: str) -> None:
    assert defined_names(code) == ["y"] and class_names(code) == () and not can_fail(code)


@pytest.mark.parametrize("code", ["class A(", "x = " + "1+" * 20_000 + "1", "x = " + "-" * 20_000 + "1"])
def test_code_that_does_not_parse_tells_of_no_classes(code: str) -> None:
    assert class_names(code) is None
