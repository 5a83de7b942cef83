"""`verl-coder data verify`: run the references of files that are written already, and keep what passes."""

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from verl_coder.data.out_folder import CARD, SPLITS, OutFolder
from verl_coder.data.parallel_verification import Candidate, verify_all
from verl_coder.data.prepared import iter_rows, open_prepared
from verl_coder.data.provenance import Rejection, count_reasons, describe_files, write_card, write_rejected
from verl_coder.data.verdicts import VerdictCache
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
    return asyncio.run(_recheck(paths, folder, options, on_row))


def _folder(paths: Sequence[Path], out: Path) -> OutFolder:
    """Rows of the same files are its own."""
    files = [os.path.realpath(path) for path in paths]
    return OutFolder(
        path=out,
        card={"verified": files},
        is_own=lambda card: card.get("verified") == files,
        files={*(whole_of_shard(path).name for path in paths), *(f"{split}.parquet" for split in SPLITS)},
    )


async def _recheck(
    paths: Sequence[Path], folder: OutFolder, options: VerifyOptions, on_row: Callable[[str], None]
) -> RecheckResult:
    started, out = time.perf_counter(), folder.path
    rejections: list[Rejection] = []
    trivial: dict[str, str] = {}
    false_examples: dict[str, tuple[str, ...]] = {}
    rows_read = 0
    with ExitStack() as stack, VerdictCache(out / "verdicts.jsonl") as cache:
        writers = {
            path.name: stack.enter_context(
                RowWriter(out / path.name, schema=open_prepared(path).schema_arrow)
            )
            for path in paths
        }
        async for candidate, problem, verdict in verify_all(_candidates(paths), options, cache):
            rows_read += 1
            on_row("kept" if verdict.status == "passed" else verdict.status)
            if verdict.status == "passed":
                writer = writers[candidate.place.rpartition("[")[0]]
                info = {**candidate.row["extra_info"], "index": writer.rows}
                prompt = [*problem.prompt] if verdict.false_examples else candidate.row["prompt"]
                writer.add_row({**candidate.row, "extra_info": info, "prompt": prompt})
                if verdict.false_examples:
                    false_examples[problem.problem_id] = verdict.false_examples
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
        has_rows = any(writer.rows for writer in writers.values())
        write_rejected(rejections, out / "rejected.parquet", with_rows=has_rows)
        if not has_rows:
            raise DataError(f"no reference solution passes its tests (see {out}/rejected.parquet)")
        folder.claim()
        files: list[WrittenFile] = []
        with_rows = {whole_of_shard(writer.path) for writer in writers.values() if writer.rows}
        for writer in writers.values():
            if whole_of_shard(writer.path) in with_rows:
                files += writer.commit(may_be_empty=True)  # a shard without rows, so that none is missing
            else:
                writer.withdraw()
    write_card(
        out / CARD,
        {
            **folder.card,
            "files": describe_files(files),
            "counts": {
                "read": rows_read,
                "rejected": count_reasons(rejections),
                "trivial_tests": len(trivial),
            },
            "trivial_tests": trivial,
            "false_examples": false_examples,
        },
    )
    return RecheckResult(
        files=files,
        rejections=rejections,
        trivial=trivial,
        false_examples=false_examples,
        removed=[path for writer in writers.values() for path in writer.removed],
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
                yield Candidate(place=place, problems=[Problem.from_row(row)], row=row)
            except DataError as error:
                raise DataError(f"{place}: {error}") from error
