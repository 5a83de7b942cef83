"""The journal of a teacher: every answer on disk before it is counted, one JSON object a line.

Entries are found by what was asked, not by position: `key` is a hash of the problem's prompt, the request's settings
and the tool's, `sample` and `turn` say which answer of it this is. Failures stand there for the reader and are never
found, nor is the verdict of a time-out in a later start. `spent` lines are requests without an answer, for the budgets.
An answer makes what stood there of later turns one to another conversation, which is not found any more. A last line
that a killed process has torn is cut off, and asked again.
"""

import asyncio
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from verl_coder import json_text
from verl_coder.errors import ConfigError, TeacherError
from verl_coder.files import took_lock
from verl_coder.grading.report import OF_ITS_MOMENT
from verl_coder.teacher.replies import usage_of
from verl_coder.words import counted

_HEADS = tuple(f'{{"type":"{kind}","key":"'.encode() for kind in ("reply", "failure", "verdict", "spent"))
"""What a line begins with."""
CALL_FORMAT = 1
"""By which rules the calls of an answer were read and run; lines up to November 2026 have none.

Raise it where a call is read or run otherwise than before, and tell in `TeacherExchange.answered_so` which older
results no longer hold.
"""


class StoredVerdict(NamedTuple):
    """What the grader said of a code."""

    outcome: str
    passed: int
    total: int

    @property
    def pass_rate(self) -> float:
        """Share of the tests that passed."""
        return self.passed / self.total if self.total else 0.0


def digest(value: Any) -> str:
    """Hash of a JSON value, the same however its keys are ordered; 32 hexadecimal digits."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


class Journal:
    """An open journal file; only places and verdicts are in memory, answers are read back from the file.

    Lines that are written at the same time share one fsync. One journal belongs to one process.
    """

    def __init__(self, path: Path) -> None:
        """Open or make it. ConfigError where it cannot be opened, or another process has it."""
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise ConfigError(f"the journal {path} cannot be opened: {error.strerror}") from error
        if took_lock(self._file) is False:
            os.close(self._file)
            raise ConfigError(f"{path} is in use: another command writes this journal; give --journal")
        self._places: dict[bytes, tuple[int, int]] = {}
        self._verdicts: dict[bytes, StoredVerdict] = {}
        self.replies = self.failures = self.unreadable = self.torn = 0
        """Lines of earlier starts: answers, failures, those that are no JSON, 1 where the last one was torn."""
        self.usage = [0, 0]
        """Tokens of prompts and of answers in all lines."""
        self.requests = 0
        """Requests of all lines, those without an answer among them."""
        self._end = 0
        try:
            self._read()
        except BaseException:
            os.close(self._file)
            raise
        self._waiting: list[tuple[bytes, asyncio.Future[int]]] = []
        self._writer: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file, which gives it free."""
        os.close(self._file)

    def __len__(self) -> int:
        """Answers that can be found."""
        return len(self._places)

    def find_reply(self, key: str, sample: int, turn: int) -> dict[str, Any] | None:
        """The entry of an answer: `raw`, `result` (what the call before it was answered with), `seconds`, `format`."""
        place = self._places.get(_place_key(key, sample, turn))
        if place is None:
            return None
        found: dict[str, Any] = json_text.loads(os.pread(self._file, place[1], place[0]))
        return found

    def find_verdict(self, graded: str) -> StoredVerdict | None:
        """The verdict on a code, by the hash of code and tests."""
        return self._verdicts.get(bytes.fromhex(graded))

    async def add_reply(self, key: str, sample: int, turn: int, entry: Mapping[str, Any]) -> None:
        """Write an answer; when this returns it is on the disk. TeacherError where it cannot be."""
        line = {"type": "reply", "key": key, "sample": sample, "turn": turn, **entry, "format": CALL_FORMAT}
        text = _line(line)
        self._count(1, usage_of(entry.get("raw")))
        self._place(key, sample, turn, (await self._append(text), len(text)))

    async def add_failure(self, key: str, sample: int, turn: int, why: str, raw: Any) -> None:
        """Write an answer that must not be found again, with what is wrong with it."""
        line = {"type": "failure", "key": key, "sample": sample, "turn": turn, "why": why, "raw": raw}
        self._count(1, usage_of(raw))
        await self._append(_line(line))

    async def add_spent(self, requests: int, usage: tuple[int, int]) -> None:
        """Write that requests came to no answer, and the tokens that they took: budgets count them."""
        self._count(requests, usage)
        await self._append(_line({"type": "spent", "key": "", "requests": requests, "usage": list(usage)}))

    def _count(self, requests: int, usage: Iterable[int]) -> None:
        self.requests += requests
        self.usage = [before + count for before, count in zip(self.usage, usage, strict=True)]

    async def add_verdict(self, graded: str, verdict: StoredVerdict) -> None:
        """Write a verdict."""
        await self._append(_line({"type": "verdict", "key": graded, **verdict._asdict()}))
        self._verdicts[bytes.fromhex(graded)] = verdict

    async def _append(self, text: bytes) -> int:
        """The offset of the line, once it is on the disk."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.append((text, future))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_waiting())
        # The line is written even where the one who waits for it is cancelled.
        return await asyncio.shield(future)

    async def _write_waiting(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                await asyncio.to_thread(self._write, b"".join(text for text, _ in batch))
            except OSError as error:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(self._full(error))
                        future.exception()  # one of them tells it; the others may have nobody left who asks
                continue
            for text, future in batch:
                if not future.done():
                    future.set_result(self._end)
                self._end += len(text)

    def _write(self, text: bytes) -> None:
        """Write behind the last whole line and sync; OSError leaves the file as it was."""
        left, offset = memoryview(text), self._end
        try:
            while left:
                written = os.pwrite(self._file, left, offset)
                left, offset = left[written:], offset + written
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, self._end)
            raise

    def _full(self, error: OSError) -> TeacherError:
        return TeacherError(
            f"{self.path} cannot be written ({error.strerror}): "
            f"{counted(len(self), 'answer is', 'answers are')} safe in it; make room, and the same command goes on"
        )

    def _read(self) -> None:
        entries, torn = 0, b""
        for offset, line in _lines(self._file):
            if not line.endswith(b"\n"):
                self.torn, torn = 1, line
                break
            self._end = offset + len(line)
            try:
                self._index(json_text.loads(line), offset, len(line))
                entries += 1
            except (ValueError, KeyError, TypeError):
                self.unreadable += 1
        if not entries and (self.unreadable or not _may_begin_a_journal(torn)):
            raise ConfigError(
                f"{self.path} is another file and no journal of a teacher: it is left as it is; give --journal"
            )
        os.ftruncate(self._file, self._end)

    def _index(self, entry: Any, offset: int, length: int) -> None:
        if entry["type"] == "verdict":
            if entry["outcome"] in OF_ITS_MOMENT:
                return
            self._verdicts[bytes.fromhex(entry["key"])] = StoredVerdict(
                entry["outcome"], int(entry["passed"]), int(entry["total"])
            )
            return
        if entry["type"] == "spent":
            self._count(int(entry["requests"]), map(int, entry["usage"]))
            return
        if entry["type"] not in ("reply", "failure"):
            raise ValueError(f"an entry of type {entry['type']}")
        self._count(1, usage_of(entry["raw"]))
        if entry["type"] == "reply":
            self.replies += 1
            self._place(entry["key"], entry["sample"], entry["turn"], (offset, length))
        else:
            self.failures += 1

    def _place(self, key: str, sample: int, turn: int, place: tuple[int, int]) -> None:
        """Note where an answer stands; those of later turns that were there before follow another one."""
        self._places[_place_key(key, sample, turn)] = place
        while self._places.pop(_place_key(key, sample, turn + 1), None):
            turn += 1


def _may_begin_a_journal(torn: bytes) -> bool:
    """Whether a first line without an end is what a killed process leaves of an entry; nothing at all is, too."""
    return any(torn[: len(head)] == head[: len(torn)] for head in _HEADS)


def _place_key(key: str, sample: int, turn: int) -> bytes:
    return bytes.fromhex(key) + int(sample).to_bytes(4, "big") + int(turn).to_bytes(2, "big")


def _line(entry: Mapping[str, Any]) -> bytes:
    return json_text.dumps(entry, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


def _lines(file: int) -> Iterator[tuple[int, bytes]]:
    """(offset, line with its end) of all lines; the last one may have none."""
    with os.fdopen(os.dup(file), "rb") as stream:
        stream.seek(0)
        offset = 0
        for line in stream:
            yield offset, line
            offset += len(line)
