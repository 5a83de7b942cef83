"""Random choices that depend on a seed and an id alone, and rows in such an order, a bucket in memory at a time."""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from verl_coder import json_text
from verl_coder.files import make_folder, own_mark, sweep, writing

BUCKET_BYTES = 64 * 2**20


def unit_hash(*parts: object) -> float:
    """A number in [0, 1) that depends on `parts` alone."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


class Shuffler:
    """Sorts rows by rank through temporary files: `add(rank in [0, 1), row)` each of them, then `rows()` once."""

    def __init__(self, folder: Path, *, bytes_in: int, bucket_bytes: int = BUCKET_BYTES) -> None:
        self._parent = folder
        self._count = max(1, -(-bytes_in // bucket_bytes))
        self._folder: Path | None = None
        self._streams: list[IO[str]] = []

    def __enter__(self) -> "Shuffler":
        make_folder(self._parent)
        sweep(
            self._parent.glob(".shuffle-*-*"),
            lambda name: name.removeprefix(".shuffle-").rpartition("-")[0],
        )
        with writing(self._parent):
            self._folder = Path(tempfile.mkdtemp(prefix=f".shuffle-{own_mark()}-", dir=self._parent))
            for number in range(self._count):
                self._streams.append((self._folder / f"{number}.jsonl").open("w+", encoding="utf-8"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for stream in self._streams:
            with suppress(OSError):  # a full disk: closing writes what a buffer still holds
                stream.close()
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, rank: float, row: Mapping[str, Any]) -> None:
        """Put a row into the bucket of its rank."""
        stream = self._streams[int(rank * self._count)]
        with writing(self._parent):
            stream.write(json.dumps([rank, row], ensure_ascii=True) + "\n")

    def rows(self) -> Iterator[dict[str, Any]]:
        """Every row, by rising rank."""
        for stream in self._streams:
            with writing(self._parent):  # what a buffer still holds
                stream.seek(0)
            bucket = [json_text.loads(line) for line in stream]
            bucket.sort(key=lambda entry: entry[0])
            for _, row in bucket:
                yield row
            stream.truncate(0)
