"""The pages of a report: the front end's files, what it knows of each folder, the index, and the chunks."""

import errno
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from verl_coder.errors import ConfigError, FileWriteError
from verl_coder.files import is_there, locked, make_folder, took_lock, write_atomically, writing
from verl_coder.report.chunks import Part, script, write_part
from verl_coder.report.evaluation_files import (
    other_results,
    pass_at_k,
    read_evaluation_samples,
    read_results,
    samples_file,
    score_groups,
)
from verl_coder.report.evaluation_summary import SampleCounts
from verl_coder.report.index import build_index
from verl_coder.report.inputs import ReportInput
from verl_coder.report.records import TrajectoryRecord, not_yet, split_notes
from verl_coder.report.sample_files import read_samples, sample_files
from verl_coder.report.sft_run import describe_sft_run
from verl_coder.report.tables import ablation_table, comparison_files, paired_comparisons
from verl_coder.report.training_run import describe_training_run, flatten, is_beginning

PAGE = Path(__file__).parent / "page"
MARKER = ".verl_coder_report"
"""Stands in a folder that a report wrote, so that only such a one is ever replaced."""
WATCHED = ".watched"
"""The lock of a report that is kept up to date."""


class Report:
    """A report of given folders; built again, it reads only the files of samples that have changed."""

    def __init__(self, inputs: Sequence[ReportInput], say: Callable[[str], None] = lambda text: None) -> None:
        self.inputs = inputs
        self._say = say
        self._parts: dict[str, tuple[tuple[int, int], Part, Any]] = {}
        """Prefix of the chunks -> state of the file on disk, what it gave, and counts where it is an evaluation."""

    @property
    def trajectories(self) -> int:
        """How many the last build has shown."""
        return sum(len(part.rows) for _, part, _ in self._parts.values())

    @property
    def comparison_files(self) -> list[Path]:
        """Beside the evaluations, whether they are there or not."""
        return comparison_files(self._evaluations)

    @property
    def _evaluations(self) -> list[Path]:
        return [one.path for one in self.inputs if one.kind == "evaluation"]

    def forget(self) -> None:
        """Read all files of samples again: the chunks of a new folder are not there yet."""
        self._parts.clear()

    def write_data(self, out: Path) -> None:
        """Write `data/` below `out`: chunks, then index, then the description that names them."""
        data = out / "data"
        described, parts = [], []
        for number, folder in enumerate(self.inputs):
            notes: list[str] = []
            if folder.kind == "sft":
                found, own_parts = describe_sft_run(folder.path, notes), list[Part]()
            else:
                describe = self._evaluation if folder.kind == "evaluation" else self._training_run
                found, own_parts = describe(number, folder, data, notes)
            parts += [(number, part) for part in own_parts]
            notes += [note for part in own_parts for note in part.notes]
            missing, to_come = split_notes(notes)
            about = {"name": folder.name, "path": str(folder.path), "missing": missing, "to_come": to_come}
            described.append({**about, **found, "trajectories": sum(len(part.rows) for part in own_parts)})
        write_atomically(data / "index.js", script("index", build_index(parts)))
        site = {
            "runs": described,
            "ablation": ablation_table(described),
            "comparisons": paired_comparisons(self._evaluations),
            "built": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        }
        write_atomically(data / "site.js", script("site", site))
        write_atomically(data / "version.js", script("version", str(time.time_ns())))

    def _training_run(
        self, number: int, folder: ReportInput, data: Path, notes: list[str]
    ) -> tuple[dict[str, Any], list[Part]]:
        parts = []
        files = sample_files(folder.path)
        if not files:
            places = "rollouts/, validation/ and eval_samples/"
            begins = is_beginning(folder.path)
            notes.append(not_yet(places) if begins else f"{places} are missing: no trajectories of this run")
        for place, file in enumerate(files):
            prefix = f"{number}/{file.folder}-{file.step:06d}"
            part, _ = self._part(prefix, file.path, data, partial(read_samples, file))
            parts.append(part)
            self._say(f"{folder.name}: {file.folder}, {place + 1} of {len(files)} files")
        return {"kind": "training", **describe_training_run(folder.path, notes)}, parts

    def _evaluation(
        self, number: int, folder: ReportInput, data: Path, notes: list[str]
    ) -> tuple[dict[str, Any], list[Part]]:
        results = read_results(folder.path, notes)
        samples = samples_file(folder.path)
        self._say(f"{folder.name}: {samples.name}")
        part, counts = self._part(
            f"{number}/samples", samples, data, partial(read_evaluation_samples, samples)
        )
        settings = results.get("settings")
        estimates = {str(k): estimate._asdict() for k, estimate in pass_at_k(results).items()}
        found = {
            "kind": "evaluation",
            "pass_at_k": estimates,
            "groups": score_groups(results),
            "settings": flatten(settings) if isinstance(settings, dict) else {},
            "results": flatten(other_results(results, notes)),
            "counts": counts.to_dict(),
        }
        return found, [part]

    def _part(
        self, prefix: str, path: Path, data: Path, read: Callable[[list[str]], Iterator[TrajectoryRecord]]
    ) -> tuple[Part, SampleCounts]:
        """What a file of samples gives; as before where the file is as before."""
        try:
            status = path.stat()
            state = (status.st_size, status.st_mtime_ns)
        except OSError:
            state = (-1, -1)
        if prefix not in self._parts or self._parts[prefix][0] != state:
            part, counts = Part(), SampleCounts()
            write_part(counts.watch(read(part.notes)), prefix, data, part)
            self._parts[prefix] = (state, part, counts)
        _, part, counts = self._parts[prefix]
        return part, counts


def write_report(report: Report, out: Path) -> Path:
    """Build the report into the folder `out`, the whole of it or nothing, and return its index.html."""
    check_target(out)
    with _whole_folder(out) as building:
        copy_page(building)
        report.forget()
        report.write_data(building)
    return out / "index.html"


def check_target(out: Path) -> None:
    """ConfigError where `out` holds something that no report wrote, or a report that is kept up to date."""
    if is_there(out) and not (out / MARKER).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} exists and is no report: name another folder with --out, or remove it")
    if (out / WATCHED).exists():
        with watched(out):
            pass


def watched(out: Path) -> AbstractContextManager[None]:
    """Keep the report in the folder `out` for oneself; ConfigError where a `--watch` does so."""
    return locked(
        out / WATCHED,
        f"{out} is kept up to date by a `verl-coder report --watch`: end that, or name another folder with --out",
    )


def copy_page(folder: Path) -> None:
    """The front end's own files."""
    make_folder(folder)
    with writing(folder):
        for file in PAGE.rglob("*"):
            if file.is_file():
                target = folder / file.relative_to(PAGE)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
        (folder / MARKER).touch()


@contextmanager
def _whole_folder(out: Path) -> Iterator[Path]:
    """A folder beside `out` that takes its place when the block ends well, and goes when it does not.

    Its name is this report's own: of several that are written to one place at a time, each is whole, and the one that
    ends last stays.
    """
    make_folder(out.parent)
    building = _beside(out, "building")
    try:
        make_folder(building)
        with writing(building), (building / MARKER).open("w") as mark:
            took_lock(mark)  # while it is held, no other report takes the folder for a leftover
            yield building
            check_target(out)
            _put_in_place(building, out)
    except FileWriteError as error:
        raise FileWriteError(error.errno, error.strerror, str(out)) from error
    finally:
        shutil.rmtree(building, ignore_errors=True)
    _remove_leftovers(out)


def _beside(out: Path, what: str) -> Path:
    return out.with_name(f".{out.name}.{os.getpid()}-{secrets.token_hex(4)}.{what}")


def _put_in_place(building: Path, out: Path) -> None:
    """Rename the folder to `out`, whatever report stands or comes there meanwhile."""
    while True:
        try:
            building.rename(out)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        old = _beside(out, "old")
        with suppress(FileNotFoundError):  # another report has taken it away
            out.rename(old)
        try:
            building.rename(out)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                old.rename(out)
                raise
        finally:
            shutil.rmtree(old, ignore_errors=True)


def _remove_leftovers(out: Path) -> None:
    """Folders that a killed report left beside `out`; those of one at work are held by it."""
    for folder in out.parent.iterdir():
        if not folder.name.startswith(f".{out.name}.") or folder.suffix not in (".building", ".old"):
            continue
        try:
            with (folder / MARKER).open("r+") as mark:
                if took_lock(mark):
                    shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue  # without its mark yet
