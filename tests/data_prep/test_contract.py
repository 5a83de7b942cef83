"""What every `data_prep/<dataset>.py` must do; a new file is picked up by the glob."""

import copy
import json
import re
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from verl_coder.data import RowError
from verl_coder.data.cli import app
from verl_coder.data.dataset import Dataset, LoadOptions, dataset_files, load_dataset_file
from verl_coder.errors import ConfigError, DataError
from verl_coder.problems import ROW_SCHEMA, Problem

GENERATORS = {"sample", "chains"}
"""Files that make their problems themselves, and so have no raw records."""

NAMES = [name for name in dataset_files() if name not in GENERATORS]
EXAMPLES = [
    pytest.param(name, variant, id=f"{name}-{variant}")
    for name in NAMES
    for variant in load_dataset_file(name).example_records
]


def load(name: str, variant: str, **changes: object) -> tuple[Dataset, list[Problem]]:
    dataset = load_dataset_file(name)
    options = LoadOptions(variant=variant, **changes)  # type: ignore[arg-type]
    draft = dataset.to_draft(dataset.example_records[variant], "train", options)
    return dataset, draft.problems(data_source=dataset.name, split=draft.split or "train", options=options)


def test_the_datasets_of_the_readme_are_there() -> None:
    assert {"mbpp", "apps", "leetcode", "kodcode", "humaneval", "livecodebench"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_defines_a_dataset_of_its_own_name_with_examples(name: str) -> None:
    dataset = load_dataset_file(name)
    assert dataset.name == name and dataset.license and dataset.sources
    assert dataset.example_records, "give an example record: it documents the columns"


@pytest.mark.parametrize(("name", "variant"), EXAMPLES)
def test_an_example_becomes_a_row_that_reads_back(name: str, variant: str) -> None:
    _, problems = load(name, variant)
    for problem in problems:
        assert len(problem.tests) > 0 and problem.problem_id.startswith((f"{name}/", f"{name}plus/"))
        assert Problem.from_row(problem.to_row()) == problem
        assert set(problem.to_row()) == set(ROW_SCHEMA.names)


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("protocol", ["none", "tool", "program", "program_one_shot"])
@pytest.mark.parametrize(("name", "variant"), EXAMPLES)
def test_no_hidden_test_is_in_any_prompt(name: str, variant: str, protocol: str, language: str) -> None:
    _, problems = load(name, variant, protocol=protocol, language=language, visible_tests=0)
    spec = json.loads(problems[0].tests.to_json())
    hidden = [spec.get("check"), spec.get("test"), *spec.get("tests", [])]
    for test in filter(None, hidden):
        text = test if isinstance(test, str) else json.dumps(test)
        for line in filter(str.strip, text.splitlines()):
            if "assert" in line or not isinstance(test, str):
                assert all(line.strip() not in message["content"] for message in problems[0].prompt)


@pytest.mark.parametrize(("name", "variant"), EXAMPLES)
def test_a_damaged_record_is_a_row_error_and_nothing_else(name: str, variant: str) -> None:
    dataset = load_dataset_file(name)
    options = LoadOptions(variant=variant)
    example = dict(dataset.example_records[variant])
    for column in example:
        for value in (None, 7, "", "{broken", [], {"a": 1}):
            record = {**copy.deepcopy(example), column: value}
            try:
                dataset.to_draft(record, "train", options)
            except RowError as error:
                assert "\n" not in str(error)
        record = {key: value for key, value in example.items() if key != column}
        try:
            dataset.to_draft(record, "train", options)
        except RowError as error:
            assert column in str(error) or "missing" in str(error)
    with pytest.raises(RowError, match="missing"):
        dataset.to_draft({"nothing": 1}, "train", options)


def prepare_help(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["prepare", *arguments, "--help"])
    assert done.exit_code == 0, done.output
    return done.output


def test_the_help_of_prepare_lists_every_file_and_nothing_else() -> None:
    listed = re.findall(r"^  ([\w-]+) +\S", prepare_help().partition("Commands:")[2], re.MULTILINE)
    assert listed == list(dataset_files())


@pytest.mark.parametrize(
    ("name", "offered", "left_out"),
    [
        ("mbpp", {"variant", "visible-tests", "verify", "train-time-limit"}, {"difficulty"}),
        ("apps", {"difficulty", "verify", "sandbox-url"}, {"variant", "visible-tests"}),
        ("kodcode", {"variant", "difficulty"}, {"visible-tests"}),
        ("humaneval", {"variant", "verify"}, {"difficulty", "visible-tests", "train-time-limit"}),
        (
            "livecodebench",
            {"difficulty"},
            {"verify", "no-verify", "drop-trivial", "ray-address", "train-time-limit"},
        ),
        ("sample", {"train", "val", "sft"}, {"source", "verify", "protocol"}),
        ("chains", {"train", "kinds", "depths", "wording"}, {"source", "verify", "protocol"}),
    ],
)
def test_a_dataset_offers_the_options_that_mean_something_for_it(
    name: str, offered: set[str], left_out: set[str]
) -> None:
    options = set(re.findall(r"--([\w-]+)", prepare_help(name)))
    assert offered <= options and not left_out & options


@pytest.mark.parametrize(("name", "variant"), EXAMPLES)
def test_the_time_limit_of_the_command_is_in_training_rows_alone(
    name: str, variant: str, tmp_path: Path
) -> None:
    dataset, [problem, *_] = load(name, variant)
    if not dataset.has_training_rows:
        assert problem.split == "test"
        return
    source = tmp_path / "raw.jsonl"
    source.write_text(json.dumps(dataset.example_records[variant]))
    command = ["prepare", name, "--source", source, "--out", tmp_path / "out", "--no-verify"]
    command += ["--variant", variant] if len(dataset.sources) > 1 else []
    command += ["--validation-fraction", "0", "--train-time-limit", "0.5"]
    done = CliRunner().invoke(app, [str(part) for part in command])
    assert done.exit_code == 0, done.output
    [path] = list((tmp_path / "out").glob("*.parquet"))
    [made] = [Problem.from_row(row) for row in pq.read_table(path).to_pylist()]
    assert made.tests.timeout_s == (0.5 if made.split == "train" else problem.tests.timeout_s)


def test_prepare_runs_a_file_that_makes_its_problems_itself(tmp_path: Path) -> None:
    arguments = ["prepare", "sample", "--out", str(tmp_path), "--train", "3", "--val", "2"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert pq.read_metadata(tmp_path / "train.parquet").num_rows == 3


@pytest.mark.parametrize("depths", ["-1", "0", "2 500", "7", "two", " "])
def test_chains_of_a_depth_that_there_is_not_are_refused(depths: str, tmp_path: Path) -> None:
    arguments = ["prepare", "chains", "--out", str(tmp_path / "out"), "--depths", depths]
    done = CliRunner().invoke(app, arguments)
    assert isinstance(done.exception, ConfigError)
    assert str(done.exception) == f"--depths {depths!r}: give whole numbers of 1 to 6, separated by spaces"
    assert not (tmp_path / "out").exists()


def test_prepare_takes_a_path_and_says_what_a_file_lacks(tmp_path: Path) -> None:
    copy = tmp_path / "mine.py"
    copy.write_text(dataset_files()["humaneval"].read_text())
    assert "Prepare humaneval" in prepare_help(str(copy))
    copy.write_text("")
    done = CliRunner().invoke(app, ["prepare", str(copy), "--help"])
    assert isinstance(done.exception, DataError) and "neither a DATASET" in str(done.exception)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_runs_as_a_script(name: str, tmp_path: Path) -> None:
    dataset = load_dataset_file(name)
    variant = dataset.default_variant if dataset.default_variant in dataset.example_records else None
    source = tmp_path / "raw.jsonl"
    source.write_text(json.dumps(dataset.example_records[variant or next(iter(dataset.example_records))]))
    out = tmp_path / "out"
    command = [sys.executable, dataset_files()[name], "--source", source, "--out", out]
    if dataset.has_references:
        command.append("--no-verify")
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    rows = [row for path in out.glob("*.parquet") for row in pq.read_table(path).to_pylist()]
    assert len(rows) == 1 and rows[0]["data_source"] == name
