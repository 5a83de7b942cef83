"""Raw records from a hub name, a local file or a local folder, streamed one at a time and named by their place.

JSON lines, a JSON array or values over several lines, each of them gzipped or not, Parquet and Arrow. A hub dataset is
downloaded by its files (`huggingface_hub`), never through its loading script, and then read as a local folder.
"""

import codecs
import gzip
import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from verl_coder import json_text
from verl_coder.data.dataset import HubSource
from verl_coder.data.out_folder import own_outputs
from verl_coder.errors import DataError
from verl_coder.hub import hub_reason

_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_SPLIT_NAME = re.compile(r"(?<![a-z])(train|test|validation|prompt)(?![a-z])")
_DATA_SUFFIXES = (".jsonl", ".json", ".jsonl.gz", ".json.gz", ".parquet", ".arrow")
_ABOUT_DATA = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "card.json")
CUT_OFF = "cut_off"
"""Why a record is none where the rest of its file, of nobody knows how many records, is not read."""
_HEAD_BYTES = 256
_NO_UTF8 = re.compile("[\udc80-\udcff]")
"""What `surrogateescape` makes of a byte; an escape of JSON is none yet."""
_BATCH_ROWS = 64


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
    code: str = "bad_row"
    """Of the error: a reason in `rejected.parquet`."""


class _CutOff(str):
    """An error behind which nothing more of the file is read."""


def find_files(source: str | None, hub: HubSource) -> list[SourceFile]:
    """The files to read for `--source` (None = the hub); DataError names a source that is neither file nor hub."""
    if source is None:
        return _folder_files(_download(hub.repo, hub.patterns), hub.patterns)
    path = Path(source).expanduser()
    if path.is_dir():
        return _folder_files(path, hub.patterns)
    if path.is_file():
        return [SourceFile(path=path, split=_split_of(path.name, path.absolute().parent))]
    if _HUB_NAME.fullmatch(source):
        return _folder_files(_download(source, hub.patterns), hub.patterns)
    raise DataError(f"source {source!r} is neither a file, nor a folder, nor a hub name such as {hub.repo}")


def files_passed_over(source: str | None, files: list[SourceFile], patterns: Iterable[str]) -> list[Path]:
    """Data files in the folder `source` that are not read, though no variant's pattern names them."""
    folder = Path(source or "").expanduser()
    if source is None or not folder.is_dir():
        return []
    known = {path for pattern in patterns for path in folder.glob(pattern)} | {file.path for file in files}
    near = {
        path for pattern in ("*", "*/*") for path in folder.glob(pattern)
    }  # no deeper: it may be a home folder
    return sorted(path for path in _raw(near - known) if _is_data(path))


def read_rows(files: list[SourceFile]) -> Iterator[RawRow]:
    """Every record of `files` in order; what cannot be read becomes a row with `error`, the rest goes on."""
    for file in files:
        reader = _reader(file.path)
        for place, value in reader(file.path):
            if isinstance(value, dict):
                yield RawRow(place=place, split=file.split, value=value)
            else:
                error = value if isinstance(value, str) else f"not a JSON object but {type(value).__name__}"
                code = CUT_OFF if isinstance(value, _CutOff) else "bad_row"
                yield RawRow(place=place, split=file.split, error=error, code=code)


def _reader(path: Path) -> Callable[[Path], Iterator[tuple[str, Any]]]:
    """By what the file begins with, whatever its name."""
    with path.open("rb") as stream:
        head = stream.read(6)
    if head.startswith(b"PAR1") or path.suffix.lower() == ".parquet":
        return _read_parquet
    return _read_arrow if head == b"ARROW1" or path.suffix.lower() == ".arrow" else _read_json


def _folder_files(folder: Path, patterns: tuple[str, ...]) -> list[SourceFile]:
    found = _raw(path for pattern in patterns for path in folder.glob(pattern) if path.is_file())
    if not found:
        found = _raw(path for path in folder.iterdir() if _is_data(path))
    if not found:
        raise DataError(f"{folder} holds none of {', '.join(patterns)} nor any other data file")
    paths = sorted(found)
    return [
        SourceFile(path=path, split=_split_of(str(path.relative_to(folder)), folder.absolute()))
        for path in paths
    ]


def _raw(paths: Iterable[Path]) -> set[Path]:
    """Those that no command of ours has written."""
    found = set(paths)
    return found.difference(*(own_outputs(folder) for folder in {path.parent for path in found}))


def _is_data(path: Path) -> bool:
    name = path.name.lower()
    return path.is_file() and name.endswith(_DATA_SUFFIXES) and name not in _ABOUT_DATA


def _split_of(name: str, folder: Path) -> str:
    """By the file's name, else by that of the folder, which is one of a split as a whole (`test/part-0.jsonl`)."""
    if matches := _SPLIT_NAME.findall(name.lower()):
        return str(matches[-1])
    return folder.name.lower() if _SPLIT_NAME.fullmatch(folder.name.lower()) else "train"


def _download(repo: str, patterns: tuple[str, ...]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    failures = (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError)
    try:
        return Path(snapshot_download(repo, repo_type="dataset", allow_patterns=list(patterns)))
    except failures as error:
        raise DataError(
            f"cannot download dataset {repo!r} from the hub: {hub_reason(error)}; "
            "give --source with a local file or folder of it"
        ) from error


def _open(path: Path) -> IO[bytes]:
    stream = path.open("rb")
    is_gzip = stream.read(2) == b"\x1f\x8b"
    stream.seek(0)
    return gzip.open(stream) if is_gzip else stream  # type: ignore[return-value]


def _read_json(path: Path) -> Iterator[tuple[str, Any]]:
    """(place, value) pairs; a `str` value is an error.

    A file holds an array, or a record a line, or records that go over several lines.
    """
    try:
        with _open(path) as stream:
            head = stream.read(_HEAD_BYTES)
            stream.seek(0)
            # A byte-order mark, or every other byte a null, tells the encoding.
            encoding = json.detect_encoding(head)
            text = head.decode(encoding, errors="replace").lstrip("\ufeff \t\r\n")
            if text.startswith("[") or _goes_over_lines(text) or encoding.startswith(("utf-16", "utf-32")):
                # A byte that is no UTF-8 costs its own record alone.
                errors = "surrogateescape" if encoding.startswith("utf-8") else "strict"
                yield from _read_values(path, stream.read().decode(encoding, errors=errors))
            else:
                yield from _read_lines(path, stream)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        yield path.name, _CutOff(f"the gzip file is cut off or damaged ({error})")
    except UnicodeDecodeError as error:
        yield path.name, _CutOff(f"no text in {error.encoding} ({error.reason} at byte {error.start})")


def _goes_over_lines(text: str) -> bool:
    """Whether the first line opens a record that it does not close."""
    first, end, _ = text.partition("\n")
    return bool(end) and first.rstrip().endswith(("{", "[", ","))


def _read_lines(path: Path, stream: IO[bytes]) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(stream, 1):
        line = line.removeprefix(codecs.BOM_UTF8)
        if not line.strip():
            continue
        place = f"{path.name}:{number}"
        try:
            value = json_text.loads(line)
        except (ValueError, RecursionError) as error:
            fault = f"not JSON ({error})"
            yield place, fault if line.endswith(b"\n") else _CutOff(fault)
        else:
            yield from _records(place, value)


def _records(place: str, value: Any) -> Iterator[tuple[str, Any]]:
    """One record, or those of an object that is nothing but a list of records (`{"data": [...]}`)."""
    lists = [part for part in value.values() if isinstance(part, list)] if isinstance(value, dict) else []
    if len(lists) == 1 and len(value) == 1 and all(isinstance(part, dict) for part in lists[0]):
        for number, part in enumerate(lists[0]):
            yield f"{place}[{number}]", part
        return
    yield place, value if not isinstance(value, str) else [value]


def _read_values(path: Path, text: str) -> Iterator[tuple[str, Any]]:
    """One value after the other, so that those before a damaged place are kept."""
    decoder = json_text.decoder()
    position = _skip(text, 0, "\ufeff \t\r\n")
    ends = ("]",) if text[position : position + 1] == "[" else ("",)
    position += ends == ("]",)
    number = 0
    while True:
        position = _skip(text, position, ", \t\r\n\ufeff")
        if text[position : position + 1] in ends:
            # Another array, or records, may stand behind an array.
            position = _skip(text, position + 1, ", \t\r\n\ufeff")
            if position >= len(text):
                return
            ends = ("]",) if text[position] == "[" else ("",)
            position += ends == ("]",)
            continue
        place, start = f"{path.name}[{number}]", position
        try:
            value, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            yield place, _CutOff(f"not JSON from here on ({error})")
            return
        if damaged := _NO_UTF8.search(text, start, position):
            yield place, f"holds the byte 0x{ord(damaged[0]) - 0xDC00:02x}, which is no UTF-8"
        else:
            yield from _records(place, value)
        number += 1


def _skip(text: str, position: int, characters: str) -> int:
    while position < len(text) and text[position] in characters:
        position += 1
    return position


def _read_parquet(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        file = pq.ParquetFile(path)
        yield from _read_batches(path, file.iter_batches(batch_size=_BATCH_ROWS))
    except (pa.ArrowException, OSError) as error:
        yield path.name, _CutOff(f"not a readable Parquet file ({str(error).splitlines()[0]})")


def _read_arrow(path: Path) -> Iterator[tuple[str, Any]]:
    """What `Dataset.save_to_disk` writes: Arrow as a stream, or as a file."""
    try:
        with pa.memory_map(str(path)) as source:
            try:
                reader: Any = pa.ipc.open_stream(source)
                batches = iter(reader)
            except pa.ArrowInvalid:
                reader = pa.ipc.open_file(source)
                batches = (reader.get_batch(index) for index in range(reader.num_record_batches))
            yield from _read_batches(path, batches)
    except (pa.ArrowException, OSError) as error:
        yield path.name, _CutOff(f"not a readable Arrow file ({str(error).splitlines()[0]})")


def _read_batches(path: Path, batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[str, Any]]:
    """Rows of Arrow: a value that Python cannot hold, such as text that is no UTF-8, costs its own row alone."""
    number = 0
    for batch in batches:
        for start in range(0, batch.num_rows, _BATCH_ROWS):
            for row in _values_of(batch.slice(start, _BATCH_ROWS)):
                yield f"{path.name}[{number}]", row
                number += 1


def _values_of(batch: pa.RecordBatch) -> Iterator[Any]:
    try:
        rows = batch.to_pylist()
    except (ValueError, OverflowError) as error:
        if batch.num_rows == 1:
            yield f"a column holds what cannot be read ({error})"
            return
        for number in range(batch.num_rows):
            yield from _values_of(batch.slice(number, 1))
    else:
        yield from rows
