"""One dataset from its source to `train`, `validation`, `test` and `rejected` Parquet files and a card."""

import asyncio
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from verl_coder.data.dataset import Dataset, LoadOptions
from verl_coder.data.parallel_verification import Candidate, verify_all
from verl_coder.data.provenance import (
    Rejection,
    count_reasons,
    describe_files,
    describe_sources,
    write_card,
    write_rejected,
)
from verl_coder.data.record import RowError
from verl_coder.data.shuffle import unit_hash
from verl_coder.data.sources import RawRow, SourceFile, files_passed_over, find_files, read_rows
from verl_coder.data.tests_of_rows import as_read, fault_of, limited
from verl_coder.data.verdicts import Verdict, VerdictCache
from verl_coder.data.verification import VerifyOptions
from verl_coder.data.writer import RowWriter, WrittenFile, shards_of
from verl_coder.errors import DataError
from verl_coder.problems import Problem

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class PrepareOptions:
    """The choices of one `prepare` run."""

    out: Path
    load: LoadOptions
    source: str | None = None
    difficulty: str | None = None
    """Keep only this one: easy, medium or hard, or the dataset's own word for it."""
    limit: int | None = None
    seed: int = 0
    validation_fraction: float = 0.2
    train_time_limit_s: float | None = None
    """Most seconds for a test of a training row, with 3 more for loading; held-out rows keep their own limits."""
    train_stubs: float = 0.0
    """Share of the training rows that are posed as a function's head with a docstring, where that can be."""
    strict: bool = False
    verify: VerifyOptions | None = field(default_factory=VerifyOptions)
    drop_trivial: bool = False
    rows_per_shard: int | None = None

    def __post_init__(self) -> None:
        if self.train_time_limit_s is not None and not 0 < self.train_time_limit_s < math.inf:
            raise DataError(f"--train-time-limit is {self.train_time_limit_s:g}: use a finite number above 0")
        if not 0 <= self.train_stubs <= 1:
            raise DataError(f"--train-stubs is {self.train_stubs:g}: use a number from 0 to 1")


@dataclass(frozen=True, kw_only=True)
class PrepareResult:
    """What a run wrote and what it left out."""

    files: list[WrittenFile]
    rejections: list[Rejection]
    trivial: dict[str, str]
    rows_read: int
    time_limited: int
    """Training rows written whose limit is that of `train_time_limit_s`."""
    stubs: int
    """Training rows written that `train_stubs` has posed as a function's head."""
    passed_over: list[Path]
    """Data files of the source's folder that were not read."""
    wall_s: float


def prepare(
    dataset: Dataset, options: PrepareOptions, *, on_row: Callable[[str], None] = lambda status: None
) -> PrepareResult:
    """Read, verify, split and write one dataset; DataError when the source is wrong or no row is usable."""
    if options.out.exists() and not options.out.is_dir():
        raise DataError(f"--out {options.out} is a file: name a folder, which need not exist")
    files = find_files(options.source, dataset.source(options.load.variant))
    return asyncio.run(_Preparation(dataset, options, files, on_row).run())


class _Preparation:
    """One run: its options, and what has been read and rejected so far."""

    def __init__(
        self,
        dataset: Dataset,
        options: PrepareOptions,
        files: list[SourceFile],
        on_row: Callable[[str], None],
    ) -> None:
        self.dataset = dataset
        self.options = options
        self.files = files
        self.on_row = on_row
        self.rejections: list[Rejection] = []
        self.trivial: dict[str, str] = {}
        self.rows_read = 0
        self.difficulties: Counter[str] = Counter()
        self.unwanted: Counter[str] = Counter()
        self.cache_hits = 0
        self.time_limited = self.stubs = 0
        self.posed_as_stubs: set[str] = set()

    async def run(self) -> PrepareResult:
        started = time.perf_counter()
        out = self.options.out
        written: list[WrittenFile] = []
        with ExitStack() as stack:
            writers = {
                split: stack.enter_context(
                    RowWriter(out / f"{split}.parquet", rows_per_shard=self.options.rows_per_shard)
                )
                for split in SPLITS
            }
            async for problem in self._kept():
                writer = writers[problem.split]
                writer.add(replace(problem, index=writer.rows))
                self.difficulties[problem.difficulty] += 1
                self.time_limited += self._has_the_limit(problem)
                self.stubs += problem.problem_id in self.posed_as_stubs
            write_rejected(self.rejections, out / "rejected.parquet")
            if not any(writer.rows for writer in writers.values()):
                raise DataError(self._nothing_left())
            for split, writer in writers.items():
                if writer.rows:
                    written += writer.commit()
                else:
                    for stale in shards_of(out / f"{split}.parquet"):
                        stale.unlink()
        result = PrepareResult(
            files=written,
            rejections=self.rejections,
            trivial=self.trivial,
            rows_read=self.rows_read,
            time_limited=self.time_limited,
            stubs=self.stubs,
            passed_over=files_passed_over(
                self.options.source,
                self.files,
                [pattern for hub in self.dataset.sources.values() for pattern in hub.patterns],
            ),
            wall_s=time.perf_counter() - started,
        )
        write_card(out / "card.json", self._card(result))
        return result

    async def _kept(self) -> AsyncIterator[Problem]:
        if self.options.verify is None:
            for candidate in self._candidates():
                problem = candidate.problems[0]
                if fault := fault_of(problem.tests):
                    self._reject(candidate.place, "bad_tests", fault, problem.problem_id)
                    continue
                self.on_row("kept")
                yield problem
            return
        with VerdictCache(self.options.out / "verdicts.jsonl") as cache:
            async for candidate, problem, verdict in verify_all(
                self._candidates(), self.options.verify, cache
            ):
                if self._accepts(candidate, problem, verdict):
                    yield problem
            self.cache_hits = cache.hits

    def _accepts(self, candidate: Candidate, problem: Problem, verdict: Verdict) -> bool:
        reason, message = str(verdict.status), verdict.message
        if verdict.trivial:
            self.trivial[problem.problem_id] = verdict.trivial
            if self.options.drop_trivial:
                reason, message = "trivial", f"{verdict.trivial} passes all tests"
        if reason == "passed":
            self.on_row("kept")
            return True
        self._reject(candidate.place, reason, message, problem.problem_id)
        return False

    def _candidates(self) -> Iterator[Candidate]:
        """Every record that can be read, is wanted and is not there twice."""
        seen: set[str] = set()
        for row in read_rows(self.files):
            if self.options.limit is not None and len(seen) >= self.options.limit:
                return
            self.rows_read += 1
            try:
                problems = self._problems(row)
                if problems[0].problem_id in seen:
                    raise RowError(
                        f"problem id {problems[0].problem_id} is there already", code="duplicate_id"
                    )
            except RowError as error:
                if self.options.strict:
                    raise DataError(f"{row.place}: {error}") from error
                self._reject(row.place, error.code, str(error))
                continue
            if self._is_wanted(problems[0], row):
                seen.add(problems[0].problem_id)
                yield Candidate(place=row.place, problems=problems)

    def _problems(self, row: RawRow) -> list[Problem]:
        if row.value is None:
            raise RowError(row.error, code=row.code)
        try:
            return self._read(row.value, row.split)
        except RowError:
            raise
        except Exception as error:
            raise RowError(f"the loader fails with {error!r}"[:300]) from error

    def _read(self, value: dict[str, Any], split: str) -> list[Problem]:
        draft = self.dataset.to_draft(value, split, self.options.load).encodable()
        if not draft.tests or not all(len(tests) for tests in draft.tests):
            raise RowError("the record has no tests", code="no_tests")
        if not draft.statement.strip():
            raise RowError("the statement is empty")
        draft = replace(draft, tests=tuple(map(as_read, draft.tests)))
        split = draft.split or self._split_of(draft.group or draft.problem_id)
        limit_s = self.options.train_time_limit_s
        if split == "train" and limit_s is not None:
            draft = replace(draft, tests=tuple(limited(tests, limit_s) for tests in draft.tests))
        if split == "train" and self._is_a_stub(draft.problem_id) and (stub := draft.as_stub()):
            self.posed_as_stubs.add(draft.problem_id)
            draft = stub
        return draft.problems(data_source=self.dataset.name, split=split, options=self.options.load)

    def _has_the_limit(self, problem: Problem) -> bool:
        limit_s = self.options.train_time_limit_s
        return limit_s is not None and problem.split == "train" and problem.tests.timeout_s == limit_s

    def _is_a_stub(self, problem_id: str) -> bool:
        """By hash, as the split is."""
        return unit_hash(self.options.seed, self.dataset.name, problem_id, "stub") < self.options.train_stubs

    def _split_of(self, name: str) -> str:
        """By hash of group or id, so that a problem keeps its split when the dataset grows or is reordered."""
        share = unit_hash(self.options.seed, self.dataset.name, name)
        return "validation" if share < self.options.validation_fraction else "train"

    def _is_wanted(self, problem: Problem, row: RawRow) -> bool:
        wanted, own = self.options.difficulty, (row.value or {}).get("difficulty")
        if wanted is None or wanted in (problem.difficulty, own):
            return True
        self.unwanted[str(own or problem.difficulty)] += 1
        return False

    def _reject(self, place: str, reason: str, message: str, problem_id: str = "") -> None:
        self.on_row(reason)
        self.rejections.append(
            Rejection(
                data_source=self.dataset.name,
                place=place,
                reason=reason,
                message=message,
                problem_id=problem_id,
            )
        )

    def _nothing_left(self) -> str:
        what = f"{self.dataset.name}: none of the {self.rows_read} records is usable"
        if self.unwanted:
            found = ", ".join(f"{count} {name}" for name, count in sorted(self.unwanted.items()))
            return f"{what}: none has the difficulty {self.options.difficulty!r}, there are {found}"
        if not self.rejections:
            return f"{what}: the source is empty"
        first = self.rejections[0]
        return f"{what}; the first, {first.place}: {first.message} (all: {self.options.out}/rejected.parquet)"

    def _card(self, result: PrepareResult) -> dict[str, Any]:
        options = asdict(self.options)
        options.pop("out")
        return {
            "dataset": self.dataset.name,
            "license": self.dataset.license,
            "options": options,
            "source_files": describe_sources([file.path for file in self.files]),
            "files": describe_files(result.files),
            "counts": {
                "read": result.rows_read,
                "written": sum(file.rows for file in result.files),
                "rejected": count_reasons(result.rejections),
                "difficulty": self.difficulties,
                "trivial_tests": len(result.trivial),
                "train_time_limited": result.time_limited,
                "train_stubs": result.stubs,
            },
            "trivial_tests": result.trivial,
            "verdicts_from_cache": self.cache_hits,
            "wall_s": round(result.wall_s, 1),
        }
