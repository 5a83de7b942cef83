"""The judge's view of the candidate: a channel with deadlines, and proxies for what stays on the other side."""

import builtins
import contextlib
import signal
import socket
import sys
from collections.abc import Iterator
from typing import Any

from verl_coder.grading.programs.wire import SHARED_MODULES, Codec, WireError, receive_frame, send_frame

_SAFE_CALLBACK_TYPES = (type(lambda: 0), type(len))


class TestTimedOut(BaseException):
    """The test's time is up; raised by the alarm, past any `except Exception` of a test."""

    __test__ = False


class CandidateLost(BaseException):
    """The solution's process ended before it answered."""


class RemoteError(Exception):
    """An exception of the solution whose type the judge does not know."""


class Unsplittable(Exception):
    """The test needs something of the solution in the judge, or of the judge in the solution."""


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TestTimedOut in the block after `seconds` of wall time."""

    def on_alarm(signum: int, frame: Any) -> None:
        raise TestTimedOut

    signal.signal(signal.SIGALRM, on_alarm)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


class Candidate:
    """One worker at a time: `start` gets a fresh one, `ask` sends a message and returns the answer."""

    def __init__(self, control: socket.socket, classes: dict[str, type], *, direct: bool) -> None:
        self.direct = direct
        self.control = control
        self.sock: socket.socket | None = None
        self.functions: list[Any] = []
        self.exceptions: dict[str, type] = {}
        self.generation = 0
        self.broken = False
        self.write_back = False
        self.unsplittable = 0
        self.codec = Codec(classes, self._export, self._resolve)

    def start(self, load_timeout_s: float) -> None:
        """Take a fresh worker and wait until it has loaded the solution; raises what loading raised."""
        if self.generation:
            self.close()
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

    def close(self) -> None:
        """Hang up."""
        if self.sock is not None:
            self.sock.close()
            self.sock = None

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        """The answer to one message; CandidateLost, or the exception that the solution raised."""
        self.post(message)
        return self.answer()

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

    def call(self, of: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call what `of` names and bring changes of mutable arguments back, where the tests could see them."""
        encode = self.codec.encode
        reply = self.ask(
            {
                "op": "call",
                "of": of,
                "args": encode(list(args)),
                "kwargs": encode(kwargs),
                "back": self.write_back,
            }
        )
        if "a" in reply:
            changed_args, changed_kwargs = self.codec.decode(reply["a"])
            for old, new in zip(args, changed_args, strict=True):
                _overwrite(old, new)
            for name, old in kwargs.items():
                _overwrite(old, changed_kwargs[name])
        return self.codec.decode(reply["r"])

    def describe(self, name: str, module: str = "solution") -> tuple[bool, Any]:
        """(found, value or proxy) for a global name of the solution."""
        reply = self.ask({"op": "describe", "name": name})
        kind = reply["k"]
        if kind == "value":
            return True, self.codec.decode(reply["r"])
        if kind in ("class", "exception"):
            if kind == "exception":
                return True, self._exception_class(reply["bases"], reply["id"])
            return True, RemoteClass(self, reply["id"], name)
        if kind == "library":
            return True, getattr(_library(reply["module"]), str(reply["name"]))
        if kind == "module":
            return True, _library(reply["name"])
        return False, None

    def _exception_class(self, bases: list[str], number: int) -> type:
        base = _builtin_exception(bases) or Exception
        kind = type(str(bases[0]), (base,), {"_number": number})
        self.exceptions[str(bases[0])] = kind
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
        kind: Any = self.exceptions.get(names[0]) or _builtin_exception(names) or RemoteError
        error = kind.__new__(kind)
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
        if isinstance(value, Remote):
            if value._generation != self.generation:
                raise CandidateLost
            return ["yours", value._number]
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
        return RemoteObject(self, number, str(payload[2]))


def take_socket(control: socket.socket) -> socket.socket:
    """A socket handed over by the harness."""
    try:
        data, numbers, _, _ = socket.recv_fds(control, 1, 1)
    except OSError:
        data, numbers = b"", []
    if not data or not numbers:
        raise CandidateLost
    try:
        return socket.socket(fileno=numbers[0])
    except OSError:
        raise CandidateLost from None


def _builtin_exception(names: list[Any]) -> type[Exception] | None:
    for name in names:
        kind = getattr(builtins, name, None) if isinstance(name, str) else None
        if isinstance(kind, type) and issubclass(kind, Exception):
            return kind
    return None


def _library(name: Any) -> Any:
    """A module of the standard library, the judge's own copy; only one in which nothing can be abused."""
    if name not in SHARED_MODULES:
        raise Unsplittable(f"the tests use the module {name!r} of the solution")
    __import__(name)
    return sys.modules[name]


def _overwrite(old: Any, new: Any) -> None:
    kind = type(old)
    if kind is not type(new):
        return
    if kind in (list, bytearray):
        old[:] = new
    elif kind in (dict, set) or kind.__name__ in ("OrderedDict", "Counter", "defaultdict", "deque"):
        old.clear()
        getattr(old, "extend" if kind.__name__ == "deque" else "update")(new)
    elif kind.__module__ not in ("builtins", __name__) and hasattr(old, "__dict__"):
        old.__dict__.update(new.__dict__)


class Remote:
    """Something of the solution: every use of it is a message, and what comes back is plain data."""

    _candidate: Candidate
    _number: Any

    def __init__(self, candidate: Candidate, number: Any, name: str) -> None:
        self.__dict__.update(
            _candidate=candidate, _number=number, _name=name, _generation=candidate.generation
        )

    def _do(self, operation: str, *args: Any) -> Any:
        candidate = self._alive()
        message = {"op": operation, "of": self._number, "args": candidate.codec.encode(list(args))}
        return candidate.codec.decode(candidate.ask(message)["r"])

    def _alive(self) -> Candidate:
        if self._generation != self._candidate.generation:
            raise CandidateLost
        return self._candidate

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._alive().call(self._number, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_pytest") or name in ("__test__", "__wrapped__", "__path__"):
            raise AttributeError(name)
        candidate = self._alive()
        return candidate.codec.decode(candidate.ask({"op": "get", "of": self._number, "name": name})["r"])

    def __setattr__(self, name: str, value: Any) -> None:
        candidate = self._alive()
        encoded = candidate.codec.encode(value)
        candidate.ask({"op": "set", "of": self._number, "name": name, "value": encoded})


_BUILTIN_METHODS = frozenset(
    name
    for kind in (str, bytes, list, tuple, dict, set, int, float)
    for name in dir(kind)
    if not name.startswith("_")
)


class RemoteObject(Remote):
    """An instance of a class of the solution (or an iterator, a closure). It equals no plain value, ever.

    An operation with an argument would show the candidate what the test compares with and let it answer
    "yes". So operators, `in` and methods named like those of the builtin types work only on objects that
    the tests made themselves by calling a class of the solution (`_made`), where they are what is tested.
    """

    __hash__ = None  # type: ignore[assignment]
    _made = False

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, Remote) and bool(self._do("eq", other))

    def __ne__(self, other: Any) -> bool:
        return not self == other

    def __getattr__(self, name: str) -> Any:
        if name in _BUILTIN_METHODS and not self._made:
            raise AttributeError(f"{self._name!r} object returned by the solution has no usable {name!r}")
        return super().__getattr__(name)

    def __repr__(self) -> str:
        return str(self._do("repr"))

    def __str__(self) -> str:
        return str(self._do("str"))

    def __iter__(self) -> Iterator[Any]:
        iterator = self._do("iter")
        while True:
            try:
                yield iterator._do("next")
            except StopIteration:
                return

    def _operate(self, operation: str, *args: Any) -> Any:
        if not self._made and not all(isinstance(other, Remote) for other in args):
            raise TypeError(
                f"{operation} is not supported on the {self._name!r} object that the solution returned"
            )
        result = self._do(operation, *args)
        if isinstance(result, RemoteObject):
            result.__dict__["_made"] = self._made
        return result


_BINARY = ("lt", "le", "gt", "ge", "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or")
_OPERATORS = (*_BINARY, "xor", "matmul", "setitem", "delitem", "contains")
_UNARY = ("len", "next", "int", "float", "bool", "round", "getitem", "neg", "abs")


def _forward(operation: str, method: str) -> Any:
    return lambda self, *args: getattr(self, method)(operation, *args)


for _name in _OPERATORS:
    _operation = f"{_name}_" if _name in ("and", "or") else _name
    setattr(RemoteObject, f"__{_name}__", _forward(_operation, "_operate"))
for _name in _UNARY:
    setattr(RemoteObject, f"__{_name}__", _forward(_name, "_do"))


class RemoteClass(Remote):
    """A class of the solution."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        made = super().__call__(*args, **kwargs)
        if isinstance(made, RemoteObject):
            made.__dict__["_made"] = True
        return made

    def __instancecheck__(self, value: Any) -> bool:
        return isinstance(value, Remote) and bool(value._do("isinstance", self))

    def __mro_entries__(self, bases: Any) -> Any:
        self._candidate.unsplittable += 1
        raise Unsplittable(f"the tests derive a class from {self._name} of the solution")

    @property
    def __name__(self) -> str:
        return str(self._name)


class RemoteFunction(Remote):
    """The entry point."""
