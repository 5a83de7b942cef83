"""Verification with real programs in a real sandbox: what is dropped, why, and what is not run twice."""

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from failing_sandbox import failing_sandbox

from tests.data.conftest import toy_record, write_jsonl
from verl_coder.data import parallel_verification
from verl_coder.data.dataset import Dataset, LoadOptions, dataset_files, load_dataset_file
from verl_coder.data.prepared import iter_rows, resolve_prepared
from verl_coder.data.recheck import recheck
from verl_coder.data.verification import VerifyOptions, verify_problem
from verl_coder.errors import ConfigError, DataError, SandboxUnavailableError
from verl_coder.problems import Problem, PytestTests
from verl_coder.sandbox import SandboxClient
from verl_coder.sandbox.embedded import EmbeddedSandbox

FLAKY = "import os\n\ndef f(x):\n    return x + (os.urandom(8)[0] % 2) * (os.urandom(8)[0] % 2)\n"


@pytest.fixture(scope="module")
def sandbox_url() -> Iterator[str]:
    with EmbeddedSandbox() as server:
        yield server.url


def rejected(folder: Path) -> dict[str, tuple[str, str]]:
    rows = pq.read_table(folder / "rejected.parquet").to_pylist()
    return {row["problem_id"]: (row["reason"], row["message"]) for row in rows}


def test_references_that_fail_hang_crash_or_are_missing_are_dropped_with_the_reason(
    prepare_toy, tmp_path: Path, sandbox_url: str
) -> None:
    records = [
        toy_record(1),
        toy_record(2, code="def f(x):\n    return x\n"),
        toy_record(3, code=""),
        toy_record(4, code="def f(x:\n"),
        toy_record(5, code="def f(x):\n    while True: pass\n", tests=["assert f(1) == 6"], timeout_s=0.5),
        toy_record(6, tests=["assert f(1) =="]),
    ]
    source = write_jsonl(tmp_path / "raw.jsonl", records)
    result = prepare_toy(source, verify=VerifyOptions(sandbox_url=sandbox_url))
    assert sum(file.rows for file in result.files) == 1
    found = rejected(tmp_path / "out")
    assert found["toy/2"][0] == "failed" and "0/2 tests passed" in found["toy/2"][1]
    assert found["toy/3"][0] == "no_reference"
    assert found["toy/4"][0] == "error" and "SyntaxError" in found["toy/4"][1]
    assert found["toy/5"][0] == "timeout"
    assert found["toy/6"][0] in ("bad_tests", "error")


def test_a_reference_whose_runs_differ_is_flaky(prepare_toy, tmp_path: Path, sandbox_url: str) -> None:
    tests = ["assert f(0) == 0"]
    records = [toy_record(n, code=FLAKY + f"# {n}\n", tests=tests) for n in range(40)] + [toy_record(99)]
    prepare_toy(write_jsonl(tmp_path / "raw.jsonl", records), verify=VerifyOptions(sandbox_url=sandbox_url))
    flaky = [message for reason, message in rejected(tmp_path / "out").values() if reason == "flaky"]
    # Each run fails with probability 1/4, so two differ with 3/8: none of 40 is 1e-8.
    assert flaky and all(message.startswith("two runs differ") for message in flaky)


def test_tests_that_a_constant_passes_are_flagged_and_dropped_when_asked(
    prepare_toy, tmp_path: Path, sandbox_url: str
) -> None:
    weak = toy_record(7, tests=["assert f(1) is not False"])
    none = toy_record(8, code="def f(x):\n    return None\n", tests=["assert f(1) is None"])
    source = write_jsonl(tmp_path / "raw.jsonl", [toy_record(1), weak, none])
    options = VerifyOptions(sandbox_url=sandbox_url)
    result = prepare_toy(source, verify=options)
    assert set(result.trivial) == {"toy/7", "toy/8"} and "returns None" in result.trivial["toy/8"]
    card = json.loads((tmp_path / "out" / "card.json").read_text())
    assert card["counts"]["trivial_tests"] == 2 and card["counts"]["written"] == 3
    result = prepare_toy(source, verify=options, drop_trivial=True)
    assert sum(file.rows for file in result.files) == 1
    assert rejected(tmp_path / "out")["toy/7"][0] == "trivial"


def test_a_second_run_verifies_only_what_changed(prepare_toy, tmp_path: Path, sandbox_url: str) -> None:
    records = [toy_record(n) for n in range(10)]
    source = write_jsonl(tmp_path / "raw.jsonl", records)
    options = VerifyOptions(sandbox_url=sandbox_url)
    prepare_toy(source, verify=options)
    lines = (tmp_path / "out" / "verdicts.jsonl").read_text().splitlines()
    assert len(lines) == 10
    first = (tmp_path / "out" / "train.parquet").read_bytes()
    prepare_toy(source, verify=options)
    assert (tmp_path / "out" / "verdicts.jsonl").read_text().splitlines() == lines
    assert (tmp_path / "out" / "train.parquet").read_bytes() == first
    records[3]["tests"].append("assert f(9) == 12")
    prepare_toy(write_jsonl(source, records), verify=options)
    assert (tmp_path / "out" / "verdicts.jsonl").read_text().splitlines()[:-1] == lines


def test_a_reference_too_slow_for_the_time_limit_is_left_out_of_training_alone(
    prepare_toy, tmp_path: Path, sandbox_url: str
) -> None:
    slow = "import time\n\ndef f(x):\n    time.sleep(1.2)\n    return x + 3\n"
    folder = tmp_path / "raw"
    write_jsonl(folder / "train.jsonl", [toy_record(1), toy_record(3, code=slow, tests=["assert f(1) == 4"])])
    write_jsonl(folder / "test.jsonl", [toy_record(4, code=slow, tests=["assert f(1) == 4"])])
    options = VerifyOptions(sandbox_url=sandbox_url)
    result = prepare_toy(folder, verify=options, validation_fraction=0.0, train_time_limit_s=0.6)
    assert [(file.path.name, file.rows) for file in result.files] == [
        ("train.parquet", 1),
        ("test.parquet", 1),
    ]
    [(problem, (reason, message))] = rejected(tmp_path / "out").items()
    assert (problem, reason) == ("toy/3", "timeout") and "no answer within 0.6 s" in message
    card = json.loads((tmp_path / "out" / "card.json").read_text())
    assert card["counts"]["rejected"] == {"timeout": 1} and card["counts"]["train_time_limited"] == 1


def test_another_time_limit_verifies_the_training_rows_alone_again(
    prepare_toy, tmp_path: Path, sandbox_url: str
) -> None:
    source = write_jsonl(tmp_path / "raw.jsonl", [toy_record(n) for n in range(12)])
    options = VerifyOptions(sandbox_url=sandbox_url)
    verdicts, card = tmp_path / "out" / "verdicts.jsonl", tmp_path / "out" / "card.json"
    prepare_toy(source, verify=options)
    training = pq.read_metadata(tmp_path / "out" / "train.parquet").num_rows
    assert 0 < training < 12
    for limit_s, known, there in ((1.5, 12 - training, 12 + training), (None, 12, 12 + training)):
        prepare_toy(source, verify=options, train_time_limit_s=limit_s)
        assert json.loads(card.read_text())["verdicts_from_cache"] == known
        assert len(verdicts.read_text().splitlines()) == there


def test_an_interrupted_run_goes_on_where_it_stopped(prepare_toy, tmp_path: Path) -> None:
    source = write_jsonl(tmp_path / "raw.jsonl", [toy_record(n) for n in range(12)])
    with EmbeddedSandbox() as server:
        prepare_toy(source, verify=VerifyOptions(sandbox_url=server.url), limit=5)
    before = (tmp_path / "out" / "train.parquet").read_bytes()
    with (
        failing_sandbox() as url,
        pytest.raises(SandboxUnavailableError, match="the same command goes on from there"),
    ):
        prepare_toy(source, verify=VerifyOptions(sandbox_url=url))
    with pytest.raises(ConfigError, match=f"^--sandbox-url: no sandbox answers at {url}"):
        prepare_toy(source, verify=VerifyOptions(sandbox_url=url))
    assert (tmp_path / "out" / "train.parquet").read_bytes() == before
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]
    with EmbeddedSandbox() as server:
        prepare_toy(source, verify=VerifyOptions(sandbox_url=server.url))
    card = json.loads((tmp_path / "out" / "card.json").read_text())
    assert card["verdicts_from_cache"] == 5 and card["counts"]["written"] == 12


def test_problems_larger_than_the_memory_for_them_are_verified_one_by_one(
    prepare_toy, tmp_path: Path, sandbox_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel_verification, "MAX_PENDING_BYTES", 1)
    source = write_jsonl(tmp_path / "raw.jsonl", [toy_record(n) for n in range(6)])
    result = prepare_toy(source, verify=VerifyOptions(sandbox_url=sandbox_url))
    assert sum(file.rows for file in result.files) == 6


def test_written_files_can_be_verified_again(prepare_toy, tmp_path: Path, sandbox_url: str) -> None:
    records = [toy_record(n) for n in range(9)]
    records[4]["code"] = "def f(x):\n    return 0\n"
    prepare_toy(write_jsonl(tmp_path / "raw.jsonl", records), tmp_path / "a")
    result = recheck(resolve_prepared(tmp_path / "a"), tmp_path / "b", VerifyOptions(sandbox_url=sandbox_url))
    assert [rejection.problem_id for rejection in result.rejections] == ["toy/4"]
    assert sum(file.rows for file in result.files) == 8
    kept = [path.name for path in resolve_prepared(tmp_path / "b")]
    assert kept == [path.name for path in resolve_prepared(tmp_path / "a")]


def test_a_file_whose_name_has_brackets_can_be_verified(
    prepare_toy, tmp_path: Path, sandbox_url: str
) -> None:
    prepare_toy(write_jsonl(tmp_path / "raw.jsonl", [toy_record(1)]), tmp_path / "a", validation_fraction=0.0)
    path = (tmp_path / "a" / "train.parquet").rename(tmp_path / "x[1].parquet")
    result = recheck([path], tmp_path / "b", VerifyOptions(sandbox_url=sandbox_url))
    assert [file.path for file in result.files] == [tmp_path / "b" / "x[1].parquet"]


def test_shards_of_which_one_has_no_row_that_passes_stay_whole(
    prepare_toy, tmp_path: Path, sandbox_url: str
) -> None:
    records = [toy_record(n) for n in range(6)]
    for record in records[2:4]:
        record["code"] = "def f(x):\n    return 0\n"
    source = write_jsonl(tmp_path / "raw.jsonl", records)
    prepare_toy(source, tmp_path / "a", validation_fraction=0.0, rows_per_shard=2)
    recheck(resolve_prepared(tmp_path / "a"), tmp_path / "b", VerifyOptions(sandbox_url=sandbox_url))
    kept = resolve_prepared(tmp_path / "b")
    assert [pq.read_metadata(path).num_rows for path in kept] == [2, 0, 2]
    assert [row["extra_info"]["problem_id"] for path in kept for row in iter_rows(path)] == [
        f"toy/{n}" for n in (0, 1, 4, 5)
    ]


def test_rows_that_are_verified_again_keep_their_time_limits(
    prepare_toy, tmp_path: Path, sandbox_url: str
) -> None:
    source = write_jsonl(tmp_path / "raw.jsonl", [toy_record(n) for n in range(12)])
    prepare_toy(source, tmp_path / "a", train_time_limit_s=1.5)
    recheck(resolve_prepared(tmp_path / "a"), tmp_path / "b", VerifyOptions(sandbox_url=sandbox_url))
    for split, limit_s in (("train", 1.5), ("validation", 2.0)):
        before, after = (pq.read_table(tmp_path / out / f"{split}.parquet").to_pylist() for out in "ab")
        assert after == before
        assert {Problem.from_row(row).tests.timeout_s for row in after} == {limit_s}


def test_files_of_one_name_are_not_verified_into_one(prepare_toy, tmp_path: Path, sandbox_url: str) -> None:
    source = write_jsonl(tmp_path / "raw.jsonl", [toy_record(n) for n in range(6)])
    for name in ("a", "b"):
        prepare_toy(source, tmp_path / name)
    paths = [path for name in ("a", "b") for path in resolve_prepared(tmp_path / name)]
    with pytest.raises(DataError, match=r"/a/.*parquet and .*/b/.*parquet have one name"):
        recheck(paths, tmp_path / "out", VerifyOptions(sandbox_url=sandbox_url))
    assert not (tmp_path / "out").exists()


def test_a_file_of_which_no_row_passes_any_more_does_not_stay(
    prepare_toy, tmp_path: Path, sandbox_url: str
) -> None:
    good, bad = toy_record(0), {**toy_record(1), "code": "def f(x):\n    return 0\n"}
    options, out = VerifyOptions(sandbox_url=sandbox_url), tmp_path / "out"
    for name, records in (("one", [good]), ("two", [toy_record(1)])):
        prepare_toy(write_jsonl(tmp_path / f"{name}.jsonl", records), tmp_path / name)
    files = []
    for name in ("one", "two"):
        (found,) = resolve_prepared(tmp_path / name)
        files.append(found.rename(tmp_path / f"{name}.parquet"))
    recheck(files, out, options)
    assert (out / "two.parquet").is_file()
    prepare_toy(write_jsonl(tmp_path / "two.jsonl", [bad]), tmp_path / "two")
    (found,) = resolve_prepared(tmp_path / "two")
    found.replace(files[1])
    recheck(files, out, options)
    assert (out / "one.parquet").is_file() and not (out / "two.parquet").exists()


def test_a_row_that_is_kept_is_what_it_was_and_its_index_its_place(
    prepare_toy, tmp_path: Path, sandbox_url: str
) -> None:
    source = write_jsonl(tmp_path / "raw.jsonl", [toy_record(n) for n in range(3)])
    prepare_toy(source, tmp_path / "a", validation_fraction=0.0)
    path = tmp_path / "a" / "train.parquet"
    rows = pq.read_table(path).to_pylist()
    for row in rows:
        row |= {"ability": "algebra", "weight": 0.5}
        row["extra_info"]["note"] = "of others"
    rows[1]["extra_info"]["reference_solution"] = "def f(x):\n    return 0\n"
    pq.write_table(pa.Table.from_pylist(rows), path)
    result = recheck([path], tmp_path / "b", VerifyOptions(sandbox_url=sandbox_url))
    kept = pq.read_table(tmp_path / "b" / "train.parquet").to_pylist()
    assert kept == [rows[0], rows[2] | {"extra_info": {**rows[2]["extra_info"], "index": 1}}]
    card = json.loads((tmp_path / "b" / "card.json").read_text())
    assert card["verified"] == [str(path.resolve())] and card["counts"]["rejected"] == {"failed": 1}
    assert [file["sha256"] for file in card["files"]] == [file.sha256 for file in result.files]


def test_verified_rows_take_the_place_of_no_others(prepare_toy, tmp_path: Path, sandbox_url: str) -> None:
    options = VerifyOptions(sandbox_url=sandbox_url)
    for name, numbers in (("a", range(6)), ("b", range(10, 16))):
        source = write_jsonl(tmp_path / f"{name}.jsonl", [toy_record(n) for n in numbers])
        prepare_toy(source, tmp_path / name, validation_fraction=0.0)
    before = (tmp_path / "b" / "train.parquet").read_bytes()
    of_a = resolve_prepared(tmp_path / "a")
    with pytest.raises(DataError, match=r"holds train\.parquet, which is of the dataset toy \(--source"):
        recheck(of_a, tmp_path / "b", options)
    with pytest.raises(ConfigError, match=r"^--out .*train\.parquet is the file of FILE, too"):
        recheck(of_a, tmp_path / "a", options)
    assert (tmp_path / "b" / "train.parquet").read_bytes() == before
    for _ in range(2):
        recheck(of_a, tmp_path / "verified", options)
    with pytest.raises(DataError, match=r"which `data verify` has written of .*/a/train\.parquet"):
        recheck(resolve_prepared(tmp_path / "b"), tmp_path / "verified", options)


EXAMPLES = [
    pytest.param(name, variant, id=f"{name}-{variant}")
    for name in dataset_files()
    if isinstance(dataset := load_dataset_file(name), Dataset)
    for variant in dataset.example_records
]


@pytest.mark.parametrize(("name", "variant"), EXAMPLES)
async def test_the_example_record_of_each_dataset_is_graded_as_its_style_says(
    name: str, variant: str, sandbox_url: str
) -> None:
    dataset = load_dataset_file(name)
    options = LoadOptions(variant=variant)
    draft = dataset.to_draft(dataset.example_records[variant], "train", options)
    problem = draft.problems(data_source=name, split="train", options=options)[0]
    if isinstance(problem.tests, PytestTests):
        pytest.importorskip("pytest")
    async with SandboxClient(sandbox_url) as client:
        verdict = await verify_problem(problem, client)
    expected = "passed" if draft.references else "no_reference"
    assert (verdict.status, verdict.message) == (
        expected,
        "" if draft.references else verdict.message,
    )
    assert not verdict.trivial
