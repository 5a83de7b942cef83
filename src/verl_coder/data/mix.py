"""Prepared datasets -> one shuffled train and one validation file, without repeats and without test problems."""

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from verl_coder.data.difficulty import measured_difficulty, read_pass_rates
from verl_coder.data.duplicates import SIMILARITY, DuplicateIndex, Pair
from verl_coder.data.mix_inputs import (
    REPORT,
    MixInput,
    check_places,
    held_out_files,
    input_files,
    rows_of,
    statements,
)
from verl_coder.data.out_folder import CARD, OutFolder
from verl_coder.data.prepared import open_prepared
from verl_coder.data.provenance import describe_files, describe_sources, write_card
from verl_coder.data.shuffle import Shuffler, unit_hash
from verl_coder.data.writer import RowWriter, WrittenFile
from verl_coder.errors import DataError
from verl_coder.files import whole_file
from verl_coder.words import counted


@dataclass(frozen=True)
class RateRange:
    """Pass rates from `low` to `high`, both of which belong to it."""

    low: float
    high: float

    def __contains__(self, rate: float | None) -> bool:
        """Whether the rate lies in it; None, of a row without one, does not."""
        return rate is not None and self.low <= rate <= self.high

    def __str__(self) -> str:
        """As an option says it."""
        return f"{self.low:g}-{self.high:g}"


@dataclass(frozen=True, kw_only=True)
class MixOptions:
    """The choices of one `mix` run; `shares` is the fraction of each dataset's rows to take, in (0, 1]."""

    shares: Mapping[str, float]
    data: Path
    out: Path
    seed: int = 0
    against: tuple[Path, ...] = ()
    """Files or folders to compare with; empty = the test splits of HELD_OUT and of the mixed datasets."""
    decontaminate: bool = False
    similarity: float = SIMILARITY
    pass_rates: Path | None = None
    train_pass_rate: RateRange | None = None
    """Training rows with another measured rate, or none, are left out; held-out rows never are."""
    rows_per_shard: int | None = None


Place = tuple[Path, int]
"""A row of an input: its file and number."""


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """A pair for the report; `against` says where the other one is, `place` is the row that may be dropped."""

    pair: Pair
    against: Literal["mix", "held_out"]
    split: str
    place: Place


@dataclass(frozen=True, kw_only=True)
class MixResult:
    """What was written, and which problems repeat others."""

    files: list[WrittenFile]
    removed: list[Path]
    """Files of an earlier mix in whose place no other has come."""
    overlaps: list[Overlap]
    held_out: list[Path]
    """The files that the rows were compared with."""
    not_mixed: list[str]
    """Datasets that have neither a train nor a validation file."""
    dropped: int
    rows: Counter[str]
    measured: int
    outside: int
    """Training rows that `train_pass_rate` left out."""
    wall_s: float


def parse_shares(text: str) -> dict[str, float]:
    """`mbpp=1,apps=0.5` -> shares; DataError names the part that is wrong."""
    shares: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = part.partition("=")
        if not name.strip():
            raise DataError(f"--mix {part!r}: name the dataset before the =, as in mbpp=0.5")
        try:
            share = float(value or "1")
        except ValueError as error:
            raise DataError(f"--mix {part!r}: {value!r} is not a number") from error
        if not 0 < share <= 1:
            raise DataError(
                f"--mix {part!r}: a share is the fraction of the rows to take, above 0 and at most 1"
            )
        if name in shares:
            raise DataError(f"--mix names {name!r} twice")
        shares[name] = share
    if not shares:
        raise DataError("--mix is empty; write it as mbpp=1,apps=0.5")
    return shares


def parse_rate_range(text: str, option: str) -> RateRange:
    """`0.2-0.8` -> a range; DataError names the option and what is wrong with its value."""
    low, dash, high = text.partition("-")
    try:
        found = RateRange(float(low), float(high))
    except ValueError:
        found = None
    if not dash or found is None or not 0 <= found.low <= found.high <= 1:
        raise DataError(f"{option} {text}: write two pass rates of 0 to 1, the lower first: 0.2-0.8")
    return found


def check_rates(options: MixOptions) -> None:
    """DataError where a range of pass rates is asked for, and no file has them."""
    if options.train_pass_rate and not options.pass_rates:
        raise DataError("--train-pass-rate needs --pass-rates, the evaluation file that has them")


def mix(options: MixOptions) -> MixResult:
    """Write `train` and `validation`, `overlaps.jsonl` and the card to `options.out`; all or none of them."""
    started = time.perf_counter()
    check_rates(options)
    folder = check_places(options.shares, options.data, options.out)
    folder.keep_apart("--against", options.against)
    folder.keep_apart("--pass-rates", [options.pass_rates] if options.pass_rates else [])
    inputs = input_files(options.shares, options.data)
    there = {entry.name for entries in inputs.values() for entry in entries}
    held_out = held_out_files(options.shares, options.data, options.against)
    pass_rates = read_pass_rates(options.pass_rates) if options.pass_rates else {}
    overlaps = list(_find_overlaps(options, inputs, held_out, pass_rates))
    with ExitStack() as replaced:
        written = _write(options, inputs, overlaps, pass_rates, folder, replaced)
        result = MixResult(
            **vars(written),
            overlaps=overlaps,
            held_out=held_out,
            not_mixed=[name for name in options.shares if name not in there],
            dropped=len(overlaps) if options.decontaminate else 0,
            wall_s=time.perf_counter() - started,
        )
        sources = [entry.path for entries in inputs.values() for entry in entries]
        write_card(options.out / CARD, _card(options, result, sources))
    return result


def _find_overlaps(
    options: MixOptions,
    inputs: Mapping[str, Sequence[MixInput]],
    held_out: Sequence[Path],
    pass_rates: Mapping[str, float],
) -> Iterator[Overlap]:
    """Held-out problems go first, then validation, then train: the later one of a pair is the one to drop."""
    index = DuplicateIndex(similarity=options.similarity)
    held_out_keys = set()
    for path in held_out:
        for statement in statements(path):
            index.add(statement, always=True)
            held_out_keys.add(statement.key)
    for split, entries in inputs.items():
        for entry in entries:
            for number, statement in enumerate(statements(entry.path)):
                # A row that is left out anyhow must not be the one of a pair that stays.
                if _is_outside(options, split, pass_rates.get(statement.key)):
                    continue
                if _is_taken(options, entry, statement.key) and (pair := index.add(statement)):
                    against: Literal["mix", "held_out"] = "held_out" if pair.other in held_out_keys else "mix"
                    yield Overlap(pair=pair, against=against, split=split, place=(entry.path, number))


def _is_taken(options: MixOptions, entry: MixInput, problem_id: str) -> bool:
    """Whether the share of its dataset takes the row."""
    return unit_hash(options.seed, "share", entry.name, problem_id) < entry.share


def _is_outside(options: MixOptions, split: str, rate: float | None) -> bool:
    """Whether `train_pass_rate` leaves the row out."""
    return split == "train" and options.train_pass_rate is not None and rate not in options.train_pass_rate


@dataclass(frozen=True, kw_only=True)
class _Written:
    """The part of a MixResult that writing finds out."""

    files: list[WrittenFile]
    removed: list[Path]
    rows: Counter[str]
    measured: int
    outside: int


def _write(
    options: MixOptions,
    inputs: Mapping[str, Sequence[MixInput]],
    overlaps: Sequence[Overlap],
    pass_rates: Mapping[str, float],
    folder: OutFolder,
    replaced: ExitStack,
) -> _Written:
    """Rows and overlaps; the folder is `replacing` from the first file on until the caller closes `replaced`."""
    dropped = {overlap.place for overlap in overlaps} if options.decontaminate else set()
    rows: Counter[str] = Counter()
    measured = outside = 0
    written: list[WrittenFile] = []
    with ExitStack() as stack:
        writers: list[RowWriter] = []
        for split, entries in inputs.items():
            writer = stack.enter_context(
                RowWriter(options.out / f"{split}.parquet", rows_per_shard=options.rows_per_shard)
            )
            writers.append(writer)
            for row in _shuffled(options, split, entries, dropped):
                info = row["extra_info"]
                rate = pass_rates.get(info["problem_id"])
                if _is_outside(options, split, rate):
                    outside += 1
                    continue
                if rate is not None:
                    info["pass_rate"], info["difficulty"] = rate, measured_difficulty(rate)
                    measured += 1
                info["index"] = writer.rows
                writer.add_row(row)
                rows[f"{split}/{row['data_source']}"] += 1
        _refuse_useless(options, pass_rates, rows, measured, outside)
        replaced.enter_context(folder.replacing())
        _write_report(options.out / REPORT, overlaps)
        for writer in writers:
            if writer.rows:
                written += writer.commit()
            else:
                writer.withdraw()
    removed = [path for writer in writers for path in writer.removed]
    return _Written(files=written, removed=removed, rows=rows, measured=measured, outside=outside)


def _refuse_useless(
    options: MixOptions, pass_rates: Mapping[str, float], rows: Counter[str], measured: int, outside: int
) -> None:
    """DataError where there is nothing to write, or where the pass rates are not those of these rows."""
    if options.pass_rates and not measured and not options.train_pass_rate:
        raise DataError(
            f"{options.pass_rates} has rates of {counted(len(pass_rates), 'problem')}, none of them in the mix: "
            "name the evaluation of these problems"
        )
    if outside and not any(name.startswith("train/") for name in rows):
        raise DataError(
            f"--train-pass-rate {options.train_pass_rate}: none of the {counted(outside, 'training row')} has such "
            f"a rate in {options.pass_rates}: choose a wider range, or evaluate more of them"
        )
    if not rows:
        raise DataError("the mix is empty: every row was left out by its share or as a repeat")


def _shuffled(
    options: MixOptions, split: str, entries: Sequence[MixInput], dropped: set[Place]
) -> Iterator[dict[str, Any]]:
    bytes_in = sum(_uncompressed_bytes(entry.path) for entry in entries)
    with Shuffler(options.out, bytes_in=bytes_in) as shuffler:
        for entry in entries:
            for number, row in enumerate(rows_of(entry.path)):
                problem_id = row["extra_info"]["problem_id"]
                if _is_taken(options, entry, problem_id) and (entry.path, number) not in dropped:
                    shuffler.add(unit_hash(options.seed, "order", split, entry.name, problem_id), row)
        yield from shuffler.rows()


def _uncompressed_bytes(path: Path) -> int:
    metadata = open_prepared(path).metadata
    return sum(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups))


def _write_report(path: Path, overlaps: Sequence[Overlap]) -> None:
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        for overlap in overlaps:
            record = {**asdict(overlap.pair), "against": overlap.against, "split": overlap.split}
            stream.write(json.dumps(record, ensure_ascii=False) + "\n")


def _card(options: MixOptions, result: MixResult, sources: Sequence[Path]) -> dict[str, Any]:
    chosen = asdict(options)
    chosen.pop("out")
    return {
        "mix": dict(options.shares),
        "options": chosen,
        "source_files": describe_sources(sources),
        "held_out_files": describe_sources(result.held_out),
        "files": describe_files(result.files),
        "counts": {
            "rows": result.rows,
            "repeats_within_mix": sum(overlap.against == "mix" for overlap in result.overlaps),
            "repeats_of_held_out": sum(overlap.against == "held_out" for overlap in result.overlaps),
            "dropped": result.dropped,
            "measured_difficulty": result.measured,
            "outside_train_pass_rate": result.outside,
        },
        "wall_s": round(result.wall_s, 1),
    }
