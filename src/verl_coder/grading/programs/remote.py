"""The judge's channel to the candidate: calls, answers, what is passed along, exceptions."""

import contextlib
import socket
import sys
from typing import Any

from verl_coder.grading.programs.failures import CandidateLost, RemoteError, Unsplittable, time_limit
from verl_coder.grading.programs.frames import WireError, receive_frame, send_frame
from verl_coder.grading.programs.proxies import Caller, OwnData, RemoteClass, handle_of, own_data, proxy_of
from verl_coder.grading.programs.wire import SHARED_MODULES, Codec, builtin_exception

_SAFE_CALLBACK_TYPES = (type(lambda: 0), type(len))


class CandidateChannel(Caller):
    """One worker at a time: `start` gets a fresh one, `ask` sends a message and returns the answer."""

    def __init__(self, control: socket.socket, *, direct: bool, write_back: bool) -> None:
        self.direct = direct
        self.control = control
        self.sock: socket.socket | None = None
        self.functions: list[Any] = []
        self.exceptions: dict[str, type] = {}
        self.proxies: dict[tuple[int, int, bool], Any] = {}
        self.generation = 0
        self.broken = False
        self.write_back = write_back
        self.classes: dict[str, type] = {}
        self.unsplittable = 0
        self.knows_stop_iteration = False
        self.wants_coroutines = False
        self.codec = Codec(
            self.classes,
            self._export,
            self._resolve,
            own=lambda value: {"h": handle_of(value)} if isinstance(value, OwnData) else None,
            resolve_own=lambda plain, handle: own_data(plain, self._object(handle)),
            sends_any=True,
        )

    def read_tests(self, text: str) -> None:
        """What the source of the tests tells about how they use the solution."""
        self.knows_stop_iteration = "StopIteration" in text
        self.wants_coroutines = "asyncio" in text or "await " in text

    def start(self, load_timeout_s: float) -> None:
        """Take a fresh worker and wait until it has loaded the solution; raises what loading raised."""
        if self.sock is not None:
            self.sock.close()
            try:
                send_frame(self.control, {"op": "worker"})
            except OSError:
                raise CandidateLost from None
        self.generation += 1
        self.broken = True
        with time_limit(load_timeout_s):
            self.sock = self.control if self.direct else take_socket(self.control)
            self._unwrap(self._receive())
        self.broken = False

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """The answer to one message; CandidateLost, or the exception that the solution raised."""
        self.post({**message, "own": True})
        try:
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
                send_frame(self.sock, self._call_back(reply))
                reply = self._receive()
            finished = True
        finally:
            # An answer cut short leaves the stream in the middle of a frame.
            self.broken = self.broken or not finished
        if reply.get("out"):
            sys.stdout.write(str(reply["out"]))
        return self._unwrap(reply)

    def call(self, of: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *, make: bool = False) -> Any:
        """Call what `of` names and bring changes of mutable arguments back, where the tests could see them.

        `make`: a class is called, so the result is the object itself even where it is derived from a builtin.
        """
        encode = self.codec.encode
        message = {"op": "call", "of": of, "back": self.write_back, "make": make}
        reply = self.ask({**message, "args": encode(list(args)), "kwargs": encode(kwargs)})
        if "a" in reply:
            changed_args, changed_kwargs = self.codec.decode(reply["a"])
            for old, new in zip(args, changed_args, strict=True):
                _overwrite(old, new)
            for name, old in kwargs.items():
                _overwrite(old, changed_kwargs[name])
        result = self.result(reply, make=make)
        return _finished(result) if self.wants_coroutines and reply.get("co") else result

    def result(self, reply: dict[str, Any], *, make: bool) -> Any:
        """The value of an answer; with `make` an object of a class derived from a builtin stays an object."""
        raw = reply["r"]
        if make and type(raw) is dict and "h" in raw and raw["h"][0] == "mine":
            return self._object(raw["h"], base=str(raw["h"][4]), made=True)
        return self.codec.decode(raw)

    def describe(self, name: str) -> tuple[bool, Any]:
        """(found, value or proxy) for a global name of the solution."""
        reply = self.ask({"op": "describe", "name": name})
        kind = reply["k"]
        if kind == "value":
            return True, self.codec.decode(reply["r"])
        if kind == "exception":
            return True, self._exception_class(reply["bases"])
        if kind == "class":
            return True, RemoteClass(self, reply["id"], name)
        if kind == "library" and reply["module"] != "sys":
            return True, getattr(_library(reply["module"]), str(reply["name"]))
        if kind == "module":
            return True, _library(reply["name"])
        return False, None

    def _exception_class(self, names: list[Any]) -> type:
        """The judge's copy of an exception class, with copies of those that it is derived from."""
        kind: type = Exception
        for name in reversed([str(name) for name in names]):
            builtin = builtin_exception(name)
            if builtin is not None:
                kind = builtin
            elif name not in ("object", "BaseException"):
                kind = self.exceptions.setdefault(name, type(name, (kind,), {}))
        return kind

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
        if "x" not in reply:
            return reply
        names, text, line = reply["x"]
        text = str(text)
        known = [self.exceptions.get(name) or builtin_exception(name) for name in names]
        kind: Any = next(filter(None, known), RemoteError)
        error = kind.__new__(kind)
        with contextlib.suppress(Exception):
            for name, value in self.codec.decode(reply["vars"]).items():
                if name.isidentifier() and not name.startswith("_"):
                    error.__dict__[name] = value
            error.args = tuple(self.codec.decode(reply["args"]))
        shown = None
        with contextlib.suppress(Exception):
            shown = str(error)
        if shown != text:
            error.args = (text,)
        error.remote = f"{names[0]}: {text}" + (f" (line {int(line)})" if line else "")
        raise error

    def _call_back(self, reply: dict[str, Any]) -> dict[str, Any]:
        """Run a function of the tests on plain data; never anything but what was passed as an argument."""
        try:
            function = self.functions[int(reply["cb"])]
            args, kwargs = self.codec.decode(reply["args"]), self.codec.decode(reply["kwargs"])
            return {"r": self.codec.encode(function(*args, **kwargs))}
        except Exception as error:
            return {"x": [type(error).__name__, str(error)[:500]]}

    def _export(self, value: Any) -> Any:
        if handle := handle_of(value):
            return handle
        if isinstance(value, _SAFE_CALLBACK_TYPES):
            for number, function in enumerate(self.functions):
                if function is value:
                    return ["mine", number]
            self.functions.append(value)
            return ["mine", len(self.functions) - 1]
        self.unsplittable += 1
        raise Unsplittable(f"a {type(value).__name__} of the tests cannot be passed to the solution")

    def _resolve(self, payload: Any) -> Any:
        whose, number = payload[0], int(payload[1])
        if whose == "yours":
            return self.functions[number]
        return self._object(payload)

    def _object(self, payload: Any, base: str = "", made: bool = False) -> Any:
        """The proxy of an object: always the same one, as `is` wants it, but for whether the tests made it."""
        number = int(payload[1])
        key = (self.generation, number, made)
        if key not in self.proxies:
            self.proxies[key] = proxy_of(self, number, str(payload[2]), base, made=made)
        return self.proxies[key]


def take_socket(control: socket.socket) -> socket.socket:
    """A socket handed over by the harness."""
    try:
        _, numbers, _, _ = socket.recv_fds(control, 1, 1)
        return socket.socket(fileno=numbers[0])
    except (OSError, IndexError):
        raise CandidateLost from None


def _library(name: Any) -> Any:
    """A module of the standard library, the judge's own copy; only one in which nothing can be abused."""
    if name not in SHARED_MODULES:
        raise Unsplittable(f"the tests use the module {name!r} of the solution")
    __import__(name)
    return sys.modules[name]


async def _finished(value: Any) -> Any:
    """The solution's coroutine, which has run to its end where it lives."""
    return value


def _overwrite(old: Any, new: Any) -> None:
    kind = type(old)
    if kind is not type(new):
        return
    if kind in (list, bytearray):
        old[:] = new
    elif kind.__module__ == "numpy" and kind.__name__ == "ndarray":
        old[...] = new
    elif kind in (dict, set) or kind.__name__ in ("OrderedDict", "Counter", "defaultdict", "deque"):
        old.clear()
        getattr(old, "extend" if kind.__name__ == "deque" else "update")(new)
    elif kind.__module__ not in ("builtins", "numpy", OwnData.__module__) and hasattr(old, "__dict__"):
        old.__dict__.update(new.__dict__)
