"""The candidate's side: a harness that starts workers, and the worker that loads the solution and answers calls.

At first the solution is loaded in this very process (`direct`): a fork saved. Once a test has hung or killed it,
the rest of the tests comes in a second request, where the harness never runs the solution itself: it forks a
worker, hands the judge one end of the worker's socket, and starts a fresh one whenever the judge says so.
Nothing here is trusted: whatever the solution does to this process, it can only change its own answers.
"""

import contextlib
import io
import linecache
import os
import signal
import socket
import sys
import time
import traceback
import types
from collections.abc import Callable
from typing import Any

from verl_coder.grading.programs.borrowed import BorrowedTuples, JudgeFunction, borrow_input, borrowed
from verl_coder.grading.programs.decode import Decoder
from verl_coder.grading.programs.encode import Encoder
from verl_coder.grading.programs.frames import HELLO, WireError, receive_frame, send_frame
from verl_coder.grading.programs.heap import Heap
from verl_coder.grading.programs.loading import add_header, allow_frames_below, find_entry, not_its_own
from verl_coder.grading.programs.objects import (
    Made,
    abilities,
    base_name,
    blank,
    equality,
    find_operation,
    only_adds_to_its_data,
)
from verl_coder.grading.programs.observe import observed
from verl_coder.grading.programs.program import serve_together
from verl_coder.grading.programs.raised import class_values, exception_name, fields, raised_by_tests
from verl_coder.grading.programs.wire import SHARED_MODULES, plain_data

_MAX_TEXT = 2000
_DEPTH = 5000
_UNWATCHED = contextlib.nullcontext()


def run_harness(control: socket.socket, job: dict[str, Any]) -> None:
    """Serve the judge on `control` until it hangs up. `job` holds the solution: code, prelude, entry, style."""
    control.sendall(HELLO)
    if job["direct"]:
        silence()
        if job["style"] == "program":
            serve_together(control, job)
            # Whoever waits for another program's output need not wait for this process to end.
            with contextlib.suppress(OSError):
                control.shutdown(socket.SHUT_RDWR)
        else:
            Worker(control, job).serve()
        _wait_for_the_end()
    worker = _start_worker(control, job)
    while True:
        try:
            message = receive_frame(control)
        except (EOFError, OSError):
            break
        if message["op"] == "worker":
            kill_group(worker)
            worker = _start_worker(control, job)
    kill_group(worker)
    _wait_for_the_end()


def _wait_for_the_end() -> None:
    """The sandbox ends the candidate once the judge has ended; leaving by oneself would race with that."""
    time.sleep(5)
    os._exit(0)


def _start_worker(control: socket.socket, job: dict[str, Any]) -> int:
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        try:
            control.close()
            theirs.close()
            with contextlib.suppress(OSError):
                os.setsid()
            silence()
            Worker(ours, job).serve()
        finally:
            os._exit(0)
    ours.close()
    socket.send_fds(control, [b"w"], [theirs.fileno()])
    theirs.close()
    return pid


def kill_group(pid: int) -> None:
    """End a child and its process group, and reap it."""
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(OSError):
            kill(pid, signal.SIGKILL)
    with contextlib.suppress(OSError):
        os.waitpid(pid, 0)


def silence() -> None:
    """Standard input at its end, both outputs to nowhere."""
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)


def _deeply(work: Callable[[Any], Any], value: Any) -> Any:
    """Deep values travel whatever recursion the solution is allowed."""
    limit = sys.getrecursionlimit()
    if limit >= _DEPTH:
        return work(value)
    sys.setrecursionlimit(_DEPTH)
    try:
        return work(value)
    finally:
        with contextlib.suppress(RecursionError):
            sys.setrecursionlimit(limit)


class Worker:
    """Loads the solution once and answers: describe a name, call, get and set attributes, drop nothing."""

    def __init__(self, sock: socket.socket, job: dict[str, Any]) -> None:
        self.sock = sock
        self.job = job
        self.module = types.ModuleType("solution")
        self.objects: dict[int, Any] = {}
        self.classes: dict[str, type] = {}
        self.numbers: dict[int, int] = {}
        self.functions: dict[int, JudgeFunction] = {}
        self.tuples = BorrowedTuples()
        self.exceptions_of_tests: dict[tuple[str, type], type] = {}
        self.heap: Heap | None = None
        self.lost = False
        self.with_own = False

    def serve(self) -> None:
        """Load, say how that went, then answer frame by frame until the judge hangs up."""
        names = self.module.__dict__
        names["__file__"] = os.path.abspath("solution.py")
        sys.modules["solution"] = self.module
        linecache.cache["<solution>"] = (
            1,
            None,
            list(io.StringIO(self.job["code"], newline=None)),
            "<solution>",
        )
        if limit := self.job.get("recursion_limit"):
            sys.setrecursionlimit(limit)
        allow_frames_below()
        try:
            self._load(names)
        except BaseException as error:
            self._send(self._failure(error))
            return
        if self.job.get("lends_input"):
            borrow_input(self._call_back)
        self._send({"r": None})
        while True:
            try:
                message = receive_frame(self.sock)
            except (EOFError, OSError):
                return
            if "batch" in message:
                for call in message["batch"]:
                    self._answer({"op": "call", "of": 0, "args": call})
            else:
                self._answer(message)

    def _load(self, names: dict[str, Any]) -> None:
        if self.job["prelude"]:
            exec(compile(self.job["prelude"], "<prelude>", "exec"), names)
            self.classes.update(
                {k: v for k, v in names.items() if isinstance(v, type) and v.__module__ == "solution"}
            )
        brought = add_header(self.job.get("header", ""), self.job["entries"], names)
        code = compile(self.job["code"], "<solution>", "exec", dont_inherit=True)
        exec(code, names)
        for name in self.classes:
            if isinstance(names.get(name), type):
                self.classes[name] = names[name]
        if self.job["entries"]:
            self.objects[0] = find_entry(self.job["entries"], names, not_its_own(brought, names, code))

    def _answer(self, message: dict[str, Any]) -> None:
        seen: dict[str, Any] = {}
        watching = observed(seen, self.job["watched"]) if self.job["observed"] else _UNWATCHED
        if not message.get("live"):
            self.heap = None
        elif message.get("fresh"):
            self.heap = Heap(track=True)
        elif self.heap is not None:
            self.heap.drop(message.get("drop", ()))
        with watching:
            try:
                reply = self._perform(message)
            except BaseException as error:
                reply = self._failure(error)
        if self.lost:
            reply["lost"], self.lost = True, False
        self._send({**reply, **seen})

    def _perform(self, message: dict[str, Any]) -> dict[str, Any]:
        op = message["op"]
        self.with_own = bool(message.get("own"))
        if op == "describe":
            return self._describe(message["name"])
        if op == "public":
            names = self.module.__dict__
            return {"r": list(names.get("__all__") or [name for name in names if not name.startswith("_")])}
        if op == "global":
            return self._set_global(message)
        target: Any = self.objects.get(message["of"])
        if op == "call":
            return self._call(target, message)
        if op == "get":
            return {"r": self.encode(getattr(target, message["name"]))}
        if op == "set":
            setattr(target, message["name"], self._decode(message["value"]))
            return {"r": self.encode(None)}
        args = self._decode(message["args"])
        if op == "equality":
            return {"r": equality(target, args[0])}
        if op == "throw":
            return {"r": self.encode(target.throw(self._of_the_tests(*args)))}
        operation = find_operation(op)
        result = operation(args[0], target) if message.get("swap") else operation(target, *args)
        return {"r": self.encode(_result(result, message))}

    def _set_global(self, message: dict[str, Any]) -> dict[str, Any]:
        """What the tests set or delete of the module `solution`."""
        if "value" in message:
            setattr(self.module, message["name"], self._decode(message["value"]))
        else:
            delattr(self.module, message["name"])
        return {"r": None}

    def _call(self, target: Any, message: dict[str, Any]) -> dict[str, Any]:
        args, kwargs = self._decode(message["args"])
        result = target(*args, **dict(kwargs))
        coroutine = isinstance(result, types.CoroutineType)
        if coroutine:
            import asyncio

            result = asyncio.run(result)
        reply = {"r": self.encode(_result(result, message))}
        return {**reply, "co": True} if coroutine else reply

    def encode(self, value: Any) -> Any:
        """A value as a message."""
        return _deeply(Encoder(self.classes, self._export, heap=self.heap, own=self._own).encode, value)

    def _decode(self, message: Any) -> Any:
        make = self.tuples.made
        decoder = Decoder(
            self.classes, self._resolve, resolve_tuple=make, heap=self.heap, blank=blank, any_name=True
        )
        try:
            return _deeply(decoder.decode, message)
        except WireError:
            # The judge counts what this message brought, so the two must begin anew.
            self.lost = True
            raise

    def _describe(self, name: str) -> dict[str, Any]:
        names = self.module.__dict__
        if name not in names:
            return {"k": "missing"}
        value = names[name]
        if isinstance(value, types.ModuleType):
            return {"k": "module", "name": value.__name__}
        if isinstance(value, type):
            if self.classes.get(name) is value:
                return {"k": "helper"}
            if getattr(value, "__module__", "") in SHARED_MODULES:
                return {"k": "library", "module": value.__module__, "name": value.__name__}
            if issubclass(value, BaseException):
                bases = [exception_name(base) for base in value.__mro__]
                return {"k": "exception", "bases": bases, "r": self.encode(((), class_values(value)))}
            return {"k": "value", "r": self.encode(value)}
        home, called = getattr(value, "__module__", None), getattr(value, "__name__", "")
        if callable(value) and home in SHARED_MODULES and getattr(sys.modules[home], called, None) is value:
            return {"k": "library", "module": home, "name": called}
        return {"k": "value", "r": self.encode(value)}

    def _keep(self, value: Any) -> int:
        number = self.numbers.setdefault(id(value), len(self.objects) + 1)
        self.objects[number] = value
        return number

    def _export(self, value: Any, in_key: bool = False) -> Any:
        if isinstance(value, JudgeFunction):
            return ["yours", value.number]
        base = ""
        if isinstance(value, Made):
            value, base = value.value, base_name(value.value)
        kind = type(value)
        name = value.__name__ if isinstance(value, type) else kind.__name__
        hashed = hash(value) if in_key else None
        return ["mine", self._keep(value), name, self._keep(kind), abilities(value), base, hashed]

    def _own(self, value: Any, encode: Callable[[Any], Any]) -> Any:
        """Plain data with a handle behind it, where the tests may ask for more than the data."""
        if (lent := self.tuples.written(value, encode)) is not None:
            return lent
        if self.with_own and type(value).__module__ == "pathlib":
            return {"p": [{"n": ["PosixPath", str(value)]}, self._export(value)]}
        if not self.with_own or not base_name(value) or not only_adds_to_its_data(value):
            return None
        return {"p": [encode(plain_data(value)), self._export(value)]}

    def _resolve(self, payload: Any) -> Any:
        whose, number, *about = payload
        if whose == "yours":
            return self.objects[number]
        if number not in self.functions:
            self.functions[number] = borrowed(self._call_back, number, *about)
        return self.functions[number]

    def _call_back(self, number: int, args: Any, kwargs: dict[str, Any], what: str = "call") -> Any:
        """Use something of the tests'."""
        encoded = self.encode((args, tuple(kwargs.items())))
        send_frame(self.sock, {"cb": number, "args": encoded, "what": what})
        reply = receive_frame(self.sock)
        while "op" in reply:
            # The function of the tests uses the solution itself.
            self._answer(reply)
            reply = receive_frame(self.sock)
        if "x" in reply:
            names, _, number = reply["x"]
            raise self._of_the_tests(names, self._decode(reply["r"]), number)
        return self._decode(reply["r"])

    def _of_the_tests(self, names: list[str], told: tuple[Any, ...], number: int) -> BaseException:
        """An exception of the tests, which comes back to them as itself."""
        error = raised_by_tests(names, told, self.module.__dict__, self.exceptions_of_tests)
        error.of_the_tests = number  # type: ignore[attr-defined]
        return error

    def _failure(self, error: BaseException, deep: int = 3) -> dict[str, Any]:
        try:
            text = str(error)[:_MAX_TEXT]
        except BaseException:
            text = ""
        trace = traceback.walk_tb(error.__traceback__)
        line = [0, *(n for frame, n in trace if frame.f_code.co_filename == "<solution>")][-1]
        if hasattr(error, "of_the_tests"):
            return {"x": [["Exception"], text, line], "again": error.of_the_tests}
        failure: dict[str, Any] = {"x": [[exception_name(kind) for kind in type(error).__mro__], text, line]}
        if self.with_own:
            values = class_values(type(error))
            try:
                failure["r"] = self.encode((error.args, tuple(vars(error).items()), fields(error), values))
            except Exception:
                failure["r"] = self.encode(((), (), fields(error), values))
            failure.update(self._chain(error, deep) if deep else {})
        return failure

    def _chain(self, error: BaseException, deep: int) -> dict[str, Any]:
        """What an exception came of."""
        cause, context = error.__cause__, error.__context__
        chain: dict[str, Any] = {"quiet": error.__suppress_context__}
        if cause is not None:
            chain["cause"] = self._failure(cause, deep - 1)
        if context is not None:
            chain["context"] = "cause" if context is cause else self._failure(context, deep - 1)
        return chain

    def _send(self, message: dict[str, Any]) -> None:
        try:
            send_frame(self.sock, message)
        except (WireError, ValueError, TypeError, RecursionError) as error:
            words = f"cannot return this value: {error}"
            send_frame(self.sock, {"x": [["WireError", "Exception"], words, 0]})


def _result(result: Any, message: dict[str, Any]) -> Any:
    """What is sent: the object itself where the tests made it and may ask for more than its data."""
    kept = message.get("make") and base_name(result) and not only_adds_to_its_data(result)
    return Made(result) if kept else result
