"""A debugger over the program's channel, built on bdb: state as JSON, one reply per command."""

import bdb
import linecache
import os
import signal
import sys
from collections.abc import Mapping
from types import FrameType
from typing import Any, NoReturn

from verl_coder.sandbox.guest import program
from verl_coder.sandbox.guest.breakpoints import NoPlace, line_of_function, line_with_code, moved_lines
from verl_coder.sandbox.guest.channel import Channel, describe_exception, short
from verl_coder.sandbox.guest.debugger_view import (
    NOWHERE,
    Named,
    at_return,
    bounded_repr,
    describe_frames,
    frames_above,
    frames_of,
    names_of,
)
from verl_coder.sandbox.guest.note import Note

_VALUE_CHARS = 2000
_RESUMING = ("continue", "step", "next", "return", "until")
_OVER = ("not_started", "exited", "exception")
_KEPT = ("load", "break", "clear")
"""Commands that change what the next process must know."""


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
        self._return_value: list[Any] = []
        self._raised: tuple[FrameType, BaseException] | None = None
        self._told_raise: FrameType | None = None
        self._running = False
        self._free = False
        self._shows_values = True

    def _forget_stop(self) -> None:
        """What belongs to one stop: its error, and the value that is about to be returned."""
        self._error, self._return_value = None, []

    def _write(self, code: str) -> None:
        with open(self._file, "w", encoding="utf-8", errors="surrogatepass") as file:
            file.write(code)
        lines = [line + "\n" for line in code.split("\n")]
        linecache.cache[self._file] = (len(code), None, lines, self._file)

    # ---- the loop

    def serve(self, command: dict[str, Any] | None, note: Note) -> NoReturn:
        """Answer commands, beginning with `command` where there is one; `note` is for the process after this one."""
        self._note = note
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
            self._note.leave(closed=True)
        return command

    def _hand_over(self, command: dict[str, Any]) -> NoReturn:
        """End here; the next process begins with the command."""
        self._note.leave(**self._known(), command=command)

    def _known(self) -> dict[str, Any]:
        points = [(point.line, point.cond) for point in self._points()]
        return {"code": self._code, "points": points}

    def _points(self) -> list[bdb.Breakpoint]:
        return [point for point in bdb.Breakpoint.bpbynumber if point is not None]

    def take_over(self, known: Mapping[str, Any]) -> None:
        """In the process that forks the next one: the program, not started, and its breakpoints."""
        self._code, self._event = known["code"], "not_started"
        self._write(self._code)
        self.clear_all_breaks()
        bdb.Breakpoint.clearBreakpoints()
        for line, condition in known["points"]:
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

    def dispatch_exception(self, frame: FrameType, arg: Any) -> Any:
        """Remember what was raised in a frame whose end is told."""
        if frame is self.returnframe or self.stop_here(frame):
            error = arg[1] if isinstance(arg[1], BaseException) else arg[0](arg[1])
            self._raised = (frame, error)
        return super().dispatch_exception(frame, arg)

    def user_line(self, frame: FrameType) -> None:
        """A line is about to run, and it is a place to stop."""
        self._told_raise = None
        if self._event not in ("interrupted",):
            self._event = "breakpoint" if self.get_breaks(self._file, frame.f_lineno) else "line"
        self._stop(frame)

    def user_return(self, frame: FrameType, return_value: object) -> None:
        """A function returns while stepping, or an exception leaves it."""
        leaving = return_value is None and not at_return(frame)
        raised, self._raised = self._raised, None
        if leaving and self._told_raise is frame:
            return  # its caller, where it comes next, says so
        self._event = "leaving" if leaving else "return"
        if not leaving:
            self._return_value = [return_value]
        elif raised is not None and raised[0] is frame:
            self._error = describe_exception(raised[1], self._file)
        self._stop(frame)

    def user_exception(self, frame: FrameType, info: Any) -> None:
        """An exception comes up while stepping, caught or not; or a generator ends that was stepped in."""
        if not self._is_ours(frame):
            return
        self._event = "line"
        if self._raised is not None and self._raised[0] is frame:
            self._event, self._told_raise = "raised", frame
            self._error = describe_exception(self._raised[1], self._file)
        self._stop(frame)

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
            selected = self._frames[self._selected][0]
            if name in _RESUMING and not (name == "until" and 0 < (command["line"] or 0) < selected.f_lineno):
                self._resume(command, selected)
                return
            self._answer(command)

    def _resume(self, command: dict[str, Any], frame: FrameType) -> None:
        """`frame` is the selected one, which may not have been traced yet."""
        name = command["command"]
        self._forget_stop()
        self._trace(frame)
        if name in ("step", "continue"):
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
            if command["command"] in _KEPT:
                self._note.keep(**self._known())
        except (CommandError, NoPlace) as error:
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
        if name == "until" and self._event not in _OVER:
            raise CommandError(f"line {command['line']} is above the one where the program stands")
        if name in _RESUMING:
            raise CommandError(f"the program is not running ({self._event}): use 'run' to start it again")
        raise CommandError(f"unknown command {name!r}")

    def _load(self, code: str) -> dict[str, Any]:
        """Take another program; breakpoints move with their lines, those of lines that are gone are dropped."""
        lines = moved_lines(self._code, code)
        points = self._points()
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
        condition = command.get("condition") or None
        if condition:
            try:
                compile(condition, "<condition>", "eval")
            except (SyntaxError, ValueError) as error:
                raise CommandError(f"condition {condition!r}: {getattr(error, 'msg', error)}") from error
        asked = self._asked_line(command)
        if asked is None:
            raise CommandError("give a line or a function")
        line = line_with_code(self._code, asked)
        if (line, condition) not in [(point.line, point.cond) for point in self._points()]:
            trouble = self.set_break(self._file, line, cond=condition)
            if trouble:
                raise CommandError(f"no breakpoint can stand at line {line}")
        moved = f"line {asked} has no code: the breakpoint stands at line {line}"
        return {"note": moved} if line != asked else {}

    def _asked_line(self, command: dict[str, Any]) -> int | None:
        line, function = command.get("line"), command.get("function")
        return line_of_function(self._code, function) if line is None and function else line

    def _clear_breakpoint(self, command: dict[str, Any]) -> dict[str, Any]:
        line = self._asked_line(command)
        if line is None:
            self.clear_all_breaks()
            return {}
        standing = self.get_file_breaks(self._file)
        for found in (line, line if line in standing else line_with_code(self._code, line)):
            if found in standing:
                self.clear_break(self._file, found)
                return {}
        raise CommandError(f"there is no breakpoint at line {line}")

    def _evaluate(self, expression: str) -> str:
        if not self._frames:
            not_yet = self._event == "not_started"
            why = "has not been started: `run` starts it" if not_yet else "is not stopped"
            raise CommandError(f"no frame: the program {why}")
        names, local_names = names_of(self._frames[self._selected][0])
        if self._return_value and self._selected == len(self._frames) - 1:
            names = {**names, "__return__": self._return_value[0]}
        value = eval(compile(expression, "<expression>", "eval"), names, local_names)
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
            innermost = self._selected == len(self._frames) - 1
            if self._return_value and self._shows_values and innermost and state["function"] != "<module>":
                state["returning"] = bounded_repr(self._return_value[0])
        return state

    def _place(self) -> dict[str, Any]:
        """What is known without looking at a value."""
        return {
            "event": self._event,
            "return_code": self._exit_code if self._event in ("exited", "exception") else None,
            "breakpoints": [
                {"number": point.number, "line": point.line, "condition": point.cond, "hits": point.hits}
                for point in self._points()
            ],
            **NOWHERE,
        }
