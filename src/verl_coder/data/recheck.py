"""`verl-coder data verify`: run the references of files that are written already, and keep what passes."""

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verl_coder.data.out_folder import CARD, SPLITS, OutFolder
from verl_coder.data.parallel_verification import Candidate, verify_all
from verl_coder.data.prepared import iter_rows, open_prepared
from verl_coder.data.provenance import Rejection, count_reasons, describe_files, write_card, write_rejected
from verl_coder.data.verdicts import Verdict, VerdictCache
from verl_coder.data.verification import VerifyOptions
from verl_coder.data.writer import RowWriter, WrittenFile, whole_of_shard
from verl_coder.errors import DataError
from verl_coder.problems import Problem


@dataclass(frozen=True, kw_only=True)
class RecheckResult:
    """What was kept and what was not; `trivial` are problems whose tests a constant passes (kept)."""

    files: list[WrittenFile]
    rejections: list[Rejection]
    trivial: dict[str, str]
    false_examples: dict[str, tuple[str, ...]]
    """Problem -> visible tests that its reference fails, which its prompt does not show any more."""
    removed: list[Path]
    """Files of an earlier run in whose place no other has come."""
    rows_read: int
    wall_s: float


def recheck(
    paths: Sequence[Path],
    out: Path,
    options: VerifyOptions,
    *,
    on_row: Callable[[str], None] = lambda status: None,
) -> RecheckResult:
    """Write the rows of `paths` whose reference passes to files of the same names in `out`; all or none.

    A row stays what it is in its file, columns of others too, but for visible tests that its reference fails; its
    `index` is its new place. DataError where two
    of `paths` have one name, or `out` holds rows of others; ConfigError where it is their own folder. A file of an
    earlier run of which no row passes now is removed.
    """
    _refuse_one_name(paths)
    folder = _folder(paths, out)
    folder.keep_apart("FILE", paths)
    folder.check()
    return asyncio.run(_Recheck(folder).run(paths, options, on_row))


def _folder(paths: Sequence[Path], out: Path) -> OutFolder:
    """Rows of the same files are its own."""
    files = [os.path.realpath(path) for path in paths]
    return OutFolder(
        path=out,
        card={"verified": files},
        is_own=lambda card: card.get("verified") == files,
        files={*(whole_of_shard(path).name for path in paths), *(f"{split}.parquet" for split in SPLITS)},
    )


class _Recheck:
    """One run: what has been kept and rejected so far."""

    def __init__(self, folder: OutFolder) -> None:
        self.folder = folder
        self.rejections: list[Rejection] = []
        self.trivial: dict[str, str] = {}
        self.false_examples: dict[str, tuple[str, ...]] = {}
        self.rows_read = 0

    async def run(
        self, paths: Sequence[Path], options: VerifyOptions, on_row: Callable[[str], None]
    ) -> RecheckResult:
        started, out = time.perf_counter(), self.folder.path
        with ExitStack() as stack, VerdictCache(out / "verdicts.jsonl") as cache:
            writers = {
                path.name: stack.enter_context(
                    RowWriter(out / path.name, schema=open_prepared(path).schema_arrow)
                )
                for path in paths
            }
            async for candidate, problem, verdict in verify_all(_candidates(paths), options, cache):
                self.rows_read += 1
                on_row("kept" if verdict.status == "passed" else verdict.status)
                self._take(candidate, problem, verdict, writers[candidate.place.rpartition("[")[0]])
            self._write_rejected(list(writers.values()))
            stack.enter_context(self.folder.replacing())
            files = self._commit(list(writers.values()))
            write_card(out / CARD, self._card(files))
        return RecheckResult(
            files=files,
            rejections=self.rejections,
            trivial=self.trivial,
            false_examples=self.false_examples,
            removed=[path for writer in writers.values() for path in writer.removed],
            rows_read=self.rows_read,
            wall_s=time.perf_counter() - started,
        )

    def _take(self, candidate: Candidate, problem: Problem, verdict: Verdict, writer: RowWriter) -> None:
        if verdict.status != "passed":
            self.rejections.append(
                Rejection(
                    data_source=problem.data_source,
                    place=candidate.place,
                    reason=verdict.status,
                    message=verdict.message,
                    problem_id=problem.problem_id,
                )
            )
            return
        row = {**candidate.row, "extra_info": {**candidate.row["extra_info"], "index": writer.rows}}
        if verdict.false_examples:
            row["prompt"] = [*problem.prompt]
            self.false_examples[problem.problem_id] = verdict.false_examples
        writer.add_row(row)
        if verdict.trivial:
            self.trivial[problem.problem_id] = verdict.trivial

    def _write_rejected(self, writers: Sequence[RowWriter]) -> None:
        rejected = self.folder.path / "rejected.parquet"
        with_rows = any(writer.rows for writer in writers)
        write_rejected(self.rejections, rejected, with_rows=with_rows)
        if not with_rows:
            raise DataError(f"no reference solution passes its tests (see {rejected})")

    def _commit(self, writers: Sequence[RowWriter]) -> list[WrittenFile]:
        with_rows = {whole_of_shard(writer.path) for writer in writers if writer.rows}
        files: list[WrittenFile] = []
        for writer in writers:
            if whole_of_shard(writer.path) in with_rows:
                files += writer.commit(may_be_empty=True)  # a shard without rows, so that none is missing
            else:
                writer.withdraw()
        return files

    def _card(self, files: Sequence[WrittenFile]) -> dict[str, Any]:
        counts = {
            "read": self.rows_read,
            "rejected": count_reasons(self.rejections),
            "trivial_tests": len(self.trivial),
        }
        return {
            **self.folder.card,
            "files": describe_files(files),
            "counts": counts,
            "trivial_tests": self.trivial,
            "false_examples": self.false_examples,
        }


def _refuse_one_name(paths: Sequence[Path]) -> None:
    named: dict[str, Path] = {}
    for path in paths:
        before = named.setdefault(path.name, path)
        if before is not path:
            raise DataError(
                f"{before} and {path} have one name, so one would overwrite the other: verify them apart"
            )


def _candidates(paths: Sequence[Path]) -> Iterator[Candidate]:
    for path in paths:
        for number, row in enumerate(iter_rows(path)):
            place = f"{path.name}[{number}]"
            try:
                yield Candidate(place=place, problems=[Problem.from_row(row)], row=row)
            except DataError as error:
                raise DataError(f"{place}: {error}") from error
