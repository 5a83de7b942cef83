"""Warnings: once each, and readable whatever a full disk did to the file."""

from pathlib import Path

from verl_coder.run.notices import NoticeReader, Notices, parse_notices


def test_a_key_is_said_once(tmp_path: Path) -> None:
    notices = Notices(tmp_path / "w.jsonl")
    for text in ("one", "two"):
        notices.say("disk", text)
    notices.say("other", "three", kind="note")
    assert parse_notices((tmp_path / "w.jsonl").read_bytes().splitlines()) == ["warning: one", "note: three"]


def test_a_reader_follows_from_where_it_began(tmp_path: Path) -> None:
    path = tmp_path / "w.jsonl"
    Notices(path).say("a", "before")
    reader = NoticeReader(path)
    Notices(path).say("a", "after")
    assert reader.new() == ["warning: after"] and reader.new() == []


def test_a_line_that_a_full_disk_cut_short_costs_no_other(tmp_path: Path) -> None:
    path = tmp_path / "w.jsonl"
    path.write_text('{"key": "a", "te')
    Notices(path).say("b", "whole")
    assert parse_notices(path.read_bytes().splitlines()) == ["warning: whole"]


def test_what_a_full_disk_did_not_take_is_written_later_and_in_order(tmp_path: Path) -> None:
    path = tmp_path / "w.jsonl"
    notices = Notices(path)
    path.mkdir()
    notices.say("a", "first")
    notices.say("b", "second")
    path.rmdir()
    notices.write_unwritten()
    assert parse_notices(path.read_bytes().splitlines()) == ["warning: first", "warning: second"]
