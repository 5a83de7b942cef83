"""A debugger over the program's channel, built on bdb: state as JSON, one reply per command."""

import bdb
import linecache
import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, NoReturn

from verl_coder.sandbox.guest import program
from verl_coder.sandbox.guest.channel import Channel, describe_exception, short
from verl_coder.sandbox.guest.debugger_view import (
    Named,
    describe_frames,
    frames_above,
    frames_of,
    line_of_function,
    moved_lines,
    names_of,
)

_VALUE_CHARS = 2000
_RESUMING = ("continue", "step", "next", "return", "until")


class CommandError(Exception):
    """The command cannot be done; its text is the answer."""


class Debugger(bdb.Bdb):
    """Stops only in the user's own files; commands work stopped, before the start and after the end."""

    def __init__(self, channel: Channel, code: str) -> None:
        super().__init__()
        self._channel = channel
        self._code = code
        self._home = os.getcwd()
        self._file = self.canonic(os.path.join(self._home, "main.py"))
        self._write(code)
        self._frames: list[tuple[FrameType, int]] = []
        self._selected = 0
        self._event = "not_started"
        self._error: dict[str, Any] | None = None
        self._exit_code: int | None = None
        self._running = False
        self._free = False
        self._shows_values = True

    def _write(self, code: str) -> None:
        with open(self._file, "w", encoding="utf-8", errors="surrogatepass") as file:
            file.write(code)
        lines = [line + "\n" for line in code.split("\n")]
        linecache.cache[self._file] = (len(code), None, lines, self._file)

    # ---- the loop

    def serve(self, command: dict[str, Any] | None, leave: Callable[..., NoReturn]) -> NoReturn:
        """Answer commands, beginning with `command` where there is one; `leave` ends this process."""
        self._leave = leave
        while True:
            command = command or self._next_command()
            name = command["command"]
            if name in ("run", "restart", *_RESUMING) and self._event == "not_started":
                self._frames, self._error, self._exit_code = [], None, None
                self._execute(stop_first=name in ("step", "next"))
                self.reply()
            elif command["command"] in ("run", "restart") or (
                command["command"] == "load" and self._event != "not_started"
            ):
                self._hand_over(command)
            else:
                self._answer(command)
            command = None

    def _next_command(self) -> dict[str, Any]:
        command = self._channel.next_command()
        if command is None:
            self._leave(closed=True)
        return command

    def _hand_over(self, command: dict[str, Any]) -> NoReturn:
        """End here; the next process begins with the command."""
        points = [(point.line, point.cond) for point in bdb.Breakpoint.bpbynumber if point is not None]
        self._leave(code=self._code, points=points, command=command)

    def take_over(self, code: str, points: Sequence[tuple[int, str | None]]) -> None:
        """In the process that forks the next one: the program, not started, and its breakpoints."""
        self._write(code)
        self._code, self._event = code, "not_started"
        self.clear_all_breaks()
        bdb.Breakpoint.clearBreakpoints()
        for line, condition in points:
            self.set_break(self._file, line, cond=condition)

    def program_left(self, exit_code: int) -> None:
        """The program's process ended by itself."""
        self._frames, self._error = [], None
        self._event, self._exit_code = "exited", exit_code

    def _execute(self, *, stop_first: bool) -> None:
        self._running = self._channel.busy = True
        module = program.new_main_module(self._file)
        self._event, self._exit_code = "exited", 0
        try:
            compiled = compile(self._code, self._file, "exec", dont_inherit=True)
            self.reset()
            self._install_interrupt()
            self.botframe = None
            sys.settrace(self.trace_dispatch)
            self._free = not stop_first
            self.set_step()
            try:
                exec(compiled, module.__dict__)
            finally:
                sys.settrace(None)
        except bdb.BdbQuit:
            pass
        except SystemExit as error:
            self._exit_code = program.exit_status(error)
        except BaseException as error:
            self._post_mortem(error)
        finally:
            self._running = self._channel.busy = False

    def _install_interrupt(self) -> None:
        signal.signal(signal.SIGINT, self._on_interrupt)

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        """The server says that time is up: stop where the program is, or end the evaluation."""
        while frame is not None and not self._is_ours(frame):
            frame = frame.f_back
        if self._running and self._channel.busy and frame is not None:
            # A loop of one instruction reaches no line, so the commands are served from here.
            self._trace(frame)
            self._event = "interrupted"
            self._stop(frame)
        elif self._channel.busy:
            raise KeyboardInterrupt

    def _trace(self, frame: FrameType | None) -> None:
        """Have the lines of running functions told, which were not as long as no breakpoint stood in them."""
        while frame is not None:
            if self._is_ours(frame):
                frame.f_trace = self.trace_dispatch
            frame = frame.f_back
        sys.settrace(self.trace_dispatch)

    def _post_mortem(self, error: BaseException) -> None:
        self._event, self._exit_code = "exception", 1
        self._error = describe_exception(error, self._file)
        self._frames = frames_of(error.__traceback__, self._is_ours)
        self._selected = len(self._frames) - 1

    # ---- bdb's callbacks

    def _is_ours(self, frame: FrameType) -> bool:
        return frame.f_code.co_filename.startswith(self._home + "/")

    def stop_here(self, frame: FrameType) -> bool:
        """Never stop inside libraries."""
        return not self._free and self._is_ours(frame) and super().stop_here(frame)

    def break_here(self, frame: FrameType) -> bool:
        """Whether a breakpoint is here; its condition sees the frame's names as an expression does."""
        named: Any = Named(frame)
        return bool(super().break_here(named))

    def user_line(self, frame: FrameType) -> None:
        """A line is about to run, and it is a place to stop."""
        if self._event not in ("interrupted",):
            self._event = "breakpoint" if self.get_breaks(self._file, frame.f_lineno) else "line"
        self._stop(frame)

    def user_return(self, frame: FrameType, return_value: object) -> None:
        """A function returns while stepping."""
        self._event = "return"
        self._stop(frame)

    def user_exception(self, frame: FrameType, info: Any) -> None:
        """Do nothing: an exception that is not caught is shown at the end of the program."""

    def do_clear(self, number: Any) -> None:
        """Remove a temporary breakpoint that was hit."""
        self.clear_bpbynumber(number)

    def _stop(self, frame: FrameType) -> None:
        """Report, then serve commands until one resumes the program."""
        self._frames = frames_above(frame, self._is_ours)
        self._selected = len(self._frames) - 1
        self._running = False
        self.reply()
        while True:
            command = self._next_command()
            name = command["command"]
            if name in ("run", "restart", "load"):
                self._hand_over(command)
            if name in _RESUMING:
                self._resume(command, frame)
                return
            self._answer(command)

    def _resume(self, command: dict[str, Any], frame: FrameType) -> None:
        name = command["command"]
        if name == "step":
            self.set_step()
        elif name == "next":
            self.set_next(frame)
        elif name == "return":
            self.set_return(frame)
        elif name == "until":
            self.set_until(frame, command.get("line"))
        # Unlike set_continue, keeps tracing without breakpoints, so that an interrupt can stop it.
        self._free = name == "continue"
        self._event, self._exit_code = "exited", 0
        self._install_interrupt()
        self._running = self._channel.busy = True

    # ---- commands that do not resume

    def _answer(self, command: dict[str, Any]) -> None:
        extra: dict[str, Any] = {}
        try:
            self._channel.busy = True
            extra = self._do(command)
        except CommandError as error:
            extra = {"command_error": str(error)}
        except BaseException as error:
            extra = {"error": describe_exception(error, "<expression>")}
        self._channel.busy = False
        self.reply(extra)

    def _do(self, command: dict[str, Any]) -> dict[str, Any]:
        name = command["command"]
        if name == "break":
            return self._set_breakpoint(command)
        if name == "clear":
            return self._clear_breakpoint(command)
        if name in ("up", "down"):
            target = self._selected + (-1 if name == "up" else 1)
            if not 0 <= target < len(self._frames):
                raise CommandError(f"no frame further {name}")
            self._selected = target
            return {}
        if name == "print":
            return {"value": self._evaluate(command.get("expression") or "")}
        if name in ("locals", "stack", "state"):
            return {}
        if name == "load":
            return self._load(command.get("code") or "")
        if name in _RESUMING:
            raise CommandError(f"the program is not running ({self._event}): use 'run' to start it again")
        raise CommandError(f"unknown command {name!r}")

    def _load(self, code: str) -> dict[str, Any]:
        """Take another program; breakpoints move with their lines, those of lines that are gone are dropped."""
        lines = moved_lines(self._code, code)
        points = [point for point in bdb.Breakpoint.bpbynumber if point is not None]
        self.clear_all_breaks()
        self._code, self._event, self._shows_values = code, "not_started", True
        self._frames, self._error, self._exit_code = [], None, None
        self._write(code)
        dropped = []
        for point in points:
            line = lines.get(point.line)
            if line is None or self.set_break(self._file, line, cond=point.cond):
                dropped.append(point.line)
        return {"dropped_breakpoints": dropped}

    def _set_breakpoint(self, command: dict[str, Any]) -> dict[str, Any]:
        condition = command.get("condition")
        if condition:
            try:
                compile(condition, "<condition>", "eval")
            except (SyntaxError, ValueError) as error:
                raise CommandError(f"condition {condition!r}: {error}") from error
        line = command.get("line")
        if line is None:
            line = self._line_of(command.get("function"))
        trouble = self.set_break(self._file, line, cond=condition or None)
        if trouble:
            raise CommandError(f"no breakpoint at line {line}: {trouble}")
        return {}

    def _line_of(self, function: str | None) -> int:
        line = line_of_function(self._code, function) if function else 0
        if line is None:
            raise CommandError(f"no function {function!r} in the program")
        if not line:
            raise CommandError("give a line or a function")
        return line

    def _clear_breakpoint(self, command: dict[str, Any]) -> dict[str, Any]:
        line = command.get("line")
        if line is None and command.get("function"):
            line = self._line_of(command["function"])
        trouble = (
            self.clear_all_file_breaks(self._file) if line is None else self.clear_break(self._file, line)
        )
        if trouble and line is not None:
            raise CommandError(trouble)
        return {}

    def _evaluate(self, expression: str) -> str:
        if not self._frames:
            raise CommandError("no frame: the program is not stopped")
        frame = self._frames[self._selected][0]
        value = eval(compile(expression, "<expression>", "eval"), *names_of(frame))
        return short(repr(value), _VALUE_CHARS)

    # ---- state

    def reply(self, extra: dict[str, Any] | None = None) -> None:
        """Tell the state, and what a command adds to it."""
        self._channel.busy = True
        try:
            state = self._state()
        except KeyboardInterrupt:
            # A __repr__ of the program's does not end: no value is shown again before another program is loaded.
            self._shows_values = False
            state = self._state()
        shorter = {"state": self._place() | {"breakpoints": []}}
        self._channel.reply({"state": state, "error": self._error, **(extra or {})}, shorter)

    def _state(self) -> dict[str, Any]:
        state = self._place()
        if self._frames and self._event != "exited":
            state |= describe_frames(self._frames, self._selected, self._home, values=self._shows_values)
        return state

    def _place(self) -> dict[str, Any]:
        """What is known without looking at a value."""
        return {
            "event": self._event,
            "return_code": self._exit_code if self._event in ("exited", "exception") else None,
            "breakpoints": [
                {"number": point.number, "line": point.line, "condition": point.cond, "hits": point.hits}
                for point in bdb.Breakpoint.bpbynumber
                if point is not None
            ],
            "file": None,
            "line": None,
            "function": None,
            "source": [],
            "locals": {},
            "stack": [],
        }
