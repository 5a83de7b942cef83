"""A program's process as `python main.py` has it: its `__main__`, its streams, its end.

Forked, not started: what the interpreter does at its start and at its end in C is done here in the same order.
"""

import atexit
import builtins
import contextlib
import gc
import io
import os
import resource
import signal
import sys
import threading
import traceback
import types
from importlib.machinery import SourceFileLoader
from typing import Any, NoReturn

_ENCODING = sys.__stdin__.encoding if sys.__stdin__ else "utf-8"
# `surrogateescape` where the locale is C or C.UTF-8, else `strict`.
_ERRORS = sys.__stdin__.errors if sys.__stdin__ else "strict"
_FLUSH_FAILED = 120
_memory_files = True
"""Until this process learns that it may have none."""


def new_main_module(path: str) -> types.ModuleType:
    """A fresh `__main__`, as the interpreter would make it for the file `path`."""
    module = types.ModuleType("__main__")
    module.__dict__.update(
        __loader__=SourceFileLoader("__main__", path),
        __annotations__={},
        __builtins__=builtins,
        __file__=path,
        __cached__=None,
    )
    sys.modules["__main__"] = module
    return module


def open_streams() -> None:
    """Standard streams as the interpreter makes them, which later follow what descriptors 0, 1 and 2 become.

    They keep for good whether they can seek and in what blocks they read, so the descriptors must be of the kind
    that programs get: a file, two pipes.
    """
    sys.stdin = sys.__stdin__ = _stream(0, "<stdin>", "r")  # type: ignore[misc]
    sys.stdout = sys.__stdout__ = _stream(1, "<stdout>", "w")  # type: ignore[misc]
    sys.stderr = sys.__stderr__ = _stream(2, "<stderr>", "w")  # type: ignore[misc]


def _stream(number: int, name: str, mode: str) -> io.TextIOWrapper:
    """As create_stdio() of Python/pylifecycle.c: `\\r\\n` of the input is left as it is."""
    buffer: Any = open(number, mode + "b", closefd=False)  # noqa: SIM115 - lives as long as the process
    buffer.raw.name = name
    stream: Any = io.TextIOWrapper(
        buffer,
        encoding=_ENCODING,
        errors="backslashreplace" if number == 2 else _ERRORS,
        newline="\n",
        line_buffering=number == 2,
    )
    stream.mode = mode
    return stream


def run_python(code: str, path: str) -> NoReturn:
    """As `python main.py` would."""
    source = code.encode("utf-8", "surrogatepass")
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    except FileExistsError:
        # One of the request's own files.
        pass
    else:
        with open(descriptor, "wb", buffering=0) as file:
            file.write(source)
    finish(run_main(source, path))


def run_main(program: bytes | types.CodeType, path: str) -> int:
    """Run source or code of `path` as `__main__`; the exit status, -SIGINT for an uncaught KeyboardInterrupt."""
    module = new_main_module(path)
    caught = None
    try:
        if isinstance(program, bytes):
            # From bytes, since only there a declared encoding counts.
            program = compile(program, path, "exec", dont_inherit=True)
        exec(program, module.__dict__)
    except BaseException as error:
        caught = error
    flush_quietly(sys.stderr, sys.stdout)
    status = 0
    if isinstance(caught, SystemExit):
        return exit_status(caught)
    if caught is not None:
        caught.__traceback__ = caught.__traceback__ and caught.__traceback__.tb_next
        status = report_exception(caught)
    # Exit hooks do not find them any more.
    module.__dict__.pop("__file__", None)
    module.__dict__.pop("__cached__", None)
    return status


def exit_status(error: SystemExit) -> int:
    """The status that the interpreter would exit with; prints a message as it would."""
    code: object = error.code
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF if -(1 << 63) <= code < 1 << 63 else 0xFF
    with contextlib.suppress(Exception):
        sys.stderr.write(str(code))
    with contextlib.suppress(Exception):
        sys.stderr.write("\n")
    return 1


def report_exception(error: BaseException) -> int:
    """Call the program's own hook, else the interpreter's, as PyErr_PrintEx() does; the exit status."""
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, error.__traceback__
    try:
        sys.excepthook(type(error), error, error.__traceback__)
    except SystemExit as second:
        return exit_status(second)
    except BaseException as second:
        second.__traceback__ = second.__traceback__ and second.__traceback__.tb_next
        second.__context__ = None
        _complain("Error in sys.excepthook:\n", second)
        _complain("\nOriginal exception was:\n", error)
    return -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1


def _complain(words: str, error: BaseException) -> None:
    try:
        sys.stderr.write(words + "".join(traceback.format_exception(error)))
    except BaseException:
        return


def finish(status: int) -> NoReturn:
    """End the process as the interpreter would."""
    # A signal handler of the program's may raise anywhere.
    with contextlib.suppress(BaseException):
        status = wind_up(status)
    if status == -signal.SIGINT:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(status)


def wind_up(status: int, *, threads: bool = True) -> int:
    """What Py_FinalizeEx() does that a program can see; the exit status, changed where a stream cannot be flushed.

    Threads, atexit functions, streams, then whatever `__main__` alone holds: finalizers print, files are written.
    The modules themselves are left, since taking them apart costs more than most programs. `threads` False: there
    are none, and more programs are to come in this process.
    """
    if threads:
        try:
            threading._shutdown()  # type: ignore[attr-defined]
        except BaseException as error:
            _complain(f"Exception ignored in: {threading!r}\n", error)
    try:
        atexit._run_exitfuncs()
    except BaseException as error:
        _complain("Exception ignored in atexit callback\n", error)
    if not _flush():
        status = _FLUSH_FAILED
    if threads and gc.isenabled():
        gc.collect()
    sys.last_type = sys.last_value = sys.last_traceback = None
    sys.stdin, sys.stdout, sys.stderr = sys.__stdin__, sys.__stdout__, sys.__stderr__  # type: ignore[assignment]
    sys.modules.pop("__main__", None)
    import_module, builtins.__import__ = builtins.__import__, _refuse_import
    gc.collect()
    builtins.__import__ = import_module
    # As the end of the stream objects would do it, without a word where it fails.
    flush_quietly(sys.stdout, sys.stderr)
    return status


def _refuse_import(*arguments: object, **keywords: object) -> NoReturn:
    raise ImportError("sys.meta_path is None, Python is likely shutting down")


def flush_quietly(*streams: Any) -> None:
    """Without a word where one cannot be flushed."""
    for stream in streams:
        with contextlib.suppress(BaseException):
            stream.flush()


def _flush() -> bool:
    """Flush both outputs, as flush_std_files() does; False where one refuses."""
    done = True
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is None or getattr(stream, "closed", False):
                continue
            stream.flush()
        except BaseException as error:
            done = False
            if stream is sys.stdout:
                _complain(f"Exception ignored in: {stream!r}\n", error.with_traceback(None))
    return done


def run_bash(code: str) -> NoReturn:
    """As `bash main.sh` would."""
    with open("main.sh", "w", encoding="utf-8", errors="surrogatepass") as file:
        file.write(code)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execve("/bin/bash", ["bash", "main.sh"], os.environ)


def run_pytest(code: str) -> NoReturn:
    """As `pytest -q test_main.py` would."""
    import pytest

    name = "test_main.py"
    with open(name, "w", encoding="utf-8", errors="surrogatepass") as file:
        file.write(code)
    sys.argv = ["pytest", name]
    try:
        status = int(pytest.main(["-p", "no:cacheprovider", name]))
    except SystemExit as error:
        status = exit_status(error)
    finish(status)


def nameless_file(name: str) -> int:
    """Descriptor of a file in no folder: in memory, or where a sandbox refuses that, on the program's file system."""
    global _memory_files
    if _memory_files:
        try:
            return os.memfd_create(name)
        except (OSError, AttributeError):
            _memory_files = False
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    # A program may have left its folder.
    for folder in (os.path.dirname(main) if main else "", "."):
        for make in (_file_without_name, _file_that_lost_its_name):
            try:
                return make(folder or ".", name)
            except (OSError, AttributeError) as error:
                failure = error
    raise failure


def _file_without_name(folder: str, name: str) -> int:
    return os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_EXCL | os.O_CLOEXEC, 0o600)


def _file_that_lost_its_name(folder: str, name: str) -> int:
    """Where a file system can make none without."""
    path = os.path.join(folder, f".{name}.{os.urandom(8).hex()}")
    number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    os.unlink(path)
    return number


def has_children() -> bool:
    """Whether this process has any: a subreaper's are also the orphans below it."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        return True
    except ChildProcessError:
        return False


def address_space_in_use() -> int:
    """Bytes of address space this process already has, which a program's limit comes on top of."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        return 512 << 20


def settle() -> None:
    """Make what is loaded by now cheap to share: no collection ever touches it."""
    gc.collect()
    gc.freeze()
