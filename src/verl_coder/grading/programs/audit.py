"""What tests do in the judge by way of processes, signals, pickles and files of code: by audit events, not by names.

Text or bytes of the solution would run there, next to what the tests expect: a child could kill the judge, which would
be taken for the machine's fault, or read its memory. An audit hook is called whatever name a function is reached by.
"""

import _posixsubprocess
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

from verl_coder.grading.programs.failures import TEST_FILES, Unsplittable

_PROCESSES = ("os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system", "pty.spawn",
              "subprocess.Popen")  # fmt: skip
_SIGNALS = ("os.kill", "os.killpg", "signal.pthread_kill")
_OF_C = frozenset("execl execle execlp execv execve execvp fork kill killpg popen posix_spawn posix_spawnp raise "  # noqa: SIM905
                  "syscall system vfork".split())  # fmt: skip
_START_PROCESSES = frozenset(
    ("asyncio", "concurrent", "multiprocessing", "os", "pty", "subprocess", "threading")
)
_IMPORT = frozenset(("<frozen importlib._bootstrap_external>", "<frozen zipimport>"))
_SYSTEM = ("/lib", "/usr/")


def _ignore(words: str) -> None:
    """Nobody to tell."""


class _Judge:
    """Whom to tell of a refusal, and where code may come from."""

    note: Callable[[str], Any] = staticmethod(_ignore)
    homes: tuple[str, ...] = ()


def tell_refusals(note: Callable[[str], Any]) -> None:
    """`note(words)` remembers a refusal, which a test may swallow by `except:`."""
    _Judge.note = staticmethod(note)


def guard_process() -> None:
    """Refuse in this process, from now on and for good, what `_CHECKS` lists; the working folder is no home of code."""
    here = os.path.realpath(os.getcwd())
    paths = (*sys.path, os.path.dirname(os.__file__))
    places = {os.path.realpath(path) for path in paths if path and os.path.realpath(path) != here}
    written = {os.path.abspath(path) for path in paths if path and os.path.realpath(path) in places}
    _Judge.homes = tuple(os.path.join(place, "") for place in places | written)
    sys.addaudithook(_look)
    # What `multiprocessing` spawns by, without an audit event.
    _posixsubprocess.fork_exec = _fork_exec


def _fork_exec(*args: Any) -> NoReturn:
    _process("fork_exec", args)


def _look(event: str, args: tuple[Any, ...]) -> None:
    check = _CHECKS.get(event)
    if check is not None:
        check(event, args)


def _process(event: str, args: tuple[Any, ...]) -> NoReturn:
    """The tests start no process; a library that asks the machine something finds no program for it."""
    frame: Any = sys._getframe(2)
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _START_PROCESSES:
        frame = frame.f_back
    if frame is not None and frame.f_code.co_filename not in TEST_FILES:
        raise FileNotFoundError("the judge starts no process")
    _refuse(f"the tests start a process ({event})")


def _signal(event: str, args: tuple[Any, ...]) -> None:
    _refuse(f"the tests send a signal ({event})")


def _pickle(event: str, args: tuple[Any, ...]) -> None:
    _refuse("the tests load a pickle, which may be the solution's")


def _opened(event: str, args: tuple[Any, ...]) -> None:
    if sys._getframe(2).f_code.co_filename in _IMPORT:
        _check_home(args[0])


def _compiled(event: str, args: tuple[Any, ...]) -> None:
    if sys._getframe(2).f_code.co_name == "source_to_code":
        _check_home(args[1])


def _imported(event: str, args: tuple[Any, ...]) -> None:
    if args[1] is not None:
        _check_home(args[1])


def _library(event: str, args: tuple[Any, ...]) -> None:
    name = str(args[0])
    if os.sep in name and not os.path.abspath(name).startswith(_SYSTEM):
        _check_home(name)


def _symbol(event: str, args: tuple[Any, ...]) -> None:
    if args[1] in _OF_C:
        _refuse(f"the tests use {args[1]} of the C library")


def _extension(event: str, args: tuple[Any, ...]) -> None:
    _refuse("the tests load an extension of SQLite, which may be the solution's")


def _check_home(path: Any) -> None:
    if not os.path.abspath(os.fsdecode(path)).startswith(_Judge.homes):
        _refuse("the tests import a file that was written while they ran")


def _refuse(words: str) -> NoReturn:
    _Judge.note(words)
    raise Unsplittable(words)


_CHECKS: dict[str, Callable[[str, tuple[Any, ...]], None]] = {
    **dict.fromkeys(_PROCESSES, _process),
    **dict.fromkeys(_SIGNALS, _signal),
    "pickle.find_class": _pickle,
    "open": _opened,
    "compile": _compiled,
    "import": _imported,
    "ctypes.dlopen": _library,
    "ctypes.dlsym": _symbol,
    "sqlite3.enable_load_extension": _extension,
}
