"""Which names of the solution tests use as classes, told by their source."""

import pytest

from verl_coder.grading.usage import used_as_classes

NO_CLASS = {
    "the type of a result": "assert isinstance(f(3), int)",
    "the types of a result": "self.assertIsInstance(f(3), (int, float))",
    "a function that raises": "pytest.raises(ValueError, f, -1)",
    "a class that is found by a call": "assert isinstance(x, type(f(3)))",
    "a list that is sorted": "r = f(3)\nr.sort()\nassert r == [1]",
    "a list that is filled": "r = f(3)\nr[0] = 1",
    "an object that a function returns": "assert find(1).name == 'Bob'",
    "a function that keeps something": "fib.memo.clear()\nassert fib.memo == {}",
    "a context manager that a function makes": "with timer() as t:\n    t.lap()",
    "two calls of a function": "assert f(1) == f(2) + f(3)",
}
CLASS = {
    "the class of an object": ("assert isinstance(x, node)", ["node"]),
    "one of two classes": ("assert isinstance(x, (node, solution.leaf))", ["node", "leaf"]),
    "one class or another": ("assert isinstance(x, node | leaf | None)", ["node", "leaf"]),
    "an exception": ("try:\n    x()\nexcept (bad, Worse):\n    pass", ["bad", "Worse"]),
    "an exception that is waited for": ("with pytest.raises(bad):\n    x()", ["bad"]),
    "a class that tests derive from": ("class Mine(base): pass", ["base"]),
    "an object's own attribute": ("s = Stack()\nassert s.top == 1", ["Stack"]),
    "an object's method": ("s = Stack()\ns.push(1)", ["Stack"]),
    "a class's own attribute": ("assert Color.RED.value == 1", ["Color"]),
    "an operation of two objects": ("assert Vec(1) + Vec(2) == Vec(3)", ["Vec"]),
}


@pytest.mark.parametrize("what", NO_CLASS)
def test_what_only_a_class_does_not_do_tells_of_none(what):
    named = {"int", "float", "ValueError", "type"}
    assert set(used_as_classes([NO_CLASS[what]])) <= named


@pytest.mark.parametrize("what", CLASS)
def test_a_class_is_found(what):
    source, names = CLASS[what]
    assert set(names) <= set(used_as_classes([source]))


def test_what_a_check_calls_its_candidate_is_judged_by_the_name_of_the_solution():
    source = "x = candidate(1)\nx.push(2)"
    assert used_as_classes([source], {"candidate": "f"}) == []
    assert used_as_classes([source], {"candidate": "Stack"}) == ["Stack"]
