"""Of a CUDA library's code for several generations of GPUs, that of one stays; the file keeps its size."""

import struct
from pathlib import Path

import pytest

from verl_coder.platform.fat_binary import main, prune

PTX, CODE = 1, 2


def _container(*entries: tuple[int, int, bytes]) -> bytes:
    """(kind, architecture, payload) each."""
    body = b"".join(
        struct.pack("<HHIQ", kind, 0x101, 64, len(payload))
        + bytes(12)
        + struct.pack("<I", arch)
        + bytes(32)
        + payload
        for kind, arch, payload in entries
    )
    return struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(body)) + body


def _library(content: bytes) -> bytearray:
    """A 64-bit ELF file with `content` in `.nv_fatbin`, and in a section that is none of CUDA's."""
    names = b"\0.nv_fatbin\0.data\0.shstrtab\0"
    sections = [(0, 0, b""), (1, 1, content), (12, 1, content), (18, 3, names)]
    position, headers, bodies = 64, b"", b""
    for name, kind, body in sections:
        headers += struct.pack("<IIQQQQIIQQ", name, kind, 0, 0, position, len(body), 0, 0, 8, 0)
        bodies += body
        position += len(body)
    start = (
        b"\x7fELF\x02\x01\x01"
        + bytes(9)
        + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 0, position, 0, 64, 0, 0, 64, 4, 3)
    )
    return bytearray(start + bodies + headers)


def _kept(*entries: tuple[int, int, bytes], arch: int = 90) -> list[bytes]:
    """Payloads that are still in the library's CUDA section."""
    content = _container(*entries)
    data = _library(content)
    prune(data, arch)
    section = bytes(data[64 : 64 + len(content)])
    assert data[64 + len(content) :] == _library(content)[64 + len(content) :], "another section is changed"
    return [payload for _, _, payload in entries if payload in section]


def test_the_code_of_the_card_stays_and_no_other() -> None:
    assert _kept((CODE, 80, b"a" * 16), (CODE, 90, b"b" * 16), (PTX, 90, b"c" * 8)) == [b"b" * 16]


def test_without_code_for_the_card_its_newest_text_stays() -> None:
    entries = ((CODE, 80, b"a" * 16), (PTX, 75, b"b" * 8), (PTX, 80, b"c" * 8), (PTX, 100, b"d" * 8))
    assert _kept(*entries) == [b"c" * 8]


def test_a_card_runs_the_code_of_an_older_one_of_its_generation() -> None:
    entries = ((CODE, 75, b"a" * 16), (CODE, 80, b"b" * 16), (CODE, 86, b"c" * 16), (PTX, 80, b"d" * 8))
    assert _kept(*entries, arch=89) == [b"c" * 16]


def test_what_no_card_of_this_kind_can_run_goes() -> None:
    assert _kept((CODE, 120, b"a" * 16)) == []


def test_several_containers_are_looked_at_one_by_one() -> None:
    first, second = _container((CODE, 90, b"a" * 16)), _container((CODE, 80, b"b" * 16))
    data = _library(first + bytes(8) + second)
    assert prune(data, 90) == 16
    assert b"a" * 16 in data[: 64 + len(first)] and b"b" * 16 not in data[: 64 + len(first + second) + 8]


def test_a_file_without_cuda_code_and_one_that_is_no_library_stay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "script.so"
    text.write_bytes(b"INPUT(libreal.so)")
    plain = tmp_path / "plain.so"
    plain.write_bytes(_library(b""))
    before = plain.read_bytes()
    main(tmp_path, arch=90)
    assert text.read_bytes() == b"INPUT(libreal.so)" and plain.read_bytes() == before
    assert "script.so: left as it is (no 64-bit ELF file)" in capsys.readouterr().out


@pytest.mark.parametrize(
    "content",
    [
        _container((CODE, 80, b"a" * 16))[:-8],
        _container((CODE, 80, b"a" * 16)).replace(struct.pack("<Q", 16), struct.pack("<Q", 4096)),
        struct.pack("<IHHQ", 0xBA55ED50, 1, 16, 64) + bytes(64),
    ],
    ids=["a container that is cut", "an entry beyond its container", "an entry of no size"],
)
def test_what_is_damaged_stays_as_it_is(content: bytes, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.so"
    damaged.write_bytes(_library(content))
    main(tmp_path, arch=90)
    assert damaged.read_bytes() == bytes(_library(content))
