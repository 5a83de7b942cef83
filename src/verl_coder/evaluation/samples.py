"""One sample of an evaluation, and the journal that holds samples as they come: a killed evaluation loses none."""

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from verl_coder.errors import DataError
from verl_coder.files import append_whole, make_folder, whole_file, writing

_SYNC_S = 1.0
_ROWS = 2000
"""Of a row group: one of them at a time is held as Arrow's arrays."""


@dataclass(frozen=True, kw_only=True)
class EvaluationSample:
    """One answer to one problem, graded. The fields are the columns of samples.parquet, in this order."""

    problem_id: str
    data_source: str
    difficulty: str
    tags: list[str]
    sample: int
    """Number of the sample, from 0."""
    prompt: str
    output: str
    """The whole trajectory after the prompt: tool outputs included, special tokens kept."""
    code: str
    """What was graded; empty where the answer holds none."""
    outcome: str
    passed: int
    """Hidden tests that passed, of `total`."""
    total: int
    pass_rate: float
    tests: str
    """JSON of the report's tests."""
    tool_calls: int
    """Calls that the model wrote, whole or not."""
    valid_tool_calls: int
    """Of them those that reached the tool."""
    turns: int
    """The model's own."""
    prompt_tokens: int
    response_tokens: int
    """Of the whole trajectory after the prompt, tool outputs included."""
    finish_reason: str
    """stop: ended by itself; length: no tokens left; turns: a call in the last allowed turn; else the loop's reason."""
    seconds: float
    """From the first token asked for to the last one, tools included."""
    tool_successes: int = 0
    """Calls whose program ended with exit status 0."""
    generated_tokens: int = 0
    """Written by the model itself."""
    grading_s: float = 0.0
    second_try: bool = False
    """The verdict is that of a second try, alone, after a limit had been met under load."""
    message: str = ""
    """Why, in a line: what the first failure said, or why no test was run."""

    @property
    def key(self) -> tuple[str, int]:
        return self.problem_id, self.sample

    @property
    def solved(self) -> bool:
        """All hidden tests pass."""
        return self.outcome == "passed"


_CHECKED = TypeAdapter(EvaluationSample)
_ARROW = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    list[str]: pa.list_(pa.string()),
}
SAMPLES_SCHEMA = pa.schema([(name, _ARROW[kind]) for name, kind in get_type_hints(EvaluationSample).items()])
"""Arrow type of samples.parquet."""


def write_samples(path: Path, samples: Sequence[EvaluationSample]) -> None:
    """The whole file or nothing, in the order given."""
    with (
        whole_file(path) as temporary,
        pq.ParquetWriter(temporary, SAMPLES_SCHEMA, compression="zstd") as writer,
    ):
        for start in range(0, len(samples), _ROWS):
            rows = [asdict(sample) for sample in samples[start : start + _ROWS]]
            writer.write_table(pa.Table.from_pylist(rows, schema=SAMPLES_SCHEMA))


def read_samples(path: Path) -> list[EvaluationSample]:
    """The samples of a finished evaluation; DataError where the file is missing or not one."""
    with _reading(path):
        return [_sample_of(row) for row in _rows(path)]


def read_outcomes(path: Path) -> list[tuple[str, str]]:
    """(problem, outcome) of each sample of a finished evaluation, no text read; DataError as `read_samples`."""
    with _reading(path):
        rows = _rows(path, ["problem_id", "sample", "outcome"])
        return [(row["problem_id"], row["outcome"]) for row in rows]


def _rows(path: Path, columns: list[str] | None = None) -> list[dict[str, Any]]:
    """The rows; ValueError where a sample stands there twice: it would count as two, and make noise significant."""
    table = pq.read_table(path, columns=columns)
    for place, name in enumerate(table.column_names):
        if name in SAMPLES_SCHEMA.names:
            column = table.column(name).cast(SAMPLES_SCHEMA.field(name).type)
            if column.null_count:
                raise TypeError(f"{column.null_count} rows have no {name}")
            table = table.set_column(place, name, column)
    rows: list[dict[str, Any]] = table.to_pylist()
    seen: set[tuple[str, int]] = set()
    for row in rows:
        if (key := (row["problem_id"], row["sample"])) in seen:
            raise ValueError(f"sample {key[1]} of {key[0]} stands there twice")
        seen.add(key)
    return rows


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except KeyError as error:
        raise DataError(f"{path} is no samples.parquet of an evaluation (no column {error})") from error
    except (pa.ArrowException, OSError, TypeError, ValueError) as error:
        words = str(error).splitlines()[0]
        raise DataError(f"{path} is no samples.parquet of an evaluation ({words})") from error


def _sample_of(values: dict[str, Any]) -> EvaluationSample:
    """A sample of a journal; what a later version added to it is passed over.

    KeyError where it lacks something, ValueError where a value is of another type than its column.
    """
    given = {}
    for item in fields(EvaluationSample):
        if item.name in values:
            given[item.name] = values[item.name]
        elif item.default is MISSING:
            raise KeyError(item.name)
    return _CHECKED.validate_python(given)


class SampleJournal:
    """`samples.jsonl`: a line as soon as a sample is graded; of two lines of one sample the later counts.

    A line cut off by a kill is dropped, and its sample is drawn again.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.samples: dict[tuple[str, int], EvaluationSample] = {}
        self.provisional: set[tuple[str, int]] = set()
        """Samples that met a time limit under load and wait for their second try."""
        self.broken_lines: list[int] = []
        """Numbers, from 1, of whole lines that hold no sample: they stay, and so do those behind them."""
        self._synced = time.monotonic()

    def __enter__(self) -> Self:
        make_folder(self.path.parent)
        with writing(self.path):
            self._file = self.path.open("a+b", buffering=0)
        self._read()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            with writing(self.path):
                os.fsync(self._file.fileno())
        finally:
            self._file.close()

    def _read(self) -> None:
        whole, lacking = 0, ""
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.endswith(b"\n"):
                    break
                whole += len(line)
                try:
                    record = json.loads(line)
                    self._keep(_sample_of(record["sample"]), bool(record["provisional"]))
                except (ValueError, KeyError, TypeError) as error:
                    self.broken_lines.append(number)  # damaged: its sample is owed again, the line stays
                    lacking = str(error) if isinstance(error, KeyError) else lacking
        if lacking and not self.samples:
            self._file.close()
            raise DataError(
                f"{self.path} was written by another version of verl-coder (no {lacking}), all samples would be "
                "drawn again: give another --out, or go on with that version"
            )
        self._file.truncate(whole)
        self._file.seek(0, os.SEEK_END)

    def add(self, sample: EvaluationSample, *, provisional: bool = False) -> None:
        """Keep a sample; FileWriteError where the disk is full, and the file is as before."""
        record: dict[str, Any] = {"sample": asdict(sample), "provisional": provisional}
        sync = time.monotonic() - self._synced > _SYNC_S
        with writing(self.path):
            append_whole(self._file, json.dumps(record).encode() + b"\n", sync=sync)
        if sync:
            self._synced = time.monotonic()
        self._keep(sample, provisional)

    def _keep(self, sample: EvaluationSample, provisional: bool) -> None:
        self.samples[sample.key] = sample
        (self.provisional.add if provisional else self.provisional.discard)(sample.key)
