"""A debugger over the program's channel: state as JSON, one reply per command."""

import contextlib
import linecache
import os
import pdb
import signal
import sys
import threading
from collections.abc import Mapping
from types import CodeType, FrameType
from typing import Any, NoReturn

from verl_coder.sandbox.guest import program
from verl_coder.sandbox.guest.breakpoints import NoPlace, source_of
from verl_coder.sandbox.guest.channel import Channel, describe_exception, short
from verl_coder.sandbox.guest.debugger_view import NOWHERE, bounded_repr, describe_frames, names_of
from verl_coder.sandbox.guest.note import Note
from verl_coder.sandbox.guest.shown import VALUE_CHARS
from verl_coder.sandbox.guest.signals import SignalGate
from verl_coder.sandbox.guest.tracing import Tracer

_RESUMING = ("continue", "step", "next", "return", "until")
_OVER = ("not_started", "exited", "exception")
_KEPT = ("load", "break", "clear")
"""Commands that change what the next process must know."""

_STACK_ROOM = 200
"""Calls that the debugger itself may need where a program stands deep in a recursion."""
_NO_FRAME = {
    "not_started": "has not been started: `run` starts it",
    "exited": "has ended: `run` starts it again",
}


class CommandError(Exception):
    """The command cannot be done; its text is the answer."""


class Debugger(Tracer):
    """Commands work while the program is stopped, before its start and after its end."""

    def __init__(self, channel: Channel, code: str) -> None:
        super().__init__(os.getcwd())
        self._channel = channel
        self._code = code
        self._write(code)
        self._exit_code: int | None = None
        self._gate = SignalGate()
        self._gate.when_raised = self._notice_raise
        self._running = False
        self._is_fork = False
        self._shows_values = True

    def _write(self, code: str) -> None:
        """For the program's own eyes: what runs is the text, also where the program has left no room or no folder."""
        with (
            contextlib.suppress(OSError),
            open(self._file, "w", encoding="utf-8", errors="surrogatepass") as file,
        ):
            file.write(code)
        lines = [line + "\n" for line in code.removesuffix("\n").split("\n")]
        linecache.cache[self._file] = (len(code), None, lines, self._file)

    # ---- the loop

    def serve(self, command: dict[str, Any] | None, note: Note) -> NoReturn:
        """Answer commands, beginning with `command` where there is one; `note` is for the process after this one."""
        self._note = note
        self._gate.stand()
        os.register_at_fork(after_in_child=self._leave_fork_alone)
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
        return {"code": self._code, "points": self._points.known()}

    def take_over(self, known: Mapping[str, Any]) -> None:
        """In the process that forks the next one: the program, not started, and its breakpoints."""
        self._code, self._event = known["code"], "not_started"
        self._write(self._code)
        self._points.restore(known["points"])

    def program_left(self, exit_code: int) -> None:
        """The program's process ended by itself."""
        self._frames, self._error = [], None
        self._event, self._exit_code = "exited", exit_code

    def _execute(self, *, stop_first: bool) -> None:
        self._running = self._channel.busy = True
        self._event, self._exit_code = "exited", 0
        try:
            compiled = compile(source_of(self._code), self._file, "exec", dont_inherit=True)
            self._install_interrupt()
            sys.breakpointhook = pdb.set_trace = self._on_breakpoint_call
            self._begin_tracing(stop_first=stop_first)
            try:
                self._gate.open()
                status = self._wind_up(self._run_main(compiled))
            finally:
                self._gate.shut = True
                self._end_tracing()
            self._event, self._exit_code = "exited", status
        except BaseException as error:
            if self._is_fork:
                self._end_fork(error)
            self._exit_code = 1
            self._stand_after(error)
        finally:
            self._running = self._channel.busy = False

    def _run_main(self, compiled: CodeType) -> int:
        """The status to exit with; raises what the program does not catch."""
        module = program.new_main_module(self._file)
        try:
            exec(compiled, module.__dict__)
        except SystemExit as error:
            return program.exit_status(error)
        finally:
            program.flush_quietly(sys.stderr, sys.stdout)
        # Exit hooks do not find them any more.
        module.__dict__.pop("__file__", None)
        module.__dict__.pop("__cached__", None)
        return 0

    def _wind_up(self, status: int) -> int:
        """What a program does at its end: its threads, exit hooks and finalizers run, where a breakpoint may be hit."""
        if self._is_fork:
            program.finish(status)
        self._let_go()
        try:
            threading._shutdown()  # type: ignore[attr-defined]
        except KeyboardInterrupt:
            self._remark = "its threads were still running, and were left"
        return program.wind_up(status)

    def _leave_fork_alone(self) -> None:
        """In a process that the program forks: it runs as it would without a debugger."""
        self._is_fork = True
        self._pause_tracing()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def _end_fork(self, error: BaseException) -> NoReturn:
        self._gate.open()
        while error.__traceback__ is not None and not self._is_ours(error.__traceback__.tb_frame):
            error.__traceback__ = error.__traceback__.tb_next
        program.finish(program.report_exception(error))

    def _install_interrupt(self) -> None:
        signal.signal(signal.SIGINT, self._on_interrupt)

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        """The server says that time is up: stop where the program is, or end the evaluation."""
        while frame is not None and not self._is_ours(frame):
            frame = frame.f_back
        if self._running and self._channel.busy and frame is not None and not self._tries_points:
            # A loop of one instruction reaches no line, so the commands are served from here.
            self._trace(frame)
            self._event = "interrupted"
            self._stop(frame)
        elif self._channel.busy:
            raise KeyboardInterrupt

    def _on_breakpoint_call(self, *arguments: object, **keywords: object) -> None:
        """`breakpoint()`, and what pdb has for it: in a program that is stopped, a thread or a fork it does nothing."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and not self._is_ours(frame):
            frame = frame.f_back
        is_main = threading.current_thread() is threading.main_thread()
        if self._running and is_main and not self._is_fork and frame is not None:
            self._trace(frame)
            self._event = "breakpoint"
            self._stop(frame)

    def _stop(self, frame: FrameType) -> None:
        """Report, then serve commands until one resumes the program, with room for that on a stack that is full."""
        self._gate.shut = True
        self._pause_tracing()
        limit = sys.getrecursionlimit()
        sys.setrecursionlimit(limit + _STACK_ROOM)
        try:
            self._serve_stop(frame)
        finally:
            if sys.getrecursionlimit() == limit + _STACK_ROOM:
                sys.setrecursionlimit(limit)

    def _serve_stop(self, frame: FrameType) -> None:
        self._stand_at(frame)
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
        self._go_on(command["command"], frame, command.get("line"))
        self._event, self._exit_code = "exited", 0
        self._install_interrupt()
        self._running = self._channel.busy = True
        self._gate.open()

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
            note = self._points.set(
                self._code,
                line=command["line"],
                function=command["function"],
                condition=command["condition"] or None,
            )
            return {"note": note} if note else {}
        if name == "clear":
            self._points.clear(self._code, line=command["line"], function=command["function"])
            return {}
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
        dropped = self._points.move(self._code, code)
        self._code, self._event, self._shows_values = code, "not_started", True
        self._frames, self._error, self._exit_code = [], None, None
        self._write(code)
        return {"dropped_breakpoints": dropped}

    def _evaluate(self, expression: str) -> str:
        if not self._frames:
            raise CommandError(f"no frame: the program {_NO_FRAME.get(self._event, 'could not begin')}")
        names, local_names = names_of(self._frames[self._selected][0])
        if self._return_value and self._selected == len(self._frames) - 1:
            names = {**names, "__return__": self._return_value[0]}
        value = eval(compile(expression, "<expression>", "eval"), names, local_names)
        return short(repr(value), VALUE_CHARS)

    # ---- state

    def reply(self, extra: dict[str, Any] | None = None) -> None:
        """Tell the state, and what a command adds to it."""
        self._channel.busy = True
        try:
            state = self._state(values=self._shows_values)
        except KeyboardInterrupt:
            # A __repr__ of the program's does not end: no value is shown again before another program is loaded.
            self._shows_values = False
            state = self._state(values=False)
        except Exception:
            # A name of the program's is no text that one could look at.
            state = self._state(values=False)
        remark, self._remark = self._remark, ""
        told: dict[str, Any] = {"note": remark} if remark else {}
        shorter = {"state": self._place() | {"breakpoints": []}}
        self._channel.reply({"state": state, "error": self._error, **told, **(extra or {})}, shorter)

    def _state(self, *, values: bool) -> dict[str, Any]:
        state = self._place()
        if self._frames and self._event != "exited":
            state |= describe_frames(self._frames, self._selected, self._home, values=values)
            innermost = self._selected == len(self._frames) - 1
            if self._return_value and values and innermost and state["function"] != "<module>":
                state["returning"] = bounded_repr(self._return_value[0])
        return state

    def _place(self) -> dict[str, Any]:
        """What is known without looking at a value."""
        return {
            "event": self._event,
            "return_code": self._exit_code if self._event in ("exited", "exception") else None,
            "breakpoints": self._points.described(),
            **NOWHERE,
        }
