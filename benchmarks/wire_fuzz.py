# ruff: noqa: E501 - tables of messages
"""A candidate that speaks the wire itself: mutated frames at every position and depth, against the judge's own channel.

    python benchmarks/wire_fuzz.py [--frames 1000000] [--seed 0] [--traced 20000]

Each frame is an answer to a test that no answer can pass. The judge must come back with a letter that is not "passed",
within two seconds of work and without an exception that the record does not know. The first `--traced` frames also tell which
lines of the decoder they reached. One JSON line; exit status 1 where anything else happened.
"""

import argparse
import collections
import copy
import io
import json
import random
import resource
import secrets
import socket
import struct
import sys
import time
from pathlib import Path
from typing import Any

import numpy

from verl_coder.grading.programs import decode
from verl_coder.grading.programs.libraries import find_library
from verl_coder.grading.programs.record import GradingRecord
from verl_coder.grading.programs.remote import CandidateChannel
from verl_coder.grading.programs.spec import Spec

SLOW_S, HUNG_S = 2.0, 30.0
MEMORY_BYTES = 4 << 30
HANDLE = ["mine", 1, "A", 2, "iter next len getitem", "", None]
Pair = collections.namedtuple("Pair", "x y")
# fmt: off
VALUES: list[Any] = [
    [1, 2.5, "x", True, None], [[1], {"#": 20}, {"#": 0}], {"d": [["a", 1], [2, [3]]]}, {"s": [1, {"t": [1, 2]}]},
    {"f": [1, {"f": []}]}, {"B": "abc"}, {"dq": [[1, 2], 3]}, {"C": [["a", 2]]}, {"dd": [None, [["a", []]]]},
    {"dd": [{"N": ["builtins", "int"]}, []]}, {"od": [["a", 1]]}, {"na": ["<f8", [2, 2], [1.0, 2.0, 3.0, 4.0]]},
    {"na": ["<U3", [1], ["abc"]]}, {"na": ["<c16", [1], [{"c": [1.0, 2.0]}]]}, {"na": ["<f8", [0], []]}, {"t": [1, [2]]},
    {"i": "0xffffffffffffffffffff"}, {"b": "abc"}, {"mv": "abc"}, {"c": [1.0, 2.0]}, {"r": [0, 10, 2]}, {"sl": [None, 1, [2]]}, {"e": 0},
    {"k": [1, 2]}, {"v": [1, [2]]}, {"I": [[1, 2]]}, {"n": ["Decimal", "1.5"]}, {"n": ["Fraction", [1, 2]]},
    {"n": ["date", "2020-01-01"]}, {"n": ["datetime", "2020-01-01T00:00:00"]}, {"n": ["time", "01:02:03"]},
    {"n": ["UUID", "00000000-0000-0000-0000-000000000007"]}, {"n": ["IPv4Network", "10.0.0.0/8"]},
    {"n": ["array", ["d", [1.5]]]}, {"n": ["array", ["q", [1, 2]]]},
    {"n": ["timedelta", [1, 2, 3]]}, {"n": ["PosixPath", "a/b"]}, {"N": ["math", "sqrt"]}, {"h": HANDLE}, {"h": ["yours", 0]},
    {"p": [5, ["mine", 3, "A", 4, "", "int", None]]}, {"d": [[{"h": ["mine", 5, "A", 2, "", "", 77]}, 1]]},
    {"h": ["mine", 9, "C", 2, "class", "", None]}, {"h": ["mine", 8, "L", 2, "len iter", "list", None]},
    {"g": [{"o": 10}, [[10, "Node", {"val": 1, "next": {"o": 11}}], [11, "Node", {"val": [1], "next": None}]], []]},
    {"g": [{"o": 10}, [[10, "Node", {"total": 1}]], []]}, {"g": [{"o": 10}, [[10, "Node", {"__class__": 1}]], []]},
    {"g": [None, [], [[7, {"na": ["<f8", [3], [3.0, 4.0, 5.0]]}]]]}, {"g": [1, [[8, "Other", {}]], []]},
    {"ns": ["<f8", 1.5]}, {"ns": ["<i8", 3]}, {"ns": ["|b1", True]}, {"ns": ["<U2", "ab"]}, {"s": [{"ns": ["<u8", 5]}]},
    {"nt": [0, [1, [2]]]}, {"sn": [["a", [1]], ["b", {"#": 0}]]}, {"mp": [["a", 1]]}, {"N": ["math", "nan"]},
    {"N": ["collections.abc", "Iterable"]}, {"N": ["types", "NoneType"]}, {"n": ["ZoneInfo", "UTC"]},
    {"n": ["zoned", ["2020-01-01T00:00:00", 0, "UTC"]]}, {"n": ["timezone", [0, 3600, 0]]},
    {"n": ["struct_time", [1970, 1, 1, 0, 0, 0, 3, 1, 0]]},
    {"s": [2**61 + n for n in range(1001)]}, {"s": [{"o": 8}]},
    {"g": [None, [], [[0, [5, 6]], [1, {"d": [["a", 2]]}], [2, {"s": [3]}], [7, {"na": ["<f8", [2], [3.0, 4.0]]}]]]},
    {"g": [1, [[8, "Node", {"val": 2, "next": None}]], [[3, {"B": "y"}], [4, {"dq": [[2], None]}], [5, {"C": []}]]]},
]
# fmt: on
# fmt: off
REPLIES: list[dict[str, Any]] = [
    {"r": None}, {"r": [1], "co": True, "lost": True}, {"x": [["ValueError", "Exception"], "no", 3], "r": {"t": [{"t": ["no"]}] * 2}},
    {
        "x": [["OSError", "Exception"], "no", 3], "quiet": True, "context": "cause",
        "r": {"t": [{"t": [2, "no"]}, {"t": [{"t": ["code", 1]}]}, {"t": [{"t": ["errno", 2]}]}, {"t": []}]},
    },
    {"x": [["Odd", "ValueError", "Exception"], "no", 0], "r": [[], {}], "cause": {"x": [["KeyError"], "k", 1], "r": [[], {}]}},
    {"cb": 0, "args": [[1], {"d": []}]}, {"x": [["queue:Empty"], "", 0], "again": 0}, {"r": 1, "out": "a", "err": "b"},
    {"r": 1, "warn": [[["UserWarning"], "old"]], "log": [["shop", 20, "sold"]]}, {"k": "value", "r": 1},
]
# fmt: on
# fmt: off
SCALARS: list[Any] = [
    0, 1, -1, 2, 255, 2**31, 2**62, 2**64, -(2**64), 10**30, 0.0, -0.0, 1e308, float("nan"), float("inf"), True, False, None
]
# fmt: on
WORDS = [
    "",
    "a",
    "0x",
    "0x1",
    "1e999999",
    "-Infinity",
    "NaN",
    "__class__",
    "__import__",
    "eval",
    "globals",
    "license",
    "builtins",
    "math",
    "operator",
    "attrgetter",
    "type",
    "Decimal",
    "Fraction",
    "Node",
    "next",
    "val",
    "total",
    "mine",
    "yours",
    "class",
    "generator",
    "iter call",
    "int",
    "list",
    "<f8",
    "",
    "O8",
    "<U999999",
    "=i4",
    "<M8",
    "�",
    "\x00",
    "2020-13-01",
    "24:00:00",
    "queue:Empty",
    "os:error",
    "SystemExit",
    "ExceptionGroup",
    "UnicodeDecodeError",
    "TestTimedOut",
    "CandidateLost",
]
TAGS = [*decode._CONTAINERS, *decode._READERS, "g", "l", "?"]


class Node:
    """A helper class of the tests."""

    def __init__(self, val: Any = 0, next: Any = None) -> None:
        self.val, self.next = val, next

    def total(self) -> Any:
        """A method that no attribute may shadow."""
        return self.val


class Secret:
    """What no answer equals."""

    def __init__(self) -> None:
        self.number = secrets.randbits(64)


class Fuzzer:
    """One judge's end of a channel after another, and the frames that come to it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.letters: collections.Counter[str] = collections.Counter()
        self.faults: list[str] = []
        self.slowest_s = self.most_used_s = 0.0

    def channel(self) -> CandidateChannel:
        """A channel that has passed one thing of each kind to the other side."""
        control, _ = socket.socketpair()
        channel = CandidateChannel(control, direct=True, live=True, used_as_classes=["C"])
        channel.generation = 1
        channel.classes["Node"] = Node
        channel.functions.append(lambda *args, **kwargs: args)
        kinds = [[1, 2], {"a": 1}, {1, 2}, bytearray(b"x"), collections.deque([1]), collections.Counter("ab")]
        for thing in (
            *kinds,
            collections.OrderedDict(a=1),
            numpy.array([1.0, 2.0]),
            Node(1),
            Node(2),
            Pair(1, 2),
        ):
            channel.encode(thing)
        return channel

    def run(self, frames: int) -> None:
        """Answer so many tests."""
        for count in range(frames):
            # What was accepted stays in the shared heap, so a fresh channel now and then.
            if count % 20 == 0:
                channel = self.channel()
            self.letters[self.answer(channel, self.frame())] += 1

    def answer(self, channel: CandidateChannel, frame: bytes) -> str:
        """The letter of a test that waits for this frame, behind which the stream ends."""
        secret = Secret()
        channel.sock, theirs = socket.socketpair()
        channel.broken = False

        def test(item: Any) -> dict[str, str]:
            return {} if channel.value(channel.answer()) == secret.number else {"expected": "?"}

        record = GradingRecord(Spec("calls", total=1, timeout_s=SLOW_S, budget_s=60.0))
        began, used = time.perf_counter(), time.process_time()
        try:
            theirs.sendall(struct.pack(">I", len(frame)) + frame)
            theirs.shutdown(socket.SHUT_WR)
            letter = record.attempt(channel, test, {})[0]
        except BaseException as error:
            letter = "!"
            self.faults.append(f"{type(error).__name__}: {error} of {frame[:300]!r}")
        finally:
            channel.sock.close()
            theirs.close()
        took, used = time.perf_counter() - began, time.process_time() - used
        self.slowest_s, self.most_used_s = max(self.slowest_s, took), max(self.most_used_s, used)
        if used > SLOW_S + 0.5 or took > HUNG_S or letter == "p":
            self.faults.append(f"{letter} after {took:.1f} s, {used:.1f} of them at work, of {frame[:300]!r}")
        return letter

    def frame(self) -> bytes:
        """A reply with a mutated value, a mutated reply, or mutated bytes."""
        kind = self.random.random()
        reply = copy.deepcopy(self.random.choice(REPLIES))
        if kind < 0.7:
            reply = {"r": self.mutated(copy.deepcopy(self.random.choice(VALUES)))}
        elif kind < 0.95:
            for name in ("r", "args"):
                if name in reply and self.random.random() < 0.3:
                    reply[name] = copy.deepcopy(self.random.choice(VALUES))
            reply = self.mutated(reply)
        data = bytearray(json.dumps(reply).encode())
        if kind >= 0.95:
            for _ in range(self.random.randint(1, 4)):
                data[self.random.randrange(len(data))] = self.random.randrange(256)
        return bytes(data)

    def mutated(self, message: Any) -> Any:
        """`message` with one to three places changed."""
        for _ in range(self.random.choice((1, 1, 1, 2, 3))):
            places = list(_places(message))
            place = self.random.choice(places)
            old = _at(message, place)
            message = _put(message, place, self.replacement(old, message, places))
        return message

    def replacement(self, old: Any, message: Any, places: list[tuple[Any, ...]]) -> Any:
        """Something else in the place of `old`."""
        choose = self.random.choice
        kind = self.random.random()
        if kind < 0.2:
            return choose(SCALARS)
        if kind < 0.4:
            return choose(WORDS)
        if kind < 0.6:
            return copy.deepcopy(choose(VALUES))
        if kind < 0.75:
            return {choose(TAGS): copy.deepcopy(old)}
        if kind < 0.85:
            return copy.deepcopy(_at(message, choose(places)))
        if isinstance(old, list):
            return choose(([], [*old, choose(SCALARS)], old[1:], [copy.deepcopy(old)], old * 2))
        if isinstance(old, dict):
            return choose(({}, {**old, choose(TAGS): 1}, [copy.deepcopy(old)]))
        return [copy.deepcopy(old)]


def _places(message: Any, place: tuple[Any, ...] = ()) -> Any:
    yield place
    items = (
        enumerate(message)
        if isinstance(message, list)
        else message.items()
        if isinstance(message, dict)
        else ()
    )
    for key, item in items:
        yield from _places(item, (*place, key))


def _at(message: Any, place: tuple[Any, ...]) -> Any:
    for key in place:
        message = message[key]
    return message


def _put(message: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    _at(message, place[:-1])[place[-1]] = value
    return message


def reached_lines(fuzzer: Fuzzer, frames: int) -> tuple[int, int, list[int]]:
    """(reached, all, missed) lines of the decoder's functions."""
    reached: set[int] = set()
    file = decode.__file__

    def trace(frame: Any, event: str, _: Any) -> Any:
        if frame.f_code.co_filename != file:
            return None
        reached.add(frame.f_lineno)
        return trace

    sys.settrace(trace)
    try:
        fuzzer.run(frames)
    finally:
        sys.settrace(None)
    wanted: set[int] = set()
    waiting = [compile(Path(file).read_text(), file, "exec")]
    while waiting:
        code = waiting.pop()
        inner = [const for const in code.co_consts if hasattr(const, "co_code")]
        waiting += inner
        if code.co_name not in ("<module>", "Decoder"):
            wanted |= {line for _, _, line in code.co_lines() if line and line != code.co_firstlineno}
    return len(wanted & reached), len(wanted), sorted(wanted - reached)


def main() -> None:
    """Run, print, and say by the exit status whether all was well."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--traced", type=int, default=20_000)
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    sys.setrecursionlimit(5000)
    find_library("numpy")
    # The frames make the judge print and warn.
    printed, sys.stdout, sys.stderr = sys.stdout, io.StringIO(), io.StringIO()
    fuzzer = Fuzzer(options.seed)
    reached, lines, missed = reached_lines(fuzzer, options.traced)
    began = time.perf_counter()
    fuzzer.run(options.frames - options.traced)
    took = time.perf_counter() - began
    result = {
        "frames": options.frames, "letters": dict(fuzzer.letters), "faults": len(fuzzer.faults),
        "slowest_s": round(fuzzer.slowest_s, 3), "most_used_s": round(fuzzer.most_used_s, 3), "frames_per_s": round((options.frames - options.traced) / max(took, 1e-9)),
        "decoder_lines": lines, "reached": reached, "missed": missed,
    }  # fmt: skip
    print(json.dumps(result), file=printed)
    for fault in fuzzer.faults[:20]:
        print(fault, file=printed)
    sys.exit(bool(fuzzer.faults))


if __name__ == "__main__":
    main()
