"""What `teacher repairs` has tried, on disk until its traces are written: a killed start is gone on with.

One JSON object a line: `key` is a hash of the program, the problem's tests and the limits that it ran with. The file
bridges starts and no more. What met a limit of time is tried again in each of them: its verdict is that of its moment.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from verl_coder.errors import ConfigError
from verl_coder.files import append_whole, took_lock, writing
from verl_coder.problems import Problem
from verl_coder.sandbox.types import CommandResult
from verl_coder.teacher.journal import digest
from verl_coder.teacher.trace_file import beside
from verl_coder.tools.execution import InterpreterSettings, ProgramRun

JOURNAL_VERSION = 3
"""Raise it when attempts are run or judged by other rules than before: older lines then no longer count."""


def journal_path(out: Path) -> Path:
    """The journal beside the traces `out`."""
    return beside(out, ".attempts.jsonl")


def attempt_key(code: str, program: str, problem: Problem, settings: InterpreterSettings) -> str:
    """Hash of all that an attempt comes to depends on, but the sandbox."""
    limits = settings.model_dump(mode="json", exclude={"sandbox_url", "num_workers", "calls_per_s"})
    return digest([JOURNAL_VERSION, code, program, problem.tests.to_json(), problem.tool_prelude, limits])


class AttemptJournal:
    """An open journal, of one process."""

    def __init__(self, path: Path) -> None:
        """Open or make it. ConfigError where another process has it, FileWriteError where it cannot be written."""
        self._path = path
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab", buffering=0)
        if took_lock(self._file) is False:
            self._file.close()
            raise ConfigError(f"another `teacher repairs` is at work on {path}: wait for it")
        self._lines: dict[str, dict[str, Any]] = {}
        text = path.read_bytes()
        for line in text.split(b"\n"):
            with suppress(ValueError, KeyError, TypeError):  # torn by a kill
                value = json.loads(line)
                if _read(value)[0].result.status != "TimeLimitExceeded":
                    self._lines[str(value["key"])] = value
        self._begins = b"\n" if text and not text.endswith(b"\n") else b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def find(self, key: str) -> tuple[ProgramRun, bool] | None:
        """(run, whether the hidden tests passed) of an attempt that an earlier start has made."""
        line = self._lines.get(key)
        return _read(line) if line else None

    def add(self, key: str, run: ProgramRun, *, passes: bool) -> None:
        """Write an attempt; a kill after this does not lose it."""
        line = {"key": key, "result": asdict(run.result), "text": run.text, "passes": passes}
        with writing(self._path):
            append_whole(self._file, self._begins + json.dumps(line).encode() + b"\n", sync=False)
        self._begins = b""

    def remove(self) -> None:
        """Take the file away: what it was for is done."""
        with writing(self._path):
            self._path.unlink(missing_ok=True)


def _read(line: Mapping[str, Any]) -> tuple[ProgramRun, bool]:
    return ProgramRun(CommandResult.from_dict(line["result"]), str(line["text"])), line["passes"] is True
