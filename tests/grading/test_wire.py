"""Values between the processes: rebuilt from exact builtin types, and nothing that is sent runs code."""

# ruff: noqa: E501 - tables of cases

import contextlib
import math
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from fractions import Fraction
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_coder.grading.programs.frames import WireError
from verl_coder.grading.programs.wire import Codec


def refuse(value):
    raise WireError("stays here")


class Node:
    def __init__(self, val, next=None):
        self.val, self.next = val, next


codec = Codec({"Node": Node}, refuse, refuse)

scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
hashable = st.recursive(
    scalars, lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3), max_leaves=5
)
values = st.recursive(
    hashable,
    lambda inner: st.lists(inner) | st.dictionaries(hashable, inner) | st.tuples(inner) | st.sets(hashable),
    max_leaves=20,
)


def types(value):
    if isinstance(value, dict):
        return (dict, sorted(map(repr, (types(v) for v in value.values()))))
    if isinstance(value, (list, tuple)):
        return (type(value), [types(v) for v in value])
    return type(value)


@given(values)
def test_plain_data_comes_back_equal_and_of_the_same_types(value):
    back = codec.decode(codec.encode(value))
    assert back == value
    assert types(back) == types(value)


@pytest.mark.parametrize(
    "value",
    [
        Counter("aab"), OrderedDict([(2, 1), (1, 2)]), deque([1, 2], maxlen=3), range(1, 9, 2), 1 + 2j, bytearray(b"a"),
        Decimal("1.10"), Fraction(1, 3), len, int, math.sqrt, ValueError, slice(1, None), ..., -(2**70),
    ],
)  # fmt: skip
def test_well_known_types_come_back_the_same(value):
    back = codec.decode(codec.encode(value))
    assert type(back) is type(value) and back == value


def test_a_defaultdict_keeps_its_items_and_a_view_its_kind():
    assert codec.decode(codec.encode(defaultdict(list, {1: [2]}))) == {1: [2]}
    assert codec.decode(codec.encode({1: 2}.keys())) == {1}


def test_a_subclass_of_a_builtin_loses_what_it_added():
    class Liar(int):
        def __eq__(self, other):
            return True

        __hash__ = int.__hash__

    back = codec.decode(codec.encode([Liar(3), {Liar(4): 1}]))
    assert type(back[0]) is int and back[0] != 5 and back == [3, {4: 1}]


def test_linked_objects_of_known_classes_long_and_cyclic():
    head = None
    for value in range(50_000):
        head = Node(value, head)
    back = codec.decode(codec.encode(head))
    assert (type(back), back.val, back.next.next.val) == (Node, 49_999, 49_997)
    loop = Node(1)
    loop.next = loop
    back = codec.decode(codec.encode(loop))
    assert back.next is back


def test_other_objects_stay_where_they_are():
    with pytest.raises(WireError, match="stays here"):
        codec.encode(SimpleNamespace())


def test_too_deep_nesting_is_an_error_and_not_a_crash():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(WireError, match="too deeply"):
        codec.encode(deep)


@pytest.mark.parametrize(
    "message",
    [
        {"N": ["builtins", "eval"]}, {"N": ["os", "system"]}, {"N": ["builtins", "__import__"]}, {"N": ["builtins", "open"]},
        {"n": ["type", "x"]}, {"o": [["object", {}]]}, {"o": [["Node", {"__class__": 1}]]}, {"o": [["Node", {"a b": 1}]]},
        {"unknown": 1}, {"t": 1, "s": 2}, {}, {"t": 5}, {"s": [[1]]}, {"d": [[1]]}, {"i": "zz"}, {"r": [1, 2, 0]}, {"n": 3},
        {"dq": 1}, {"h": 1}, {"c": ["a", 1]},
    ],
)  # fmt: skip
def test_malformed_and_dangerous_messages_are_refused(message):
    with pytest.raises(WireError):
        codec.decode([message])


@given(
    st.recursive(
        scalars.filter(lambda v: not isinstance(v, bytes)),
        lambda x: st.lists(x) | st.dictionaries(st.sampled_from("tsfdibBcrovnNhekIC#"), x, max_size=1),
    )
)
def test_any_json_decodes_or_is_refused(message):
    with contextlib.suppress(WireError):
        codec.decode(message)
