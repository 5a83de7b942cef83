"""The judge's channel to the candidate: calls, answers, what is passed along, exceptions."""

import _thread
import contextlib
import socket
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from verl_coder.grading.programs.copies import Copies
from verl_coder.grading.programs.decode import Decoder
from verl_coder.grading.programs.encode import Encoder
from verl_coder.grading.programs.faces import Caller, Faces, allowed_changes
from verl_coder.grading.programs.failures import (
    ASKING,
    TEST_FILES,
    CandidateLost,
    Refused,
    TimeLimit,
    Unsplittable,
)
from verl_coder.grading.programs.frames import WireError, receive_frame, send_frame
from verl_coder.grading.programs.guards import guarded_array
from verl_coder.grading.programs.heap import Heap
from verl_coder.grading.programs.lent import (
    LentTuples,
    described,
    has_attribute,
    input_functions,
    is_same,
    may_be_lent,
    use,
)
from verl_coder.grading.programs.libraries import public_part, shared_library
from verl_coder.grading.programs.own_data import OwnData, own_data
from verl_coder.grading.programs.proxies import (
    Remote,
    RemoteClass,
    RemoteObject,
    handle_of,
    proxy_of,
)

AWAITED = "the solution answers with a coroutine, and the tests await none"


class CandidateChannel(Caller):
    """One worker at a time: `start` gets a fresh one, `ask` sends a message and returns the answer."""

    def __init__(
        self, control: socket.socket, *, direct: bool, live: bool, used_as_classes: Sequence[str]
    ) -> None:
        self.direct = direct
        self.control = control
        self.sock: socket.socket | None = None
        self.functions: list[Any] = input_functions()
        self.tuples = LentTuples()
        self.copies = Copies()
        self.raised = self.copies.raised
        self.proxies: dict[tuple[int, int, bool], RemoteObject] = {}
        self._payloads: dict[int, list[Any]] = {}
        self._class_proxies: dict[tuple[int, int, bool], RemoteClass] = {}
        self.generation = 0
        self.broken = False
        self.live = live
        self.heap: Heap | None = Heap(track=True) if live else None
        self._fresh = live
        self._lost = False
        self.classes: dict[str, type] = {}
        self.unsplittable = 0
        self.knows_stop_iteration = False
        self.wants_coroutines = False
        self.used_as_classes = frozenset(used_as_classes)
        self.decoding = False
        self.muted = False
        self.refusal = ""
        self._lock = _thread.RLock()
        self.faces = Faces(self.refused)
        self._allowed = "anything"

    def part_with_all(self) -> None:
        """What has been passed around is passed on as a copy from now on."""
        self.heap, self._fresh, self._lost = Heap(track=True) if self.live else None, self.live, False

    def encode(self, value: Any) -> Any:
        """A value of the tests as a message."""
        encoder = Encoder(self.classes, self._export, heap=self.heap, own=self._own, any_name=True)
        return encoder.encode(value)

    def _own(self, value: Any, encode: Any) -> Any:
        handle = handle_of(value)
        return self.tuples.written(value, encode) if handle is None else {"h": handle}

    def decode(self, message: Any, *, alone: bool = False, may_change: str = "anything") -> Any:
        """The value of a message of the solution's, `alone`: as a copy; Refused for anything malformed.

        `may_change`: what of that which both sides hold (faces.py).
        """
        self.decoding = True
        try:
            return Decoder(
                self.classes,
                self._resolve,
                resolve_tuple=self.tuples.made,
                resolve_own=lambda plain, handle: own_data(plain, self._object(handle)),
                has_hash=lambda value: isinstance(value, (OwnData, RemoteObject)),
                array=guarded_array,
                heap=None if alone else self.heap,
                may_change=may_change,
            ).decode(message)
        except WireError as error:
            self.broken = True
            raise self.refused(f"the answer is not plain data: {error}") from None
        finally:
            self.decoding = False

    def refused(self, words: str) -> Refused:
        """What to raise; the test has not passed, whatever it makes of that."""
        self.refusal = words
        return Refused(words)

    @contextlib.contextmanager
    def silent(self) -> Iterator[None]:
        """Ask the solution nothing in the block: stand-ins describe themselves."""
        self.muted = True
        try:
            yield
        finally:
            self.muted = False

    def read_tests(self, text: str) -> None:
        """What the source of the tests tells about how they use the solution."""
        self.knows_stop_iteration = "StopIteration" in text
        self.copies.knows_system_exit = "SystemExit" in text
        for library in ("numpy", "random"):
            if f"{'np.' * (library == 'numpy')}random.seed" in text:
                self._share_seed(library)
        self.wants_coroutines = "asyncio" in text or "await " in text

    def _share_seed(self, library: str) -> None:
        """Where the tests seed their generator, seed the solution's, too."""
        module: Any = __import__("random") if library == "random" else __import__("numpy").random
        seed = module.seed

        def seed_both(*args: Any, **kwargs: Any) -> None:
            seed(*args, **kwargs)
            with contextlib.suppress(CandidateLost):
                self.value(self.ask({"op": "seed", "of": 0}, args=(library, *args, *kwargs.values())))

        module.seed = seed_both

    def start(self, load_timeout_s: float) -> None:
        """Take a fresh worker and wait until it has loaded the solution; raises what loading raised."""
        if self.sock is not None:
            self.sock.close()
            try:
                send_frame(self.control, {"op": "worker"})
            except OSError:
                raise CandidateLost from None
        self.generation += 1
        self.faces.forget()
        self.broken = True
        self.part_with_all()
        with TimeLimit(load_timeout_s):
            self.sock = self.control if self.direct else take_socket(self.control)
            self._unwrap(self._receive())
        self.broken = False

    def ask(self, message: dict[str, Any], **values: Any) -> dict[str, Any]:
        """The answer to a message with `values`; CandidateLost, or the exception that the solution raised."""
        with self._lock:
            self.faces.note(message["op"])
            before, self._allowed = self._allowed, allowed_changes(message["op"])
            try:
                return self._ask(message, values)
            finally:
                self._allowed = before

    def _ask(self, message: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
        if self._lost or (self.heap is not None and self.heap.is_full):
            self.part_with_all()
        dropped = {"drop": self.heap.drop(self.heap.dead())} if self.heap is not None else {}
        encoded = {name: self.encode(value) for name, value in values.items()}
        try:
            self.post({**message, **encoded, **dropped, "own": True, "live": self.live, "fresh": self._fresh})
            self._fresh = False
            return self.answer()
        except (StopIteration, StopAsyncIteration) as error:
            # It would silently end a `map` or `all` of the tests, so it must be one that they know of.
            if message["op"] == "next" or self.knows_stop_iteration:
                raise
            failure: Any = RuntimeError("the solution raised StopIteration")
            failure.remote = getattr(error, "remote", "StopIteration")
            raise failure from None

    def post(self, message: dict[str, Any]) -> None:
        """Send without waiting."""
        if self.sock is None or self.broken:
            raise CandidateLost
        try:
            TimeLimit.note_exchange()
            send_frame(self.sock, message)
        except OSError:
            self.broken = True
            raise CandidateLost from None

    def answer(self) -> dict[str, Any]:
        """The next answer; the solution may call back functions of the tests meanwhile."""
        finished = False
        try:
            reply = self._receive()
            while "cb" in reply:
                assert self.sock is not None
                TimeLimit.note_exchange()
                send_frame(self.sock, self._call_back(reply))
                reply = self._receive()
            finished = True
        finally:
            # An answer cut short leaves the stream in the middle of a frame.
            self.broken = self.broken or not finished
        self._lost = bool(reply.get("lost"))
        reply["allowed"] = self._allowed
        self.copies.replay(reply)
        return self._unwrap(reply)

    def call(self, of: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *, make: bool = False) -> Any:
        """Call what `of` names.

        `make`: a class is called, so the result is the object itself even where it is derived from a builtin.
        """
        message = {"op": "call", "of": of, "make": make}
        reply = self.ask(message, args=(args, tuple(kwargs.items())))
        result = self.value(reply, made=make)
        if not reply.get("co"):
            return result
        if not self.wants_coroutines:
            raise self.refused(AWAITED)
        return _finished(result)

    def thrown(self, error: Any, *value: Any) -> tuple[Any, ...]:
        """What the tests throw into a generator; `contextlib` would let it swallow what failed in the test."""
        if sys._getframe(2).f_code.co_filename not in TEST_FILES:
            raise self.refused("a generator of the solution is told what failed in the tests")
        if isinstance(error, AssertionError) or hasattr(error, "remote"):
            raise self.refused(f"a {type(error).__name__} is thrown into a generator of the solution")
        return self.copies.thrown(error, *value)

    def value(self, reply: dict[str, Any], *, made: bool = False) -> Any:
        """The value of an answer; where the tests made it, they may use it as their own."""
        value = self.decode(reply["r"], may_change=reply.get("allowed", "anything"))
        if not made or not isinstance(value, RemoteObject):
            return value
        return self._object(self._payloads[value._judge_number], made=True)

    def describe(self, name: str) -> tuple[bool, Any]:
        """(found, value or proxy) for a global name of the solution."""
        reply = self.ask({"op": "describe", "name": name})
        kind = reply["k"]
        if kind == "value":
            value = self.decode(reply["r"])
            if isinstance(value, RemoteClass):
                # The name that the tests use counts: what the class calls itself is the solution's choice.
                value = self.class_of(value._judge_number, value._judge_name, asked=name)
            if isinstance(value, Remote):
                object.__setattr__(value, "_judge_global", name)
            return True, value
        if kind == "exception":
            return True, self.copies.described(reply["bases"], self.decode(reply["r"]))
        if kind == "library":
            return True, public_part(shared_library(reply["module"]), str(reply["name"]))
        if kind == "module" and reply["name"] != "sys":
            return True, shared_library(reply["name"])
        return False, None

    def rebind(self, proxy: Any) -> None:
        """Let what the tests imported by its name stand for the same name of a fresh worker."""
        found, fresh = self.describe(proxy._judge_global)
        if not found or type(fresh) is not type(proxy):
            raise CandidateLost
        for slot in ("_judge_generation", "_judge_number", "_judge_kind"):
            object.__setattr__(proxy, slot, getattr(fresh, slot))

    def _receive(self) -> dict[str, Any]:
        assert self.sock is not None
        try:
            reply = receive_frame(self.sock)
        except (EOFError, OSError):
            self.broken = True
            raise CandidateLost from None
        if type(reply) is not dict:
            raise WireError("not a message")
        return reply

    def _unwrap(self, reply: dict[str, Any]) -> dict[str, Any]:
        if "x" in reply:
            raise self.copies.error(reply, self.decode)
        return reply

    def _call_back(self, reply: dict[str, Any]) -> dict[str, Any]:
        """Run a function of the tests on plain data; never anything but what was passed as an argument."""
        try:
            value = self.functions[max(int(reply["cb"]), 0)]
            args, kwargs = self.decode(reply["args"], may_change=self._allowed)
            if reply.get("what") == "attribute":
                self._refuse_attribute(value, *args)
                return {"r": self.encode(None)}
            return {"r": self.encode(use(value, args, dict(kwargs)))}
        except Exception as error:
            if isinstance(error, AssertionError):
                self.refusal = "an assertion failed in a function that the tests passed"
            names, told, number = self.copies.note(error)
            return {"x": [names, str(error)[:500], number], "r": self.encode(told)}

    def _refuse_attribute(self, value: Any, name: Any) -> None:
        """The solution wants an attribute of what was lent: where that has it, the two cannot be told apart."""
        if has_attribute(value, name):
            self.unsplittable += 1
            kind = type(value).__name__
            self.refusal = (
                f"the attribute {name!r} of a {kind} of the tests cannot be reached by the solution"
            )

    def _export(self, value: Any, in_key: bool = False) -> Any:
        if may_be_lent(value):
            for number, known in enumerate(self.functions):
                if is_same(known, value):
                    return ["mine", number, *described(value)]
            self.functions.append(value)
            return ["mine", len(self.functions) - 1, *described(value)]
        self.unsplittable += 1
        self.refusal = f"a {type(value).__name__} of the tests cannot be passed to the solution"
        raise Unsplittable(self.refusal)

    def _resolve(self, payload: Any) -> Any:
        if type(payload) is list and len(payload) == 2 and payload[0] == "yours" and type(payload[1]) is int:
            return self.functions[max(payload[1], 0)]
        return self._object(payload)

    def class_of(self, number: int, name: str, *, asked: str = "") -> RemoteClass:
        """The stand-in of a class, always the same one but for whether the tests `asked` for it by a class's name."""
        made = asked in self.used_as_classes
        key = (self.generation, number, made)
        if key not in self._class_proxies:
            self._class_proxies[key] = RemoteClass(self, number, name, made=made)
        return self._class_proxies[key]

    def _object(self, payload: Any, made: bool = False) -> Any:
        """The proxy of an object: always the same one, but for whether the tests made it."""
        if type(payload) is not list or len(payload) != 7 or type(payload[1]) is not int:
            raise WireError("malformed handle")
        number = payload[1]
        if payload[4] == "class":
            return self.class_of(number, str(payload[2])[:200])
        key = (self.generation, number, made)
        if key not in self.proxies:
            self.proxies[key] = proxy_of(self, payload, made=made)
            self._payloads[number] = payload
        proxy = self.proxies[key]
        if payload[6] is not None:
            object.__setattr__(proxy, "_judge_hash", payload[6])
        return proxy


ASKING.update(
    function.__code__ for function in (CandidateChannel.ask, CandidateChannel.post, CandidateChannel.answer)
)


def take_socket(control: socket.socket) -> socket.socket:
    """A socket handed over by the harness."""
    try:
        _, numbers, _, _ = socket.recv_fds(control, 1, 1)
        return socket.socket(fileno=numbers[0])
    except (OSError, IndexError):
        raise CandidateLost from None


async def _finished(value: Any) -> Any:
    """The solution's coroutine, which has run to its end where it lives."""
    return value
