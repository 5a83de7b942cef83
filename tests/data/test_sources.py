"""Raw files that are damaged, or hold more than one array: what is lost is named, and no more is lost."""

import json
from pathlib import Path

import pytest

from verl_coder.data.sources import CUT_OFF, SourceFile, read_rows


def read(path: Path, content: bytes) -> list[tuple[str, object]]:
    path.write_bytes(content)
    rows = read_rows([SourceFile(path=path, split="train")])
    return [(row.place, row.value if row.value is not None else (row.code, row.error)) for row in rows]


@pytest.mark.parametrize("indent", [None, 2])
def test_a_byte_that_is_no_text_costs_its_own_record(tmp_path: Path, indent: int | None) -> None:
    records = [{"t": "a"}, {"t": "X"}, {"t": "\udc80 é"}]
    found = read(tmp_path / "a.json", json.dumps(records, indent=indent).encode().replace(b"X", b"\xff"))
    assert [place for place, _ in found] == ["a.json[0]", "a.json[1]", "a.json[2]"]
    assert [value for _, value in found] == [
        records[0],
        ("bad_row", "holds the byte 0xff, which is no UTF-8"),
        records[2],
    ]


def test_a_text_of_another_encoding_that_is_damaged_is_named(tmp_path: Path) -> None:
    content = json.dumps([{"t": "a"}]).encode("utf-16") + b"\x00"
    [(place, value)] = read(tmp_path / "a.json", content)
    assert place == "a.json" and isinstance(value, tuple) and value[0] == CUT_OFF and "utf-16" in value[1]


@pytest.mark.parametrize(
    "text",
    [
        '[{"n": 0}, {"n": 1}]\n[{"n": 2}]',
        '[{"n": 0}]\n{"n": 1}\n{"n": 2}\n',
        '[{"n": 0}][][{"n": 1}, {"n": 2}]',
    ],
)
def test_what_stands_behind_an_array_is_read_too(tmp_path: Path, text: str) -> None:
    assert [value for _, value in read(tmp_path / "a.json", text.encode())] == [{"n": n} for n in range(3)]


def test_a_last_line_that_is_cut_is_a_file_that_is_cut_off(tmp_path: Path) -> None:
    found = read(tmp_path / "a.jsonl", b'{"n": 0}\n{"n": \n{"n": 2}\n{"n": 3, "t": "cu')
    codes = [value[0] if isinstance(value, tuple) else value for _, value in found]
    assert codes == [{"n": 0}, "bad_row", {"n": 2}, CUT_OFF]
    assert read(tmp_path / "b.jsonl", b'{"n": 0}\n{"n": 1}')[-1] == ("b.jsonl:2", {"n": 1})
