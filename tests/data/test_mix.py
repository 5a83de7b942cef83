"""Mixing: shares, one shuffled order, no test problem left in when asked, measured difficulty."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.data.conftest import toy_record, write_jsonl
from verl_coder.data.difficulty import read_pass_rates
from verl_coder.data.mix import MixOptions, mix, parse_rate_range, parse_shares
from verl_coder.data.shuffle import Shuffler
from verl_coder.errors import ConfigError, DataError
from verl_coder.problems import Problem


@pytest.fixture
def data(prepare_toy, tmp_path: Path) -> Path:
    """Two prepared datasets of 100 problems, of which b repeats three of a's test split."""
    words = [
        "alpha",
        "beta",
        "gamma",
        "delta",
        "omega",
        "sigma",
        "kappa",
        "theta",
        "zeta",
        "iota",
        "rho",
        "tau",
    ]
    for name, start in (("a", 0), ("b", 1000)):
        records = []
        for n in range(start, start + 100):
            text = " ".join(
                words[(n * 7 + k * k + (n // 12) * k) % 12] + str((n * k) % 11) for k in range(1, 15)
            )
            records.append(toy_record(n, text=text))
        folder = tmp_path / f"raw-{name}"
        if name == "a":
            write_jsonl(folder / "test.jsonl", records[:10])
            stolen = [record["text"] for record in records[:3]]
            records = records[10:]
        else:
            for record, text in zip(records, stolen, strict=False):
                record["text"] = text.upper() + "!"
        write_jsonl(folder / "train.jsonl", records)
        prepare_toy(folder, tmp_path / "data" / name)
    return tmp_path / "data"


def rows(folder: Path, split: str) -> list[dict]:
    return pq.read_table(folder / f"{split}.parquet").to_pylist()


def ids(folder: Path, split: str) -> list[str]:
    return [row["extra_info"]["problem_id"] for row in rows(folder, split)]


def test_all_rows_are_there_once_in_a_new_order_that_repeats(data: Path, tmp_path: Path) -> None:
    for out in ("m1", "m2"):
        mix(MixOptions(shares={"a": 1, "b": 1}, data=data, out=tmp_path / out))
    together = ids(data / "a", "train") + ids(data / "b", "train")
    mixed = ids(tmp_path / "m1", "train")
    assert sorted(mixed) == sorted(together) and mixed != together
    assert (tmp_path / "m1" / "train.parquet").read_bytes() == (
        tmp_path / "m2" / "train.parquet"
    ).read_bytes()
    assert [row["extra_info"]["index"] for row in rows(tmp_path / "m1", "train")] == list(range(len(mixed)))
    mix(MixOptions(shares={"a": 1, "b": 1}, data=data, out=tmp_path / "m3", seed=1))
    assert ids(tmp_path / "m3", "train") != mixed


def test_rows_keep_their_time_limits_in_a_mix(prepare_toy, tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "raw.jsonl", [toy_record(n) for n in range(40)])
    prepare_toy(source, tmp_path / "data" / "a", train_time_limit_s=1.5)
    mix(MixOptions(shares={"a": 1}, data=tmp_path / "data", out=tmp_path / "m"))
    for split, limit_s in (("train", 1.5), ("validation", 2.0)):
        assert {Problem.from_row(row).tests.timeout_s for row in rows(tmp_path / "m", split)} == {limit_s}


def test_a_share_takes_that_fraction_of_the_one_dataset(data: Path, tmp_path: Path) -> None:
    mix(MixOptions(shares={"a": 1, "b": 0.5}, data=data, out=tmp_path / "m"))
    mixed = ids(tmp_path / "m", "train")
    from_a, from_b = set(ids(data / "a", "train")), set(ids(data / "b", "train"))
    assert from_a <= set(mixed)
    assert 0.3 < len(set(mixed) & from_b) / len(from_b) < 0.7


def test_repeats_of_held_out_problems_are_reported_and_dropped_when_asked(data: Path, tmp_path: Path) -> None:
    options = {"shares": {"a": 1.0, "b": 1.0}, "data": data}
    kept = mix(MixOptions(out=tmp_path / "kept", **options))
    found = {
        overlap.pair.key: overlap.pair.other for overlap in kept.overlaps if overlap.against == "held_out"
    }
    assert found == {"toy/1000": "toy/0", "toy/1001": "toy/1", "toy/1002": "toy/2"}
    report = [json.loads(line) for line in (tmp_path / "kept" / "overlaps.jsonl").read_text().splitlines()]
    assert {entry["key"] for entry in report} >= set(found)
    everything = set(ids(tmp_path / "kept", "train") + ids(tmp_path / "kept", "validation"))
    assert set(found) <= everything
    mix(MixOptions(out=tmp_path / "clean", decontaminate=True, **options))
    clean = set(ids(tmp_path / "clean", "train") + ids(tmp_path / "clean", "validation"))
    assert not clean & set(found)
    assert clean == everything - {overlap.pair.key for overlap in kept.overlaps}


def test_a_problem_posed_as_a_stub_repeats_what_it_repeats_as_it_was(prepare_toy, tmp_path: Path) -> None:
    records = [toy_record(n) for n in range(40)]
    again = [
        toy_record(40 + n, text=records[n]["text"], code=f"def f(x):\n    return {n} + x\n") for n in range(3)
    ]
    source = write_jsonl(tmp_path / "raw" / "train.jsonl", records + again)
    dropped = []
    for share in (0.0, 1.0):
        data = tmp_path / str(share)
        prepare_toy(source, data / "a", train_stubs=share, validation_fraction=0.0)
        mix(MixOptions(shares={"a": 1}, data=data, out=data / "m", decontaminate=True))
        dropped.append(set(ids(data / "a", "train")) - set(ids(data / "m", "train")))
    assert dropped == [{"toy/40", "toy/41", "toy/42"}] * 2


def test_of_two_copies_of_one_dataset_one_stays(data: Path, tmp_path: Path) -> None:
    shutil.copytree(data / "b", data / "b-again")
    mix(MixOptions(shares={"b": 1, "b-again": 1}, data=data, out=tmp_path / "m", decontaminate=True))
    mixed = ids(tmp_path / "m", "train") + ids(tmp_path / "m", "validation")
    assert len(mixed) == len(set(mixed)) and len(mixed) > 80


def test_a_measured_pass_rate_sets_the_difficulty(data: Path, tmp_path: Path) -> None:
    first, second, *_ = ids(data / "a", "train")
    samples = [{"problem_id": first, "acc": acc} for acc in (1.0, 1.0, 1.0, 0.0)]
    rates = write_jsonl(tmp_path / "rates.jsonl", [*samples, {"problem_id": second, "pass_rate": 0.1}])
    result = mix(MixOptions(shares={"a": 1}, data=data, out=tmp_path / "m", pass_rates=rates))
    assert result.measured == 2
    info = {row["extra_info"]["problem_id"]: row["extra_info"] for row in rows(tmp_path / "m", "train")}
    assert (info[first]["pass_rate"], info[first]["difficulty"]) == (0.75, "easy")
    assert (info[second]["pass_rate"], info[second]["difficulty"]) == (0.1, "hard")
    assert sum(entry["pass_rate"] is None for entry in info.values()) == len(info) - 2


def test_the_pass_rate_of_samples_is_the_share_that_passed_and_not_the_share_of_their_tests(
    tmp_path: Path,
) -> None:
    half = {"problem_id": "a/1", "pass_rate": 0.5}
    samples = [half | {"outcome": word, "passed": 2} for word in ("failed", "failed", "failed", "passed")]
    rollouts = [{"problem_id": "a/2", "pass_rate": 0.5, "acc": acc} for acc in (0.0, 1.0)]
    no_verdict = {"problem_id": "a/2", "acc": 0.0, "sandbox_unavailable": 1.0}
    rates = write_jsonl(tmp_path / "samples.jsonl", [*samples, *rollouts, no_verdict])
    assert read_pass_rates(rates) == {"a/1": 0.25, "a/2": 0.5}


def test_pass_rates_of_parquet_are_read_without_the_texts_beside_them(tmp_path: Path) -> None:
    columns = {"problem_id": ["a/1"] * 1500, "outcome": ["passed", "failed"] * 750, "output": ["long"] * 1500}
    path = tmp_path / "samples.parquet"
    pq.write_table(pa.table(columns), path)
    assert read_pass_rates(path) == {"a/1": 0.5}
    pq.write_table(pa.table({name: columns[name] for name in ("problem_id", "output")}), path)
    with pytest.raises(DataError, match=r"samples.parquet\[0\]: .*; has problem_id, output"):
        read_pass_rates(path)


def test_training_rows_are_chosen_by_their_pass_rate_and_held_out_rows_are_not(
    data: Path, tmp_path: Path
) -> None:
    low, inside, high, *_ = train = ids(data / "a", "train")
    held_out = ids(data / "a", "validation")
    rates = write_jsonl(
        tmp_path / "rates.jsonl",
        [
            {"problem_id": name, "pass_rate": rate}
            for name, rate in ((low, 0.1), (inside, 0.2), (high, 0.9), (held_out[0], 1.0))
        ],
    )
    options = MixOptions(
        shares={"a": 1},
        data=data,
        out=tmp_path / "m",
        pass_rates=rates,
        train_pass_rate=parse_rate_range("0.2-0.8", "--x"),
    )
    result = mix(options)
    assert ids(tmp_path / "m", "train") == [inside] and result.outside == len(train) - 1
    assert set(ids(tmp_path / "m", "validation")) == set(held_out)
    with pytest.raises(
        DataError, match=r"--train-pass-rate 0.3-0.4: none of the .* training rows has such a rate"
    ):
        mix(replace(options, train_pass_rate=parse_rate_range("0.3-0.4", "--x"), out=tmp_path / "none"))
    assert not (tmp_path / "none").exists()
    (data / "a" / "validation.parquet").unlink()
    with pytest.raises(
        DataError, match=r"--train-pass-rate 0.3-0.4: none of the .* training rows has such a rate"
    ):
        mix(replace(options, train_pass_rate=parse_rate_range("0.3-0.4", "--x"), out=tmp_path / "none"))
    assert not (tmp_path / "none").exists()
    with pytest.raises(DataError, match="--train-pass-rate needs --pass-rates"):
        mix(replace(options, pass_rates=None, out=tmp_path / "none"))


@pytest.mark.parametrize("text", ["", "0.2", "a-b", "0.8-0.2", "0.2-1.2", "-0.2", "0-nan"])
def test_a_range_of_pass_rates_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(DataError, match=f"--x {text}: write two pass rates of 0 to 1"):
        parse_rate_range(text, "--x")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"problem_id": "toy/1", "acc": 7}, r"rates\.jsonl:1: acc is 7\.0; it must lie between 0 and 1"),
        ({"problem_id": "toy/1"}, r"rates\.jsonl:1: needs a text problem_id and one of"),
    ],
)
def test_a_bad_pass_rate_is_named(data: Path, tmp_path: Path, line: dict, message: str) -> None:
    rates = write_jsonl(tmp_path / "rates.jsonl", [line])
    with pytest.raises(DataError, match=message):
        mix(MixOptions(shares={"a": 1}, data=data, out=tmp_path / "m", pass_rates=rates))


def test_a_dataset_that_was_not_prepared_is_named_with_the_command(data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="c does not exist; prepare it first: verl-coder data prepare c"):
        mix(MixOptions(shares={"c": 1}, data=data, out=tmp_path / "m"))
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("text", ["mbpp=two", "mbpp=0", "mbpp=2", "mbpp=1,mbpp=1", ""])
def test_a_share_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(DataError, match="--mix"):
        parse_shares(text)


def test_shares_are_parsed() -> None:
    assert parse_shares("mbpp=1, apps=0.5,kodcode") == {"mbpp": 1.0, "apps": 0.5, "kodcode": 1.0}


def test_rows_come_in_the_order_of_their_ranks_whatever_the_buckets(tmp_path: Path) -> None:
    ranks = [((n * 37) % 100) / 100 for n in range(100)]
    for buckets in (1, 7):
        with Shuffler(tmp_path, bytes_in=buckets, bucket_bytes=1) as shuffler:
            for rank in ranks:
                shuffler.add(rank, {"rank": rank})
            assert [row["rank"] for row in shuffler.rows()] == sorted(ranks)
    assert list(tmp_path.iterdir()) == []


def test_a_misspelt_dataset_is_answered_with_the_one_that_is_there(data: Path, tmp_path: Path) -> None:
    (data / "humaneval").mkdir()
    with pytest.raises(DataError, match=r"humanevl does not exist; did you mean humaneval\?"):
        mix(MixOptions(shares={"humanevl": 1}, data=data, out=tmp_path / "mix"))


def test_a_mix_never_takes_the_place_of_a_dataset_that_it_is_made_of(data: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in (data / "a").iterdir()}
    with pytest.raises(DataError, match="is the folder of a, whose rows the mix would replace"):
        mix(MixOptions(shares={"b": 1, "a": 1}, data=data, out=data / "b" / ".." / "a"))
    assert {path: path.read_bytes() for path in (data / "a").iterdir()} == before


def test_pass_rates_of_other_problems_alone_are_refused_and_nothing_is_written(
    data: Path, tmp_path: Path
) -> None:
    rates = write_jsonl(tmp_path / "rates.jsonl", [{"problem_id": "other/1", "pass_rate": 0.5}])
    with pytest.raises(DataError, match="has rates of 1 problem, none of them in the mix"):
        mix(MixOptions(shares={"a": 1}, data=data, out=tmp_path / "mix", pass_rates=rates))
    assert not (tmp_path / "mix").exists()


def test_a_file_in_the_place_of_the_mix_is_named(data: Path, tmp_path: Path) -> None:
    (tmp_path / "mix").write_text("")
    for place in ("mix", "mix/deeper"):
        with pytest.raises(ConfigError, match="is a file: name another folder"):
            mix(MixOptions(shares={"a": 1}, data=data, out=tmp_path / place))
