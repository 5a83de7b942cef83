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
from verl_coder.data.duplicates import SIMILARITY, DuplicateIndex, Pair, Statement
from verl_coder.data.prepared import iter_rows, open_prepared, resolve_prepared
from verl_coder.data.provenance import describe_files, describe_sources, write_card
from verl_coder.data.shuffle import Shuffler, unit_hash
from verl_coder.data.writer import RowWriter, WrittenFile, shards_of
from verl_coder.errors import DataError
from verl_coder.files import refuse_file_in_the_way, whole_file
from verl_coder.prompts import statement_of
from verl_coder.words import counted, nearest

HELD_OUT = ("mbpp", "humaneval", "livecodebench")
"""Datasets whose test split a mix is compared with, where it has been prepared."""

_MIXED_SPLITS = ("validation", "train")
_LIGHT_COLUMNS = ("prompt", "data_source", "extra_info.problem_id")


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
class MixInput:
    """One prepared file and the fraction of its rows to take; `name` is its dataset's folder."""

    name: str
    path: Path
    share: float


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
    overlaps: list[Overlap]
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


def mix(options: MixOptions) -> MixResult:
    """Write `train` and `validation`, `overlaps.jsonl` and the card to `options.out`; all or none of them."""
    started = time.perf_counter()
    if options.train_pass_rate and not options.pass_rates:
        raise DataError("--train-pass-rate needs --pass-rates, the evaluation file that has them")
    _check_places(options)
    inputs = {split: _split_files(options, split) for split in _MIXED_SPLITS}
    if not any(inputs.values()):
        raise DataError(f"{options.data}: none of {', '.join(options.shares)} has a train or validation file")
    held_out = _held_out_files(options)
    pass_rates = read_pass_rates(options.pass_rates) if options.pass_rates else {}
    overlaps = list(_find_overlaps(options, inputs, held_out))
    dropped = {overlap.place for overlap in overlaps} if options.decontaminate else set()
    files, rows, measured, outside = _write(options, inputs, dropped, pass_rates)
    result = MixResult(
        files=files,
        overlaps=overlaps,
        dropped=len(dropped),
        rows=rows,
        measured=measured,
        outside=outside,
        wall_s=time.perf_counter() - started,
    )
    _write_report(options.out / "overlaps.jsonl", overlaps)
    sources = [entry.path for entries in inputs.values() for entry in entries]
    write_card(options.out / "card.json", _card(options, result, sources, held_out))
    return result


def _check_places(options: MixOptions) -> None:
    """Every dataset is there, and --out is none of their folders, whose files the mix would replace."""
    for name in options.shares:
        folder = options.data / name
        if not folder.is_dir():
            close = nearest(name, [path.name for path in options.data.glob("*/")])
            raise DataError(
                f"{folder} does not exist; "
                + (
                    f"did you mean {close}?"
                    if close
                    else f"prepare it first: verl-coder data prepare {name} --out {folder} (--data: where it is)"
                )
            )
        if options.out.resolve() == folder.resolve():
            raise DataError(
                f"--out {options.out} is the folder of {name}, whose rows the mix would replace: name another folder"
            )
    refuse_file_in_the_way(options.out, "--out")


def _split_files(options: MixOptions, split: str) -> list[MixInput]:
    files: list[MixInput] = []
    for name, share in options.shares.items():
        paths = shards_of(options.data / name / f"{split}.parquet")
        files += [MixInput(name=name, path=path, share=share) for path in paths]
    return files


def _held_out_files(options: MixOptions) -> list[Path]:
    if options.against:
        return [file for path in options.against for file in resolve_prepared(path)]
    names = dict.fromkeys((*HELD_OUT, *options.shares))
    return [file for name in names for file in shards_of(options.data / name / "test.parquet")]


def _find_overlaps(
    options: MixOptions, inputs: Mapping[str, Sequence[MixInput]], held_out: Sequence[Path]
) -> Iterator[Overlap]:
    """Held-out statements go first, then validation, then train: the later one of a pair is the one to drop."""
    index = DuplicateIndex(similarity=options.similarity)
    held_out_keys = set()
    for path in held_out:
        for row in iter_rows(path, columns=_LIGHT_COLUMNS):
            statement = _statement(row)
            index.add(statement, always=True)
            held_out_keys.add(statement.key)
    for split, entries in inputs.items():
        for entry in entries:
            for number, row in _taken_rows(options, entry, columns=_LIGHT_COLUMNS):
                if pair := index.add(_statement(row)):
                    against: Literal["mix", "held_out"] = "held_out" if pair.other in held_out_keys else "mix"
                    yield Overlap(pair=pair, against=against, split=split, place=(entry.path, number))


def _statement(row: Mapping[str, Any]) -> Statement:
    return Statement(key=row["extra_info"]["problem_id"], text=statement_of(row["prompt"]))


def _taken_rows(
    options: MixOptions, entry: MixInput, columns: Sequence[str] | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, row in enumerate(iter_rows(entry.path, columns=columns)):
        if unit_hash(options.seed, "share", entry.name, row["extra_info"]["problem_id"]) < entry.share:
            yield number, row


def _write(
    options: MixOptions,
    inputs: Mapping[str, Sequence[MixInput]],
    dropped: set[Place],
    pass_rates: Mapping[str, float],
) -> tuple[list[WrittenFile], Counter[str], int, int]:
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
                if split == "train" and options.train_pass_rate and rate not in options.train_pass_rate:
                    outside += 1
                    continue
                if rate is not None:
                    info["pass_rate"], info["difficulty"] = rate, measured_difficulty(rate)
                    measured += 1
                info["index"] = writer.rows
                writer.add_row(row)
                rows[f"{split}/{row['data_source']}"] += 1
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
        if not any(writer.rows for writer in writers):
            raise DataError("the mix is empty: every row was left out by its share or as a repeat")
        for writer in writers:
            if writer.rows:
                written += writer.commit()
            else:
                for stale in shards_of(writer.path):
                    stale.unlink()
    return written, rows, measured, outside


def _shuffled(
    options: MixOptions, split: str, entries: Sequence[MixInput], dropped: set[Place]
) -> Iterator[dict[str, Any]]:
    bytes_in = sum(_uncompressed_bytes(entry.path) for entry in entries)
    with Shuffler(options.out, bytes_in=bytes_in) as shuffler:
        for entry in entries:
            for number, row in _taken_rows(options, entry):
                if (entry.path, number) not in dropped:
                    problem_id = row["extra_info"]["problem_id"]
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


def _card(
    options: MixOptions, result: MixResult, sources: Sequence[Path], held_out: Sequence[Path]
) -> dict[str, Any]:
    chosen = asdict(options)
    chosen.pop("out")
    return {
        "mix": dict(options.shares),
        "options": chosen,
        "source_files": describe_sources(sources),
        "held_out_files": describe_sources(held_out),
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
