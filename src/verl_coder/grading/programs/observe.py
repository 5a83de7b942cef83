"""What a solution does beside returning, while the tests watch: prints, warnings, log records."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from verl_coder.sandbox.guest.program import nameless_file

_MAX_TEXT = 100_000
_MAX_RECORDS = 1000


@contextlib.contextmanager
def observed(reply: dict[str, Any], watched: Sequence[str]) -> Iterator[None]:
    """Put what happens in the block into `reply`: `out` and `err`, and `warn` and `log` where they are `watched`."""
    by_descriptor = "capfd" in watched
    out, err = (_Written(1), _Written(2)) if by_descriptor else (io.StringIO(), io.StringIO())
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = out, err
    try:
        with contextlib.ExitStack() as stack:
            if "warnings" in watched:
                reply["warn"] = stack.enter_context(_warnings())
            if "logging" in watched:
                reply["log"] = stack.enter_context(_log_records())
            yield
    finally:
        sys.stdout, sys.stderr = before
        for name, stream in (("out", out), ("err", err)):
            with contextlib.suppress(ValueError):
                if text := stream.getvalue()[:_MAX_TEXT]:
                    reply[name] = text
            if isinstance(stream, _Written):
                stream.give_back()


class _Written(io.TextIOWrapper):
    """A standard stream with all that is written to its descriptor, by `os.write` or another program, too."""

    def __init__(self, number: int) -> None:
        self._number, self._before = number, os.dup(number)
        memory = nameless_file("written")
        os.dup2(memory, number)
        os.close(memory)
        raw: Any = open(number, "wb", buffering=0, closefd=False)  # noqa: SIM115 - the stream's own
        super().__init__(raw, encoding="utf-8", errors="surrogateescape", newline="\n", write_through=True)

    def getvalue(self) -> str:
        """What has been written so far."""
        with contextlib.suppress(OSError):
            return os.pread(self._number, 4 * _MAX_TEXT, 0).decode("utf-8", "replace")
        return ""

    def give_back(self) -> None:
        """Let the descriptor be what it was."""
        os.dup2(self._before, self._number)
        os.close(self._before)


@contextlib.contextmanager
def _warnings() -> Iterator[list[Any]]:
    import warnings

    found: list[Any] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            yield found
        finally:
            for one in (caught or [])[:_MAX_RECORDS]:
                found.append([[kind.__name__ for kind in one.category.__mro__], str(one.message)])


@contextlib.contextmanager
def _log_records() -> Iterator[list[Any]]:
    import logging

    found: list[Any] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if len(found) < _MAX_RECORDS:
                found.append([record.name, record.levelno, record.getMessage()])

    root, handler = logging.getLogger(), Handler()
    level = root.level
    root.addHandler(handler)
    # Which records count is for the tests' own levels to say.
    root.setLevel(1)
    try:
        yield found
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def replay(reply: dict[str, Any], known_class: Any) -> None:
    """In the judge: let the tests see what the solution did. `known_class(names)` is a class of warnings."""
    for name, stream in (("out", sys.stdout), ("err", sys.stderr)):
        if text := reply.get(name):
            stream.write(str(text))
    for names, text in reply.get("warn") or ():
        import warnings

        warnings.warn(str(text), known_class(names), stacklevel=2)
    for name, level, text in reply.get("log") or ():
        import logging

        logger = logging.getLogger(str(name))
        if logger.isEnabledFor(int(level)):
            logger.handle(logger.makeRecord(str(name), int(level), "solution.py", 0, str(text), (), None))
