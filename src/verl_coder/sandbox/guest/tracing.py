"""Where a debugged program stops and why, built on bdb: the callbacks of Python's trace function."""

import bdb
import inspect
import os
import sys
from abc import abstractmethod
from types import FrameType
from typing import Any

from verl_coder.sandbox.guest.breakpoints import Breakpoints
from verl_coder.sandbox.guest.channel import describe_exception
from verl_coder.sandbox.guest.debugger_view import frames_above, frames_of, how_it_leaves

_OWN_FOLDER = os.path.dirname(__file__) + "/"
"""It lies below a program's folder where the package lies below /tmp."""
_NOT_TRACED = (
    "from some point on it ran without the debugger (sys.settrace, or too deep a recursion), "
    "so that no breakpoint was hit there"
)


class Tracer(bdb.Bdb):
    """Stops only in the user's own files, those below `home`; what is known of a stop is kept here."""

    def __init__(self, home: str) -> None:
        super().__init__()
        self._home = home
        self._file = f"{home}/main.py"
        self._points = Breakpoints()
        self._frames: list[tuple[FrameType, int]] = []
        self._selected = 0
        self._event = "not_started"
        self._error: dict[str, Any] | None = None
        self._return_value: list[Any] = []
        self._raised: tuple[FrameType, BaseException] | None = None
        self._told_raise: FrameType | None = None
        self._remark = ""
        """What else is to be told of the next stop."""
        self._tries_points = False
        """A condition is being found out: an interrupt is for that, not for the program."""
        self._free = False
        """No line is a place to stop but that of a breakpoint."""

    @abstractmethod
    def _stop(self, frame: FrameType) -> None:
        """The program stands there, for the reason in `_event`, until this returns."""

    def _stand_at(self, frame: FrameType) -> None:
        self._frames = frames_above(frame, self._is_ours)
        self._selected = len(self._frames) - 1

    def _stand_after(self, error: BaseException) -> None:
        """Where an exception came from that nothing caught."""
        self._event = "exception"
        self._error = describe_exception(error, self._file)
        self._frames = frames_of(error.__traceback__, self._is_ours)
        self._selected = len(self._frames) - 1

    def _forget_stop(self) -> None:
        """What belongs to one stop: frames, which would keep alive what they hold, an error, a value to be returned."""
        self._frames, self._error, self._return_value = [], None, []

    def _let_go(self) -> None:
        """Hold no frame of a program that is at its end, nor what they hold; only breakpoints stop it from now on."""
        self._forget_stop()
        self._raised = self._told_raise = None
        self._set_stopinfo(None, None)  # type: ignore[attr-defined]
        self._free = True

    def _begin_tracing(self, *, stop_first: bool) -> None:
        self.reset()
        sys.settrace(self.trace_dispatch)
        self._free = not stop_first
        self.set_step()

    def _go_on(self, command: str, frame: FrameType, line: int | None) -> None:
        """Do what a resuming command asks; `frame` is the selected one, which may not have been traced yet."""
        self._forget_stop()
        self._trace(frame)
        if command in ("step", "continue"):
            self.set_step()
        elif command == "next":
            self.set_next(frame)
        elif command == "return":
            self.set_return(frame)
        elif command == "until":
            self.set_until(frame, line)
        # Unlike set_continue, keeps tracing without breakpoints, so that an interrupt can stop it.
        self._free = command == "continue"

    def _trace(self, frame: FrameType | None) -> None:
        """Have the lines of running functions told, which were not as long as no breakpoint stood in them."""
        while frame is not None:
            if self._is_ours(frame):
                frame.f_trace = self.trace_dispatch
            frame = frame.f_back
        sys.settrace(self.trace_dispatch)

    def trace_dispatch(self, frame: FrameType, event: str, arg: Any) -> Any:
        """Python's trace function; what is raised in here (no room on the stack, a signal) is the program's."""
        try:
            return self.dispatch_line(frame) if event == "line" else super().trace_dispatch(frame, event, arg)
        except BaseException:
            self._notice_raise()
            raise

    def _notice_raise(self) -> None:
        """Python switches tracing off where it happens in a trace function; the next call or return brings it back."""
        if sys.getprofile() is None:
            sys.setprofile(self._trace_again)

    def _trace_again(self, frame: FrameType, event: str, arg: Any) -> None:
        try:
            self._trace(frame)
        except RecursionError:  # the next return leaves more room
            return
        sys.setprofile(None)

    def _end_tracing(self) -> None:
        if self._trace_again != sys.getprofile() and self.trace_dispatch != sys.gettrace():
            self._remark = _NOT_TRACED
        self._pause_tracing()

    def _pause_tracing(self) -> None:
        """What runs from now on is not the program but what is asked about it."""
        if sys.getprofile() == self._trace_again:
            sys.setprofile(None)
        sys.settrace(None)

    def _is_ours(self, frame: FrameType) -> bool:
        file = frame.f_code.co_filename
        return file.startswith(self._home + "/") and not file.startswith(_OWN_FOLDER)

    # ---- bdb's questions

    def stop_here(self, frame: FrameType) -> bool:
        """Never stop inside libraries."""
        return not self._free and self._is_ours(frame) and super().stop_here(frame)

    def break_anywhere(self, frame: FrameType) -> bool:
        """Whether breakpoints may stand in the frame's function."""
        return bool(self._points) and frame.f_code.co_filename == self._file

    # ---- bdb's callbacks

    def dispatch_line(self, frame: FrameType) -> Any:
        """A breakpoint is tried where the program stops anyway, too: what the stop is told to be depends on it."""
        hit, trouble = self._try_points(frame) if self.break_anywhere(frame) else (False, "")
        steps = self.stop_here(frame)
        if hit or trouble or steps:
            self._told_raise, self._remark = None, trouble
            self._event = "line" if steps and not hit else "breakpoint"
            self._stop(frame)
        return self.trace_dispatch

    def _try_points(self, frame: FrameType) -> tuple[bool, str]:
        self._tries_points = True
        try:
            return self._points.hit(frame)
        finally:
            self._tries_points = False

    def dispatch_call(self, frame: FrameType, arg: Any) -> Any:
        """A generator whose end or next line is waited for is followed when it goes on."""
        if frame in (self.stopframe, self.returnframe):
            return self.trace_dispatch
        return super().dispatch_call(frame, arg)

    def dispatch_exception(self, frame: FrameType, arg: Any) -> Any:
        """Remember what was raised in a frame whose end is told; the end of a generator below it is no exception."""
        stops = self.stop_here(frame)
        if frame is not self.returnframe and not stops:
            return self.trace_dispatch
        error = arg[1] if isinstance(arg[1], BaseException) else arg[0](arg[1])
        self._raised = (frame, error)
        ended_below = _rests(frame) and arg[0] is StopIteration and arg[2] is None
        if stops and not ended_below:
            self._event, self._told_raise = "raised", frame
            self._error = describe_exception(error, self._file)
            self._stop(frame)
        return self.trace_dispatch

    def dispatch_return(self, frame: FrameType, arg: Any) -> Any:
        """Unlike bdb's, stops where a generator or coroutine ends, and where one yields that is stepped through."""
        if not _rests(frame):
            return super().dispatch_return(frame, arg)
        how = self._leaves_by(frame, arg)
        stops = frame is self.returnframe or self.stop_here(frame)
        # `next` and `until` wait for the frame to come back.
        passes = how == "wait" or (how == "yield" and self.stopframe is frame and self.stoplineno != -1)
        if stops and not passes:
            self.user_return(frame, arg)
            if self.stopframe is frame:
                self._set_stopinfo(None, None)  # type: ignore[attr-defined]
        return self.trace_dispatch

    def set_return(self, frame: FrameType) -> None:
        """Stop where the frame returns or yields: bdb waits for an exception that tells of a generator's end."""
        if _rests(frame):
            self._set_stopinfo(frame, frame, -1)  # type: ignore[attr-defined]
        else:
            super().set_return(frame)

    def _leaves_by(self, frame: FrameType, value: object) -> str:
        how = how_it_leaves(frame)
        raised = self._raised
        if value is None and how in ("yield", "wait") and raised is not None and raised[0] is frame:
            # What is thrown into a generator comes up where it rests.
            trace = raised[1].__traceback__
            return "leaving" if trace is not None and trace.tb_lasti == frame.f_lasti else how
        return how if value is None or how != "leaving" else "return"

    def user_return(self, frame: FrameType, return_value: object) -> None:
        """A function returns or yields while stepping, or an exception leaves it."""
        how = self._leaves_by(frame, return_value)
        raised, self._raised = self._raised, None
        if how == "leaving" and self._told_raise is frame:
            return  # its caller, where it comes next, says so
        self._event = how
        if how != "leaving":
            is_wrapped = how == "yield" and frame.f_code.co_flags & inspect.CO_ASYNC_GENERATOR
            self._return_value = [] if is_wrapped else [return_value]
        elif raised is not None and raised[0] is frame:
            self._error = describe_exception(raised[1], self._file)
        self._stop(frame)


def _rests(frame: FrameType) -> bool:
    """Whether it is a generator's or a coroutine's, which leaves and comes back."""
    return bool(frame.f_code.co_flags & bdb.GENERATOR_AND_COROUTINE_FLAGS)
