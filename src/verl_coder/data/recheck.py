"""`verl-coder data verify`: run the references of files that are written already, and keep what passes."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from verl_coder.data.parallel_verification import Candidate, verify_all
from verl_coder.data.prepared import iter_rows
from verl_coder.data.provenance import Rejection, write_rejected
from verl_coder.data.verdicts import VerdictCache
from verl_coder.data.verification import VerifyOptions
from verl_coder.data.writer import RowWriter, WrittenFile, shards_of, whole_of_shard
from verl_coder.errors import DataError
from verl_coder.files import refuse_file_in_the_way
from verl_coder.problems import Problem


@dataclass(frozen=True, kw_only=True)
class RecheckResult:
    """What was kept and what was not; `trivial` are problems whose tests a constant passes (kept)."""

    files: list[WrittenFile]
    rejections: list[Rejection]
    trivial: dict[str, str]
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

    DataError where two of `paths` have one name. A file of an earlier run of which no row passes now is removed.
    """
    _refuse_one_name(paths)
    refuse_file_in_the_way(out, "--out")
    return asyncio.run(_recheck(paths, out, options, on_row))


async def _recheck(
    paths: Sequence[Path], out: Path, options: VerifyOptions, on_row: Callable[[str], None]
) -> RecheckResult:
    started = time.perf_counter()
    rejections: list[Rejection] = []
    trivial: dict[str, str] = {}
    rows_read = 0
    with ExitStack() as stack, VerdictCache(out / "verdicts.jsonl") as cache:
        writers = {path.name: stack.enter_context(RowWriter(out / path.name)) for path in paths}
        async for candidate, problem, verdict in verify_all(_candidates(paths), options, cache):
            rows_read += 1
            on_row("kept" if verdict.status == "passed" else verdict.status)
            if verdict.status == "passed":
                writers[candidate.place.rpartition("[")[0]].add(problem)
                if verdict.trivial:
                    trivial[problem.problem_id] = verdict.trivial
            else:
                rejections.append(
                    Rejection(
                        data_source=problem.data_source,
                        place=candidate.place,
                        reason=verdict.status,
                        message=verdict.message,
                        problem_id=problem.problem_id,
                    )
                )
        write_rejected(rejections, out / "rejected.parquet")
        if not any(writer.rows for writer in writers.values()):
            raise DataError(f"no reference solution passes its tests (see {out}/rejected.parquet)")
        files: list[WrittenFile] = []
        with_rows = {whole_of_shard(writer.path) for writer in writers.values() if writer.rows}
        for writer in writers.values():
            if whole_of_shard(writer.path) in with_rows:
                files += writer.commit(may_be_empty=True)  # a shard without rows, so that none is missing
            else:
                for stale in shards_of(writer.path):
                    stale.unlink()
    return RecheckResult(
        files=files,
        rejections=rejections,
        trivial=trivial,
        rows_read=rows_read,
        wall_s=time.perf_counter() - started,
    )


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
                yield Candidate(place=place, problems=[Problem.from_row(row)])
            except DataError as error:
                raise DataError(f"{place}: {error}") from error
