"""One dataset from its source to `train`, `validation`, `test` and `rejected` Parquet files and a card."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from verl_coder.data.dataset import Dataset
from verl_coder.data.out_folder import CARD, SPLITS, OutFolder, folder_of_dataset
from verl_coder.data.parallel_verification import Candidate, verify_all
from verl_coder.data.prepare_options import PrepareOptions
from verl_coder.data.provenance import (
    Rejection,
    count_reasons,
    describe_files,
    describe_sources,
    write_card,
    write_rejected,
)
from verl_coder.data.reading import ProblemReader
from verl_coder.data.sources import SourceFile, files_passed_over, find_files
from verl_coder.data.tests_of_rows import fault_of
from verl_coder.data.verdicts import Verdict, VerdictCache
from verl_coder.data.writer import RowWriter, WrittenFile
from verl_coder.errors import DataError
from verl_coder.problems import Problem


@dataclass(frozen=True, kw_only=True)
class PrepareResult:
    """What a run wrote and what it left out."""

    files: list[WrittenFile]
    rejections: list[Rejection]
    trivial: dict[str, str]
    false_examples: dict[str, tuple[str, ...]]
    """Problem -> visible tests that its reference fails, which its prompt does not show."""
    rows_read: int
    time_limited: int
    """Training rows written whose limit is that of `train_time_limit_s`."""
    stubs: int
    """Training rows written that `train_stubs` has posed as a function's head."""
    passed_over: list[Path]
    """Data files of the source's folder that were not read."""
    removed: list[Path]
    """Files of an earlier run in whose place no other has come."""
    wall_s: float


def prepare(
    dataset: Dataset, options: PrepareOptions, *, on_row: Callable[[str], None] = lambda status: None
) -> PrepareResult:
    """Read, verify, split and write one dataset; DataError when the source is wrong or no row is usable.

    ConfigError where --out would overwrite the source, DataError where it holds rows of another one.
    """
    files = find_files(options.source, dataset.source(options.load.variant))
    folder = folder_of_dataset(
        options.out,
        dataset.name,
        options=options.of_the_rows(),
        source_files=describe_sources([file.path for file in files]),
    )
    folder.keep_apart("--source", [file.path for file in files])
    folder.check(cure="name another folder, or add --replace", may_replace=options.replace)
    return asyncio.run(_Preparation(dataset, options, files, folder, on_row).run())


class _Preparation:
    """One run: its options, and what has been read and rejected so far."""

    def __init__(
        self,
        dataset: Dataset,
        options: PrepareOptions,
        files: list[SourceFile],
        folder: OutFolder,
        on_row: Callable[[str], None],
    ) -> None:
        self.dataset = dataset
        self.options = options
        self.files = files
        self.folder = folder
        self.on_row = on_row
        self.reader = ProblemReader(dataset, options, self._reject)
        self.rejections: list[Rejection] = []
        self.trivial: dict[str, str] = {}
        self.false_examples: dict[str, tuple[str, ...]] = {}
        self.difficulties: Counter[str] = Counter()
        self.cache_hits = 0
        self.time_limited = self.stubs = 0

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
                self.time_limited += self.reader.has_the_limit(problem)
                self.stubs += problem.problem_id in self.reader.posed_as_stubs
            with_rows = any(writer.rows for writer in writers.values())
            write_rejected(self.rejections, out / "rejected.parquet", with_rows=with_rows)
            if not with_rows:
                raise DataError(self._nothing_left())
            stack.enter_context(self.folder.replacing())
            for writer in writers.values():
                if writer.rows:
                    written += writer.commit()
                else:
                    writer.withdraw()
            result = PrepareResult(
                files=written,
                rejections=self.rejections,
                trivial=self.trivial,
                false_examples=self.false_examples,
                rows_read=self.reader.rows_read,
                time_limited=self.time_limited,
                stubs=self.stubs,
                passed_over=files_passed_over(
                    self.options.source,
                    self.files,
                    [pattern for hub in self.dataset.sources.values() for pattern in hub.patterns],
                ),
                removed=[path for writer in writers.values() for path in writer.removed],
                wall_s=time.perf_counter() - started,
            )
            write_card(out / CARD, self._card(result))
        return result

    async def _kept(self) -> AsyncIterator[Problem]:
        if self.options.verify is None:
            for candidate in self.reader.candidates(self.files):
                problem = candidate.problems[0]
                if fault := fault_of(problem.tests):
                    self._reject(candidate.place, "bad_tests", fault, problem.problem_id)
                    continue
                self.on_row("kept")
                yield problem
            return
        with VerdictCache(self.options.out / "verdicts.jsonl") as cache:
            async for candidate, problem, verdict in verify_all(
                self.reader.candidates(self.files), self.options.verify, cache
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
            if verdict.false_examples:
                self.false_examples[problem.problem_id] = verdict.false_examples
            self.on_row("kept")
            return True
        self._reject(candidate.place, reason, message, problem.problem_id)
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
        what = f"{self.dataset.name}: none of the {self.reader.rows_read} records is usable"
        if self.reader.unwanted:
            found = ", ".join(f"{count} {name}" for name, count in sorted(self.reader.unwanted.items()))
            return f"{what}: none has the difficulty {self.options.difficulty!r}, there are {found}"
        if not self.rejections:
            return f"{what}: the source is empty"
        first = self.rejections[0]
        return f"{what}; the first, {first.place}: {first.message} (all: {self.options.out}/rejected.parquet)"

    def _card(self, result: PrepareResult) -> dict[str, Any]:
        return {
            "license": self.dataset.license,
            **self.folder.card,
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
            "false_examples": result.false_examples,
            "verdicts_from_cache": self.cache_hits,
            "wall_s": round(result.wall_s, 1),
        }
