"""Raw records from a hub name, a local file or a local folder, streamed one at a time and named by their place.

JSON lines, a JSON array, either of them gzipped, and Parquet. A hub dataset is downloaded by its files
(`huggingface_hub`), never through its loading script, and then read as a local folder.
"""

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from verl_coder import json_text
from verl_coder.data.dataset import HubSource
from verl_coder.errors import DataError

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_SPLIT_NAME = re.compile(r"(?<![a-z])(train|test|validation|prompt)(?![a-z])")
_DATA_SUFFIXES = (".jsonl", ".json", ".jsonl.gz", ".json.gz", ".parquet")
_PARQUET_BATCH_ROWS = 64


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """One local file and the dataset's own split that its name tells (`train` where it tells none)."""

    path: Path
    split: str


@dataclass(frozen=True, kw_only=True)
class RawRow:
    """One record, or the reason why there is none at this place (`mbpp.jsonl:12`)."""

    place: str
    split: str
    value: dict[str, Any] | None = None
    error: str = ""


def find_files(source: str | None, hub: HubSource) -> list[SourceFile]:
    """The files to read for `--source` (None = the hub); DataError names a source that is neither file nor hub."""
    if source is None:
        return _folder_files(_download(hub.repo, hub.patterns), hub.patterns)
    path = Path(source).expanduser()
    if path.is_dir():
        return _folder_files(path, hub.patterns)
    if path.is_file():
        return [SourceFile(path=path, split=_split_of(path.name))]
    if _HUB_NAME.fullmatch(source):
        return _folder_files(_download(source, hub.patterns), hub.patterns)
    raise DataError(f"source {source!r} is neither a file, nor a folder, nor a hub name such as {hub.repo}")


def read_rows(files: list[SourceFile]) -> Iterator[RawRow]:
    """Every record of `files` in order; what cannot be read becomes a row with `error`, the rest goes on."""
    for file in files:
        reader = _read_parquet if file.path.suffix == ".parquet" else _read_json
        for place, value in reader(file.path):
            if isinstance(value, dict):
                yield RawRow(place=place, split=file.split, value=value)
            else:
                error = value if isinstance(value, str) else f"not a JSON object but {type(value).__name__}"
                yield RawRow(place=place, split=file.split, error=error)


def _folder_files(folder: Path, patterns: tuple[str, ...]) -> list[SourceFile]:
    found = {path for pattern in patterns for path in folder.glob(pattern) if path.is_file()}
    if not found:
        found = {path for path in folder.iterdir() if path.name.endswith(_DATA_SUFFIXES)}
    if not found:
        raise DataError(f"{folder} holds none of {', '.join(patterns)} nor any other data file")
    paths = sorted(found)
    return [SourceFile(path=path, split=_split_of(str(path.relative_to(folder)))) for path in paths]


def _split_of(name: str) -> str:
    matches = _SPLIT_NAME.findall(name.lower())
    return matches[-1] if matches else "train"


def _download(repo: str, patterns: tuple[str, ...]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    failures = (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError)
    try:
        return Path(snapshot_download(repo, repo_type="dataset", allow_patterns=list(patterns)))
    except failures as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(
            f"cannot download dataset {repo!r} from the hub ({reason}); "
            "give --source with a local file or folder of it"
        ) from error


def _open(path: Path) -> IO[bytes]:
    stream = path.open("rb")
    is_gzip = stream.read(2) == b"\x1f\x8b"
    stream.seek(0)
    return gzip.open(stream) if is_gzip else stream  # type: ignore[return-value]


def _read_json(path: Path) -> Iterator[tuple[str, Any]]:
    """(place, value) pairs; a `str` value is an error. A file that starts with `[` is an array."""
    try:
        with _open(path) as stream:
            is_array = stream.read(64).lstrip().startswith(b"[")
            stream.seek(0)
            yield from _read_array(path, stream.read()) if is_array else _read_lines(path, stream)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        yield path.name, f"the gzip file is cut off or damaged ({error})"


def _read_lines(path: Path, stream: IO[bytes]) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(stream, 1):
        if not line.strip():
            continue
        try:
            value = json_text.loads(line)
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            yield f"{path.name}:{number}", f"not JSON ({error})"
        else:
            yield f"{path.name}:{number}", value if not isinstance(value, str) else [value]


def _read_array(path: Path, data: bytes) -> Iterator[tuple[str, Any]]:
    """Element by element, so that those before a damaged place are kept."""
    text = data.decode("utf-8", errors="replace")
    decoder = json.JSONDecoder()
    position = text.index("[") + 1
    number = 0
    while True:
        position = _skip(text, position, ", \t\r\n")
        if text[position : position + 1] == "]":
            return
        place = f"{path.name}[{number}]"
        try:
            value, position = decoder.raw_decode(text, position)
        except json.JSONDecodeError as error:
            yield place, f"not JSON from here on ({error})"
            return
        yield place, value if not isinstance(value, str) else [value]
        number += 1


def _skip(text: str, position: int, characters: str) -> int:
    while position < len(text) and text[position] in characters:
        position += 1
    return position


def _read_parquet(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        file = pq.ParquetFile(path)
        number = 0
        for batch in file.iter_batches(batch_size=_PARQUET_BATCH_ROWS):
            for row in batch.to_pylist():
                yield f"{path.name}[{number}]", row
                number += 1
    except (pa.ArrowException, OSError) as error:
        yield path.name, f"not a readable Parquet file ({str(error).splitlines()[0]})"
