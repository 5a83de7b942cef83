"""Verdicts of verification and their cache, so that a second run verifies only what changed."""

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Literal

from pydantic import TypeAdapter, ValidationError

from verl_coder.data.shown_tests import shown_tests
from verl_coder.files import make_folder, writing
from verl_coder.grading.bundle import grader_digest
from verl_coder.grading.report import OF_ITS_MOMENT
from verl_coder.problems import Problem

VERIFIER_VERSION = 3
"""Raise it when verification asks other questions than before: older verdicts then no longer count.

Within a version a clean pass is trusted whichever grader found it, so raise it, too, where a grader passes less.
"""

Status = Literal["passed", "failed", "error", "timeout", "no_code", "flaky", "no_reference", "bad_tests"]
_OF_ITS_MOMENT = frozenset({*OF_ITS_MOMENT, "flaky"})
"""A busy machine may have caused these: another run verifies such a problem again."""
_OF_ITS_MACHINE = ("ModuleNotFoundError", "ImportError", "MemoryError")
"""Words of a verdict that another machine, or this one with a package more, may not have given."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What verification found out about one problem; only `passed` keeps it."""

    key: str
    status: Status
    message: str = ""
    passed: int = 0
    total: int = 0
    seconds: float = 0.0
    trivial: str = ""
    """The trivial solution that passes all tests; empty if none does."""
    false_examples: tuple[str, ...] = ()
    """Visible tests that the reference fails, although it passes the hidden ones."""
    machine: str = ""
    """Ray node that found it out; empty without Ray."""
    grader: str = ""
    """Digest of the grader, as the cache keeps it: a fault that it had may be mended in another."""

    @property
    def lasts(self) -> bool:
        """Whether the same problem gets the same verdict at another time, on another machine and by today's grader.

        A clean pass is trusted from any grader of the same VERIFIER_VERSION.
        """
        if self.status == "passed" and not self.trivial and not self.false_examples:
            return True
        if self.grader != grader_digest():
            return False
        return self.status not in _OF_ITS_MOMENT and not any(word in self.message for word in _OF_ITS_MACHINE)


def verdict_key(problem: Problem) -> str:
    """Hash of everything that the verdict depends on: tests with their limits, reference, entry point.

    Visible tests are a part where there is something to find out about them, with what stands before them.
    """
    parts = [VERIFIER_VERSION, problem.tests.to_json(), problem.reference_solution, problem.entry_point]
    if shown := shown_tests(problem):
        parts += [shown, problem.tool_prelude]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


_LINES = TypeAdapter(Verdict)


class VerdictCache:
    """A file of JSON lines, one verdict each, flushed as it grows: an interrupted run loses none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.hits = 0
        self._verdicts = _read(path)
        self._stream: IO[str] | None = None

    def __enter__(self) -> "VerdictCache":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stream is not None:
            with suppress(OSError):  # a full disk, of which `put` has spoken
                self._stream.close()

    def get(self, key: str) -> Verdict | None:
        """The verdict of an earlier run."""
        verdict = self._verdicts.get(key)
        self.hits += verdict is not None
        return verdict

    def put(self, verdict: Verdict) -> None:
        """Remember it, on disk too."""
        self._verdicts[verdict.key] = verdict
        with writing(self.path):
            if self._stream is None:
                self._stream = _open_for_append(self.path)
            line = asdict(verdict) | {"grader": grader_digest()}
            self._stream.write(json.dumps(line, ensure_ascii=False) + "\n")
            self._stream.flush()


def _read(path: Path) -> dict[str, Verdict]:
    verdicts: dict[str, Verdict] = {}
    if path.exists():
        with path.open("rb") as stream:  # whose lines end with \n alone
            for line in stream:
                try:
                    verdict = _LINES.validate_json(line, strict=True)
                except ValidationError:
                    continue  # the line that a killed run was writing, or a damaged one
                verdicts[verdict.key] = verdict
    return {key: replace(verdict, grader="") for key, verdict in verdicts.items() if verdict.lasts}


def _open_for_append(path: Path) -> IO[str]:
    make_folder(path.parent)
    cut_off = False
    if path.exists() and path.stat().st_size:
        with path.open("rb") as stream:
            stream.seek(-1, os.SEEK_END)
            cut_off = stream.read(1) != b"\n"
    appended = path.open("a", encoding="utf-8")
    if cut_off:
        appended.write("\n")
    return appended
