"""What a command that writes rows may do to its --out: put new rows in the place of its own, and of no others.

`card.json` says whose the rows of a folder are: a dataset's of one source, a mix's, or those of `data verify`.
"""

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from verl_coder.data.provenance import write_card
from verl_coder.data.replacing import replacing
from verl_coder.data.writer import shards_of
from verl_coder.errors import ConfigError, DataError
from verl_coder.files import is_there, keep_apart, read_json, refuse_file_in_the_way
from verl_coder.words import one_line

SPLITS = ("train", "validation", "test")
CARD = "card.json"
_BESIDE = (CARD, "rejected.parquet", "verdicts.jsonl", "overlaps.jsonl")


@dataclass(frozen=True, kw_only=True)
class OutFolder:
    """One --out and the card of what is to be written there; `is_own` tells whose rows an earlier card speaks of."""

    path: Path
    card: Mapping[str, Any]
    """What says whose the rows are, and more."""
    is_own: Callable[[Mapping[str, Any]], bool]
    data_sources: Collection[str] = ()
    """Rows of these alone are its own where no card says so: older versions wrote none for some."""
    files: Collection[str] = tuple(f"{split}.parquet" for split in SPLITS)
    """Names of the files that it writes or removes, and of shards in their place."""

    def check(self, *, cure: str = "name another folder, or remove it", may_replace: bool = False) -> None:
        """DataError, with the cure, where the folder holds rows of others; ConfigError where a file is in its way."""
        refuse_file_in_the_way(self.path, "--out")
        card = read_card(self.path)
        if may_replace or (card and self.is_own(card)):
            return
        rows = [path for name in sorted(self.files) for path in shards_of(self.path / name)]
        rows += [path for name in _listed(card) if (path := self.path / name).is_file()]
        if not rows or (not card and _sources_of(rows) <= set(self.data_sources)):
            return
        raise DataError(f"--out {self.path} holds {rows[0].name}, {_whose(card)}: {cure}")

    def keep_apart(self, option: str, paths: Iterable[Path]) -> None:
        """ConfigError where a file that `option` names is one that will be written here, or removed."""
        read = {option: list(paths)}
        names = {*self.files, *_BESIDE}
        written = [self.path / name for name in sorted(names)]
        written += [path for name in sorted(self.files) for path in shards_of(self.path / name)]
        for path in dict.fromkeys(written):
            keep_apart({"--out": path}, read)

    @contextmanager
    def replacing(self) -> Iterator[None]:
        """`replacing` its files, after saying whose they will be: a run that is killed then may be run again."""
        with replacing(self.path):
            card = read_card(self.path)
            if not card or not self.is_own(card):
                write_card(self.path / CARD, self.card)
            yield


def read_card(folder: Path) -> dict[str, Any]:
    """The card in a folder; empty where there is none that can be read."""
    try:
        return read_json(folder / CARD, "") if (folder / CARD).is_file() else {}
    except ConfigError:
        return {}


def own_outputs(folder: Path) -> set[Path]:
    """The files in a folder that a command of ours has written there, by its card: they are no raw data."""
    card = read_card(folder)
    if not {"dataset", "mix", "verified"} & card.keys():
        return set()
    rows = [path.name for split in SPLITS for path in shards_of(folder / f"{split}.parquet")]
    return {folder / name for name in (*_BESIDE, *(_listed(card) or rows))}


def _listed(card: Mapping[str, Any]) -> list[str]:
    """Names of the files that a card speaks of."""
    files = card.get("files")
    entries = files if isinstance(files, list) else []
    return [str(entry.get("file")) for entry in entries if isinstance(entry, Mapping)]


def folder_of_dataset(
    out: Path, dataset: str, *, options: Mapping[str, Any], source_files: Sequence[Mapping[str, Any]]
) -> OutFolder:
    """For `data prepare`: rows of the same dataset and source are its own, whatever the other options were."""

    def is_own(card: Mapping[str, Any]) -> bool:
        if card.get("dataset") != dataset:
            return False
        earlier = card.get("options")
        return card.get("source_files") == [*source_files] or (
            isinstance(earlier, Mapping) and _source_of(earlier) == _source_of(options)
        )

    card = {"dataset": dataset, "options": options, "source_files": source_files}
    return OutFolder(path=out, card=card, is_own=is_own, data_sources=(dataset,))


def _source_of(options: Mapping[str, Any]) -> tuple[str, str]:
    """Variant and source; a file or folder is the same by any path to it."""
    load, source = options.get("load"), options.get("source")
    variant = load.get("variant") if isinstance(load, Mapping) else None
    path = Path(str(source)).expanduser()
    return str(variant), os.path.realpath(path) if source and is_there(path) else str(source)


def take_folder(out: Path, dataset: str, options: Mapping[str, Any]) -> None:
    """For a data_prep/ file that makes its problems itself: `out` is its own from here on; DataError if another's."""
    card = {"dataset": dataset, "options": options}
    OutFolder(
        path=out, card=card, is_own=lambda there: there.get("dataset") == dataset, data_sources=(dataset,)
    ).check()
    write_card(out / CARD, card)


def _whose(card: Mapping[str, Any]) -> str:
    if "mix" in card:
        return "which is of a mix"
    if "verified" in card:
        files = card["verified"]
        first = files[0] if isinstance(files, list) and files else files
        return f"which `data verify` has written of {one_line(str(first))}"
    if "dataset" in card:
        options = card.get("options")
        source = options.get("source") if isinstance(options, Mapping) else None
        where = f" (--source {one_line(str(source))})" if source else ""
        return f"which is of the dataset {one_line(str(card['dataset']))}{where}"
    return "and no card.json says that they are its own"


def _sources_of(rows: Iterable[Path]) -> set[str]:
    """What their column `data_source` says; what cannot be read is of nobody known."""
    found: set[str] = set()
    for path in rows:
        try:
            column = pq.read_table(path, columns=["data_source"]).column("data_source")
        except (pa.ArrowException, OSError, KeyError):
            return {""}
        found |= {str(name) for name in column.unique().to_pylist()}
    return found
