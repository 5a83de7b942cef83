"""The journal of a teacher: on disk before it is counted, found by content, whole after any end of a process."""

import asyncio
import errno
import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from verl_coder.errors import ConfigError, TeacherError
from verl_coder.teacher.attempt_journal import AttemptJournal
from verl_coder.teacher.journal import Journal, StoredVerdict, digest

KEY, OTHER = digest({"prompt": "a"}), digest({"prompt": "b"})


def answer(text: str) -> dict[str, Any]:
    usage = {"prompt_tokens": 10, "completion_tokens": 2}
    return {"raw": {"choices": [{"message": {"content": text}}], "usage": usage}, "result": None}


def write(path: Path, *texts: str, key: str = KEY) -> None:
    async def run() -> None:
        with Journal(path) as journal:
            await asyncio.gather(
                *(journal.add_reply(key, number, 0, answer(text)) for number, text in enumerate(texts))
            )

    asyncio.run(run())


def content(journal: Journal, sample: int, *, key: str = KEY, turn: int = 0) -> str | None:
    entry = journal.find_reply(key, sample, turn)
    return entry and entry["raw"]["choices"][0]["message"]["content"]


def test_answers_are_found_by_what_was_asked_and_not_by_their_place(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.journal.jsonl"
    write(path, "zero", "one", "\ud800 café")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(reversed(lines)))
    with Journal(path) as journal:
        assert [content(journal, n) for n in range(4)] == ["zero", "one", "\ud800 café", None]
        assert content(journal, 0, key=OTHER) is None and content(journal, 0, turn=1) is None
        assert (journal.replies, journal.usage) == (3, [30, 6])


async def test_an_answer_makes_the_later_ones_another_conversations(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with Journal(path) as journal:
        for turn in range(3):
            await journal.add_reply(KEY, 0, turn, answer(f"{turn}"))
        await journal.add_reply(KEY, 1, 2, answer("another sample"))
        await journal.add_reply(KEY, 0, 1, answer("again"))
        assert [content(journal, 0, turn=turn) for turn in range(3)] == ["0", "again", None]
    with Journal(path) as journal:
        assert [content(journal, 0, turn=turn) for turn in range(3)] == ["0", "again", None]
        assert content(journal, 1, turn=2) == "another sample"


@pytest.mark.parametrize("cut", [1, 2, 30])
def test_a_torn_last_line_is_asked_again_and_the_others_stay(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.jsonl"
    write(path, "zero", "one")
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    with Journal(path) as journal:
        assert [content(journal, 0), content(journal, 1), journal.torn] == ["zero", None, 1]
    write(path, "again", "one")
    assert len(path.read_bytes().splitlines()) == 3
    with Journal(path) as journal:
        assert content(journal, 1) == "one" and journal.torn == 0


def test_a_line_that_is_no_json_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write(path, "zero")
    path.write_bytes(path.read_bytes() + b"\0\0\0\n[1]\n")
    with Journal(path) as journal:
        assert content(journal, 0) == "zero" and journal.unreadable == 2


def test_a_failure_is_written_and_never_found(tmp_path: Path) -> None:
    async def run() -> None:
        with Journal(tmp_path / "a.jsonl") as journal:
            await journal.add_failure(KEY, 0, 0, "length", answer("cut")["raw"])
            assert journal.find_reply(KEY, 0, 0) is None

    asyncio.run(run())
    with Journal(tmp_path / "a.jsonl") as journal:
        assert journal.find_reply(KEY, 0, 0) is None
        assert (journal.replies, journal.failures, journal.usage) == (0, 1, [10, 2])
    assert json.loads((tmp_path / "a.jsonl").read_text())["why"] == "length"


def test_a_verdict_is_found_by_code_and_tests(tmp_path: Path) -> None:
    async def run() -> None:
        with Journal(tmp_path / "a.jsonl") as journal:
            await journal.add_verdict(digest(["code", "tests"]), StoredVerdict("failed", 1, 4))

    asyncio.run(run())
    with Journal(tmp_path / "a.jsonl") as journal:
        found = journal.find_verdict(digest(["code", "tests"]))
        assert found == StoredVerdict("failed", 1, 4) and found is not None and found.pass_rate == 0.25
        assert journal.find_verdict(digest(["code", "other tests"])) is None


def test_a_time_out_is_no_verdict_for_a_later_start(tmp_path: Path) -> None:
    key = digest(["code", "tests"])

    async def run(outcome: str) -> StoredVerdict | None:
        with Journal(tmp_path / "a.jsonl") as journal:
            before = journal.find_verdict(key)
            await journal.add_verdict(key, StoredVerdict(outcome, 1, 4))
            assert journal.find_verdict(key) == StoredVerdict(outcome, 1, 4)
            return before

    assert [asyncio.run(run(outcome)) for outcome in ("timeout", "timeout", "passed", "passed")] == [
        None,
        None,
        None,
        StoredVerdict("passed", 1, 4),
    ]


def test_an_answer_is_synced_before_it_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    path = tmp_path / "a.jsonl"
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(path.stat().st_size))

    async def run() -> None:
        with Journal(path) as journal:
            await journal.add_reply(KEY, 0, 0, answer("zero"))
            assert synced == [path.stat().st_size] and len(journal) == 1
            await asyncio.gather(*(journal.add_reply(KEY, n, 0, answer("x")) for n in range(1, 101)))
            assert synced[-1] == path.stat().st_size

    asyncio.run(run())
    assert len(synced) < 20  # those that are written together share one


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    program = """
import asyncio, sys
from pathlib import Path
from verl_coder.teacher.journal import Journal
async def one(journal, n):
    await journal.add_reply("00" * 16, n, 0, {"raw": {"n": n}})
    print(n, flush=True)
async def main():
    with Journal(Path(sys.argv[1])) as journal:
        await asyncio.gather(*(one(journal, n) for n in range(3000)))
asyncio.run(main())
"""
    path = tmp_path / "a.jsonl"
    process = subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    told = {int(process.stdout.readline()) for _ in range(50)}
    process.kill()
    told |= {int(line) for line in process.stdout.read().split("\n")[:-1]}
    process.wait()
    with Journal(path) as journal:
        assert all(journal.find_reply("00" * 16, n, 0) for n in told)


def test_a_full_disk_ends_the_run_with_what_is_safe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.jsonl"
    pwrite = os.pwrite

    def short(file: int, data: Any, offset: int) -> int:
        if len(data) > 20 and offset > 100:
            pwrite(file, data[:20], offset)
            raise OSError(errno.ENOSPC, "No space left on device")
        return pwrite(file, data, offset)

    async def run() -> None:
        with Journal(path) as journal:
            await journal.add_reply(KEY, 0, 0, answer("zero"))
            monkeypatch.setattr(os, "pwrite", short)
            with pytest.raises(TeacherError, match=r"No space left on device.*1 answer is safe"):
                await journal.add_reply(KEY, 1, 0, answer("one"))
            monkeypatch.setattr(os, "pwrite", pwrite)
            await journal.add_reply(KEY, 2, 0, answer("two"))

    asyncio.run(run())
    with Journal(path) as journal:
        assert [content(journal, n) for n in range(3)] == ["zero", None, "two"] and journal.torn == 0


def test_two_commands_do_not_write_one_journal(tmp_path: Path) -> None:
    with Journal(tmp_path / "a.jsonl"):
        with pytest.raises(ConfigError, match="in use"):
            Journal(tmp_path / "a.jsonl")
    with Journal(tmp_path / "a.jsonl"):
        pass


def test_a_disk_without_locks_holds_journals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refused)
    with Journal(tmp_path / "a.jsonl"), AttemptJournal(tmp_path / "b.jsonl"):
        pass


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"journal .* cannot be opened"):
        Journal(tmp_path / "file" / "a.jsonl")


@pytest.mark.parametrize(
    "content",
    [
        b"PAR1 and no end",
        b"one line without an end",
        b"a line\nand another\n",
        b'{"type": "reply"}\n',
        b"\0\0\0",
        b"7",
    ],
)
def test_another_file_is_no_journal_and_stays_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes"
    path.write_bytes(content)
    for _ in range(2):  # the refused file is not held either
        with pytest.raises(ConfigError, match="no journal"):
            Journal(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "begin", [b"", b'{"ty', b'{"type":"reply","key":"00ff', b'{"type":"verdict","key":"0']
)
def test_the_torn_first_line_of_a_journal_is_cut_off(tmp_path: Path, begin: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(begin)
    write(path, "zero")
    with Journal(path) as journal:
        assert content(journal, 0) == "zero"
