"""`python -m verl_coder.platform.fat_binary FOLDER`: leave in CUDA libraries the code of one generation of GPUs.

A library of vLLM holds each kernel for six or seven generations, in the section `.nv_fatbin`: containers, each a
header and entries of kind (1: PTX, 2: machine code), header size, payload size and architecture. The driver takes the
entry that fits the card and never reads another, so their payloads can be zeros, which compress to nothing; the file
keeps its size.
The layout of the entries: https://github.com/n-eiling/cuda-fatbin-decompression.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

_SECTION = b".nv_fatbin"
_MAGIC = 0xBA55ED50
_PTX, _CODE = 1, 2


@dataclass(frozen=True, kw_only=True)
class _Entry:
    kind: int
    arch: int
    start: int
    size: int


def prune(data: bytearray, arch: int) -> int:
    """Zero in a library's bytes what a card of architecture `arch` (90: Hopper) does not need; the bytes zeroed.

    A container keeps its code for `arch`, else its newest for an older card of the same generation (86 runs the code of
    80; what is made for one chip alone, `100a`, is not told apart), else its newest PTX that `arch` can compile.
    ValueError for what is no 64-bit ELF file or whose containers are cut.
    """
    zeroed = 0
    for offset, size in _sections(data):
        for entries in _containers(data, offset, offset + size):
            older = [e for e in entries if e.arch <= arch]
            runs = [e for e in older if e.kind == _CODE and e.arch // 10 == arch // 10]
            fitting = runs or [e for e in older if e.kind == _PTX]
            newest = max((e.arch for e in fitting), default=0)
            kept = [e for e in fitting if e.arch == newest]
            for entry in entries:
                if entry not in kept:
                    data[entry.start : entry.start + entry.size] = bytes(entry.size)
                    zeroed += entry.size
    return zeroed


def _sections(data: bytearray) -> Iterator[tuple[int, int]]:
    """(offset, size) of each section whose name begins with `.nv_fatbin`."""
    if data[:5] != b"\x7fELF\x02":
        raise ValueError("no 64-bit ELF file")
    (table,) = struct.unpack_from("<Q", data, 40)
    width, count, names = struct.unpack_from("<HHH", data, 58)
    headers = [struct.unpack_from("<IIQQQQ", data, table + width * i) for i in range(count)]
    text = headers[names][4] if headers else 0
    for name, kind, _, _, offset, size in headers:
        if kind and data[text + name :].startswith(_SECTION):
            yield offset, size


def _containers(data: bytearray, position: int, end: int) -> Iterator[list[_Entry]]:
    while position + 16 <= end:
        magic, _, header, size = struct.unpack_from("<IHHQ", data, position)
        if magic != _MAGIC:
            position += 8  # containers are aligned to 8 bytes
            continue
        at, stop = position + header, position + header + size
        if stop > end:
            raise ValueError(f"the container at byte {position} goes beyond its section")
        entries = []
        while at < stop:
            kind, _, header, size = struct.unpack_from("<HHIQ", data, at)
            if not header or at + header + size > stop:
                raise ValueError(f"the entry at byte {at} goes beyond its container")
            (arch,) = struct.unpack_from("<I", data, at + 28)
            entries.append(_Entry(kind=kind, arch=arch, start=at + header, size=size))
            at += header + size
        yield entries
        position = stop


def main(
    folder: Annotated[Path, typer.Argument(help="Searched for *.so, which are changed in place.")],
    arch: Annotated[int, typer.Option(help="Compute capability without the dot: 90 is Hopper.")] = 90,
) -> None:
    """Leave in CUDA libraries the code of one generation of GPUs."""
    if not folder.is_dir():
        raise SystemExit(f"error: {folder} is no folder")
    for path in sorted(folder.rglob("*.so")):
        data = bytearray(path.read_bytes())
        try:
            zeroed = prune(data, arch)
        except (ValueError, struct.error) as error:
            print(f"{path}: left as it is ({error})")
            continue
        if zeroed:
            path.write_bytes(data)
            print(f"{path}: {zeroed / 2**20:.0f} of {len(data) / 2**20:.0f} MiB are for other cards: zeroed")


if __name__ == "__main__":
    typer.run(main)
