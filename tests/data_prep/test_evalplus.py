"""MBPP+ in EvalPlus's own release file: inputs have their own types, and results are compared by EvalPlus's rules."""

from collections.abc import Callable
from typing import Any

import pytest

from verl_coder.data.dataset import LoadOptions, load_dataset_file
from verl_coder.errors import DataError


def evalplus_check(number: int, code: str, *inputs: list[Any], **changes: Any) -> Callable[[Any], None]:
    """`check` of a record whose canonical solution is `code`, which defines `f`."""
    record = {
        "task_id": f"Mbpp/{number}",
        "prompt": "Do it.",
        "entry_point": "f",
        "canonical_solution": code,
        "base_input": list(inputs),
        "plus_input": [],
        "atol": 0,
        "assertion": "",
        **changes,
    }
    draft = load_dataset_file("mbpp").to_draft(record, "train", LoadOptions(variant="plus"))  # type: ignore[union-attr]
    namespace: dict[str, Any] = {}
    exec(draft.tests[0].check, namespace)  # type: ignore[attr-defined]
    return namespace["check"]


RETURN = "def f(*args):\n    return args\n"


@pytest.mark.parametrize(
    ("number", "stored", "meant"),
    [
        (116, [[1, [2]]], [(1, [2])]),
        (63, [[[1], [2]]], [[(1,), (2,)]]),
        (75, [[[1], [2]], [3]], [[(1,), (2,)], [3]]),
        (106, [[1], [2], [3]], [[1], (2,), (3,)]),
        (115, [[[1, 1], [], {"a": [1]}, None]], [[{1}, {}, {"a": [1]}, None]]),
        (124, ["2", "1j"], [2.0, 1j]),
        (720, [[1], {"a": [2]}], [(1,), {"a": [2]}]),
        (252, ["(1-2j)"], [1 - 2j]),
        (278, [[1, [2, [3]]]], [(1, (2, [3]))]),
        (580, [[1, [2, [3]]]], [(1, (2, (3,)))]),
        (722, [{"a": [1]}, 2], [{"a": (1,)}, 2]),
        (3, [[1], {"a": [2]}, "t"], [[1], {"a": [2]}, "t"]),
    ],
)
def test_an_input_is_what_it_was_before_json(number: int, stored: list[Any], meant: list[Any]) -> None:
    seen: list[Any] = []

    def answer(*args: Any) -> tuple[Any, ...]:
        seen.append(args)
        return args

    evalplus_check(number, RETURN, stored)(answer)
    assert repr(seen) == repr([tuple(meant)])


def test_a_constant_fails_where_every_input_was_a_tuple() -> None:
    check = evalplus_check(106, "def f(a, b):\n    return b + tuple(a)\n", [[1], [2]], [[], [3]])
    check(lambda a, b: (*b, *a))
    with pytest.raises(AssertionError):
        check(lambda a, b: None)


@pytest.mark.parametrize(("good", "passes"), [(0, False), (2, False), (3, True), (6, True)])
def test_a_record_of_which_less_than_half_is_compared_is_no_test(good: int, passes: bool) -> None:
    inputs = [[number] for number in range(good)] + [["text"]] * (6 - good)
    check = evalplus_check(3, "def f(n):\n    return n / 2\n", *inputs)
    if passes:
        check(lambda n: n / 2)
        return
    with pytest.raises(ValueError, match=f"results for {good} of 6 inputs: TypeError"):
        check(lambda n: n / 2)


def test_a_canonical_solution_that_its_own_asserts_refute_is_no_test() -> None:
    check = evalplus_check(3, "def f(n):\n    return n\n", [1], assertion="assert f(1) == 2")
    with pytest.raises(ValueError, match="own asserts"):
        check(lambda n: n)


def test_asserts_that_need_a_module_refute_nothing() -> None:
    code = "def f(n):\n    return n\n"
    evalplus_check(3, code, [1], assertion="assert math.isclose(f(1), 1) and nothing")(lambda n: n)


def passes(check: Callable[[Any], None], answer: Any) -> bool:
    try:
        check(answer)
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize(
    ("result", "passing"),
    [([3, 1], True), ((1, 3), True), ({1, 3}, True), ([1, 3, 3], True), ([1], False), (None, False)],
)
def test_results_of_some_problems_are_sets(result: Any, passing: bool) -> None:
    assert passes(evalplus_check(249, "def f(a):\n    return a\n", [[1, 3]]), lambda a: result) is passing


@pytest.mark.parametrize("found", [lambda t: "a" in t, lambda t: t if "a" in t else None])
def test_a_match_counts_by_whether_it_is_one(found: Any) -> None:
    check = evalplus_check(737, "import re\ndef f(t):\n    return re.search('a', t)\n", ["cab"], ["b"])
    assert passes(check, found)
    assert not passes(check, lambda t: True) and not passes(check, lambda t: None)


@pytest.mark.parametrize(
    ("expected", "result", "passing"),
    [
        ("0.1 + 0.2", 0.3, True),
        ("0.1 + 0.2", 0.31, False),
        ("[0.1 + 0.2, 1]", [0.3, 1], True),
        ("(1, 2)", [1, 2], False),
        ("[1, 2]", [2, 1], False),
        ("[]", None, False),
        ("2.0", 2, True),
        ("2.0", None, False),
        ("1.5 + 1j", 1.5 + 1j, True),
    ],
)
def test_other_results_are_compared_in_order_and_type(expected: str, result: Any, passing: bool) -> None:
    assert passes(evalplus_check(3, f"def f():\n    return {expected}\n", []), lambda: result) is passing


def test_either_reading_of_an_ambiguous_statement_is_right() -> None:
    code = "def digit_distance_nums(a, b):\n    return sum(abs(int(x) - int(y)) for x, y in zip(str(a), str(b)))\n"
    check = evalplus_check(558, code, [123, 7], entry_point="digit_distance_nums")
    assert passes(check, lambda a, b: 6) and passes(check, lambda a, b: 1 + 2 + 4)
    assert not passes(check, lambda a, b: 0)


def test_an_empty_object_of_inputs_is_none_and_no_inputs_at_all_are_no_test() -> None:
    evalplus_check(3, RETURN, [1], plus_input={})(lambda *args: args)
    with pytest.raises(DataError, match="hold no inputs"):
        evalplus_check(3, RETURN, plus_input={})
