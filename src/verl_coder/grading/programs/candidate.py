"""The candidate's side: a harness that starts workers, and the worker that loads the solution and answers calls.

At first the solution is loaded in this very process (`direct`): a fork saved. Once a test has hung or killed it,
the rest of the tests comes in a second request, where the harness never runs the solution itself: it forks a
worker, hands the judge one end of the worker's socket, and starts a fresh one whenever the judge says so.
Nothing here is trusted: whatever the solution does to this process, it can only change its own answers.
"""

import contextlib
import io
import os
import signal
import socket
import sys
import time
import traceback
import types
from typing import Any

from verl_coder.grading.programs.frames import HELLO, WireError, receive_frame, send_frame
from verl_coder.grading.programs.objects import base_name, find_operation, only_adds_to_its_data
from verl_coder.grading.programs.program import serve_together
from verl_coder.grading.programs.wire import SHARED_MODULES, Codec, builtin_exception, plain_data

_MAX_TEXT = 2000


def run_harness(control: socket.socket, job: dict[str, Any]) -> None:
    """Serve the judge on `control` until it hangs up. `job` holds the solution: code, prelude, entry, style."""
    control.sendall(HELLO)
    if job["direct"]:
        silence()
        if job["style"] == "program":
            serve_together(control, job)
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


class Worker:
    """Loads the solution once and answers: describe a name, call, get and set attributes, drop nothing."""

    def __init__(self, sock: socket.socket, job: dict[str, Any]) -> None:
        self.sock = sock
        self.job = job
        self.module = types.ModuleType("solution")
        self.objects: dict[int, Any] = {}
        self.classes: dict[str, type] = {}
        self.numbers: dict[int, int] = {}
        self.with_own = False
        self.codec = Codec(self.classes, self._export, self._resolve, own=self._encode_own, takes_any=True)
        self.entry: Any = None

    def serve(self) -> None:
        """Load, say how that went, then answer frame by frame until the judge hangs up."""
        names = self.module.__dict__
        sys.modules["solution"] = self.module
        try:
            self._load(names)
        except BaseException as error:
            self._send(self._failure(error))
            return
        self._send({"r": None})
        while True:
            try:
                message = receive_frame(self.sock)
            except (EOFError, OSError):
                return
            if "batch" in message:
                for args, kwargs in message["batch"]:
                    self._answer({"op": "call", "of": 0, "args": args, "kwargs": kwargs})
            else:
                self._answer(message)

    def _load(self, names: dict[str, Any]) -> None:
        if self.job["prelude"]:
            exec(compile(self.job["prelude"], "<prelude>", "exec"), names)
            self.classes.update(
                {k: v for k, v in names.items() if isinstance(v, type) and v.__module__ == "solution"}
            )
        code = self.job["code"]
        exec(compile(code, "<solution>", "exec", dont_inherit=True), names)
        for name in self.classes:
            if isinstance(names.get(name), type):
                self.classes[name] = names[name]
        if self.job["entry"]:
            self.entry = eval(self.job["entry"], names)

    def _answer(self, message: dict[str, Any]) -> None:
        printed = io.StringIO() if self.job["style"] == "module" else None
        try:
            if printed is not None:
                sys.stdout = printed
            reply = self._perform(message)
        except BaseException as error:
            reply = self._failure(error)
        if printed is not None:
            sys.stdout = sys.__stdout__
            if printed.tell():
                reply["out"] = printed.getvalue()[:100_000]
        self._send(reply)

    def _perform(self, message: dict[str, Any]) -> dict[str, Any]:
        op = message["op"]
        self.with_own = bool(message.get("own"))
        if op == "describe":
            return self._describe(message["name"])
        if op == "public":
            names = self.module.__dict__
            return {"r": list(names.get("__all__") or [name for name in names if not name.startswith("_")])}
        target = self.entry if message["of"] == 0 else self.objects[message["of"]]
        if op == "call":
            args = self.codec.decode(message["args"])
            kwargs = self.codec.decode(message["kwargs"])
            result = target(*args, **kwargs)
            coroutine = isinstance(result, types.CoroutineType)
            if coroutine:
                import asyncio

                result = asyncio.run(result)
            reply = {"r": self._encode_result(result, message)}
            if coroutine:
                reply["co"] = True
            if message.get("back"):
                reply["a"] = self.codec.encode([list(args), kwargs])
            return reply
        if op == "get":
            return {"r": self.codec.encode(getattr(target, message["name"]))}
        if op == "set":
            setattr(target, message["name"], self.codec.decode(message["value"]))
            return {"r": None}
        args = self.codec.decode(message["args"])
        operation = find_operation(op)
        result = operation(args[0], target) if message.get("swap") else operation(target, *args)
        return {"r": self._encode_result(result, message)}

    def _encode_result(self, result: Any, message: dict[str, Any]) -> Any:
        if message.get("make") and base_name(result) and not only_adds_to_its_data(result):
            return {"h": self._export(result, base_name(result))}
        return self.codec.encode(result)

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
            kind = "exception" if issubclass(value, BaseException) else "class"
            bases = [base.__name__ for base in value.__mro__]
            return {"k": kind, "id": self._keep(value), "bases": bases}
        home = getattr(value, "__module__", None)
        if callable(value) and home in SHARED_MODULES:
            return {"k": "library", "module": home, "name": getattr(value, "__name__", "")}
        return {"k": "value", "r": self.codec.encode(value)}

    def _keep(self, value: Any) -> int:
        number = self.numbers.setdefault(id(value), len(self.objects) + 1)
        self.objects[number] = value
        return number

    def _export(self, value: Any, base: str = "") -> Any:
        if isinstance(value, JudgeFunction):
            return ["yours", value.number]
        return ["mine", self._keep(value), type(value).__name__, callable(value), base]

    def _encode_own(self, value: Any) -> Any:
        """Plain data with a handle behind it, where the tests may ask for more than the data."""
        if not self.with_own or not base_name(value) or not only_adds_to_its_data(value):
            return None
        return {"p": [self.codec.encode(plain_data(value)), self._export(value)]}

    def _resolve(self, payload: Any) -> Any:
        whose, number = payload[:2]
        return self.objects[number] if whose == "yours" else JudgeFunction(self, number)

    def _failure(self, error: BaseException) -> dict[str, Any]:
        try:
            text = str(error)[:_MAX_TEXT]
        except BaseException:
            text = ""
        trace = traceback.walk_tb(error.__traceback__)
        line = [0, *(n for frame, n in trace if frame.f_code.co_filename == "<solution>")][-1]
        failure: dict[str, Any] = {"x": [[kind.__name__ for kind in type(error).__mro__], text, line]}
        if self.with_own:
            for name, value in (("args", list(error.args)), ("vars", dict(vars(error)))):
                with contextlib.suppress(BaseException):
                    failure[name] = self.codec.encode(value)
        return failure

    def _send(self, message: dict[str, Any]) -> None:
        try:
            send_frame(self.sock, message)
        except (WireError, ValueError, TypeError, RecursionError) as error:
            words = f"cannot return this value: {error}"
            send_frame(self.sock, {"x": [["WireError", "Exception"], words, 0]})


class JudgeFunction:
    """A function that the tests passed as an argument: it runs in the judge, on plain data."""

    def __init__(self, worker: Worker, number: int) -> None:
        self.worker = worker
        self.number = number

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        codec = self.worker.codec
        message = {"cb": self.number, "args": codec.encode(list(args)), "kwargs": codec.encode(kwargs)}
        send_frame(self.worker.sock, message)
        reply = receive_frame(self.worker.sock)
        if "x" in reply:
            failure: Any = builtin_exception(reply["x"][0]) or RuntimeError
            raise failure(reply["x"][1])
        return codec.decode(reply["r"])
