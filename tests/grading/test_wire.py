"""Values between the processes: rebuilt from exact builtin types, and nothing that is sent runs code."""

# ruff: noqa: E501 - tables of cases

import contextlib
import math
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verl_coder.grading.programs.decode import Decoder
from verl_coder.grading.programs.encode import Encoder
from verl_coder.grading.programs.frames import WireError
from verl_coder.grading.programs.heap import Heap


def refuse(*value):
    raise WireError("stays here")


class Node:
    def __init__(self, val, next=None):
        self.val, self.next = val, next

    def total(self):
        return self.val

    @property
    def double(self):
        return 2 * self.val


CLASSES = {"Node": Node}


def encode(value):
    return Encoder(CLASSES, refuse).encode(value)


def decode(message):
    return Decoder(CLASSES, refuse).decode(message)


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
    back = decode(encode(value))
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
    back = decode(encode(value))
    assert type(back) is type(value) and back == value


def test_a_defaultdict_keeps_its_items_and_a_view_its_kind():
    assert decode(encode(defaultdict(list, {1: [2]}))) == {1: [2]}
    assert decode(encode({1: 2}.keys())) == {1}


def test_a_subclass_of_a_builtin_loses_what_it_added():
    class Liar(int):
        def __eq__(self, other):
            return True

        __hash__ = int.__hash__

    back = decode(encode([Liar(3), {Liar(4): 1}]))
    assert type(back[0]) is int and back[0] != 5 and back == [3, {4: 1}]


def test_linked_objects_of_known_classes_long_and_cyclic():
    head = None
    for value in range(50_000):
        head = Node(value, head)
    back = decode(encode(head))
    assert (type(back), back.val, back.next.next.val) == (Node, 49_999, 49_997)
    loop = Node(1)
    loop.next = loop
    back = decode(encode(loop))
    assert back.next is back


def test_other_objects_stay_where_they_are():
    with pytest.raises(WireError, match="stays here"):
        encode(object())


def test_too_deep_nesting_is_an_error_and_not_a_crash():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(WireError, match="too deeply"):
        encode(deep)


@pytest.mark.parametrize(
    "message",
    [
        {"N": ["builtins", "eval"]}, {"N": ["os", "system"]}, {"N": ["builtins", "__import__"]}, {"N": ["builtins", "open"]},
        {"n": ["type", "x"]}, {"o": 0}, {"#": 1}, {"#": -1}, {"na": ["<i8", [2], [1]]}, {"na": ["O", [1], [1]]},
        {"na": ["<i8", [1], [1.5]]}, {"na": ["<f8", [1], [{"h": 1}]]}, {"na": ["<U9999999", [1], ["a"]]}, {"s": [{"l": [1]}]},
        {"n": ["Fraction", [1, 0]]}, {"n": ["Decimal", "1e9999999"]}, {"I": [{"h": 1}]}, {"p": [1, 2]},
        {"unknown": 1}, {"t": 1, "s": 2}, {}, {"t": 5}, {"s": [[1]]}, {"d": [[1]]}, {"i": "zz"}, {"r": [1, 2, 0]}, {"n": 3},
        {"dq": 1}, {"h": 1}, {"c": ["a", 1]},
    ],
)  # fmt: skip
def test_malformed_and_dangerous_messages_are_refused(message):
    with pytest.raises(WireError):
        decode([message])


@given(
    st.recursive(
        scalars.filter(lambda v: not isinstance(v, bytes)),
        lambda x: (
            st.lists(x)
            | st.dictionaries(
                st.sampled_from([*"tsfdibBcrovnNhekIC#=gp", "na", "dq", "dd", "od", "sl", "mv"]),
                x,
                max_size=1,
            )
        ),
    )
)
def test_any_json_decodes_or_is_refused(message):
    with contextlib.suppress(WireError):
        decode(message)


@pytest.mark.parametrize(
    "row", [[0, "object", {}], [0, "Node", {"__class__": 1}], [0, "Node", {"a b": 1}], [0, "Node", {"total": 1}],
            [0, "Node", {"double": 1}], [1, "Node", {}], [0, "Node"], ["0", "Node", {}], [0, "Node", []]],
)  # fmt: skip
def test_a_helper_object_has_no_attribute_that_its_class_does_not_leave_open(row):
    with pytest.raises(WireError):
        decode({"g": [{"o": 0}, [row], []]})


def test_what_is_mentioned_twice_arrives_once_and_cycles_stay_cycles():
    shared, loop = [1], {}
    loop["self"] = [loop, shared]
    node = Node(shared)
    back = decode(encode([shared, loop, node, {"n": node}, (shared,)]))
    assert back[0] is back[1]["self"][1] is back[2].val is back[4][0] and back[1]["self"][0] is back[1]
    assert back[2] is back[3]["n"]


class Side:
    """One end, which remembers what both hold."""

    def __init__(self):
        self.heap = Heap(track=True)

    def encode(self, value):
        return Encoder(CLASSES, refuse, heap=self.heap).encode(value)

    def decode(self, message):
        return Decoder(CLASSES, refuse, heap=self.heap).decode(message)


def test_an_answer_changes_what_was_sent_and_names_it():
    numbers, node = [3, 1], Node([1])
    judge, candidate = Side(), Side()
    a, b, c = candidate.decode(judge.encode([numbers, numbers, node]))
    assert a is b
    a.sort()
    c.next = c
    c.val.append(2)
    result = judge.decode(candidate.encode([c, a]))
    assert numbers == [1, 3] and node.next is node and node.val == [1, 2]
    assert result[0] is node and result[1] is numbers


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from("laksdn"), st.integers(0, 9)), max_size=30))
def test_both_sides_hold_the_same_whatever_either_changes_in_turn(steps):
    judge, candidate = Side(), Side()
    ours = [[1], {"a": [2]}, {3}, deque([4]), Node(5), [[6], [7]]]
    theirs = candidate.decode(judge.encode(ours))
    for turn, (where, what, value) in enumerate(steps):
        mine, sender, receiver, other = (
            (ours, judge, candidate, theirs) if turn % 2 else (theirs, candidate, judge, ours)
        )
        change(mine, where % len(mine), what, value)
        assert receiver.decode(sender.encode([mine, value])) == [other, value] or what == "n"
        assert shape(ours) == shape(theirs)


def change(held, where, what, value):
    target = held[where]
    if isinstance(target, Node):
        target.val, target.next = value, target if what == "n" else None
    elif isinstance(target, list):
        target.append(
            held[value % len(held)] if what == "k" else [value]
        ) if what in "lak" else target.clear()
    elif isinstance(target, dict):
        target[value] = held[0] if what == "k" else value
    elif isinstance(target, set):
        target ^= {value}
    else:
        target.appendleft(value)


def shape(value, seen=None):
    """What is held, with a number for each thing that may be changed, so that sharing counts."""
    seen = {} if seen is None else seen
    if not isinstance(value, (list, dict, set, deque, Node)):
        return value
    if id(value) in seen:
        return ("again", seen[id(value)])
    seen[id(value)] = len(seen)
    if isinstance(value, Node):
        return ("node", shape(value.val, seen), shape(value.next, seen))
    if isinstance(value, dict):
        return [(key, shape(item, seen)) for key, item in value.items()]
    return [
        type(value).__name__,
        *(shape(item, seen) for item in (sorted(value) if isinstance(value, set) else value)),
    ]


def test_a_message_that_fails_leaves_no_number_behind():
    judge, candidate = Side(), Side()
    kept = [1]
    candidate.decode(judge.encode(kept))
    with pytest.raises(WireError):
        judge.encode([[2], object()])
    new = [3]
    assert candidate.decode(judge.encode([kept, new])) == [[1], [3]]
    candidate.heap.items[1].append(4)
    judge.decode(candidate.encode(None))
    assert new == [3] and judge.heap.items[2] is new
    candidate.heap.items[2].append(5)
    judge.decode(candidate.encode(None))
    assert new == [3, 5]
