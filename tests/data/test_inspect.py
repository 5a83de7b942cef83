"""`verl-coder data inspect`: numbers that can be checked, a page that needs nothing else."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from transformers import AutoTokenizer
from typer.testing import CliRunner

from tests.data.conftest import toy_record, write_jsonl
from verl_coder.data.cli import app
from verl_coder.data.statistics import collect, count_tests, token_counter
from verl_coder.errors import ConfigError, DataError
from verl_coder.paths import repository_root
from verl_coder.problems import AssertTests, CheckTests, Problem, PytestTests


@pytest.fixture
def folder(prepare_toy, tmp_path: Path) -> Path:
    records = [toy_record(n, tests=["assert f(1) == 1"] * (n % 4 + 1)) for n in range(60)]
    records[1]["text"] += " <script>alert(1)</script> [bold]"
    prepare_toy(write_jsonl(tmp_path / "raw.jsonl", records), tmp_path / "toy")
    return tmp_path / "toy"


def test_counts_and_distributions_are_those_of_the_rows(folder: Path) -> None:
    statistics = collect(sorted(folder.glob("*.parquet")))
    assert statistics.rows == 60 and statistics.splits.total() == 60
    assert statistics.difficulties == {"easy": 20, "medium": 20, "hard": 20}
    assert sorted(set(statistics.tests)) == [1, 2, 3, 4] and len(statistics.tests) == 60
    assert len(statistics.examples) == 3
    assert {one.split for one in statistics.examples} == set(statistics.splits)


def test_tests_are_counted_as_a_reader_counts_them() -> None:
    check = "def check(candidate):\n    assert candidate(1) == 1\n    assert candidate(2) == 2\n"
    assert count_tests(CheckTests(entry_point="f", check=check)) == 2
    assert count_tests(PytestTests(test="def test_a():\n    pass\n\ndef test_b():\n    pass\n")) == 2


def test_the_terminal_shows_counts_and_rows_as_they_are(folder: Path) -> None:
    done = CliRunner().invoke(app, ["inspect", str(folder), "--rows", "60"])
    assert done.exit_code == 0, done.output
    assert "60 rows" in done.output and "easy 20" in done.output
    assert "[bold]" in done.output and "toy/1 " in done.output


def test_the_page_is_self_contained_and_escapes_the_rows(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "page" / "index.html"
    done = CliRunner().invoke(app, ["inspect", str(folder), "--rows", "60", "--html", str(page)])
    assert done.exit_code == 0, done.output
    text = page.read_text()
    assert "<script" not in text and "&lt;script&gt;alert(1)" in text
    assert not re.search(r"(src|href)=", text)
    assert text.count("<svg") >= 4
    heights = [float(height) for height in re.findall(r'<rect [^>]*height="([\d.]+)"', text)]
    assert heights and min(heights) > 0


def test_rejected_rows_are_no_rows(folder: Path) -> None:
    (folder / "rejected.parquet").write_bytes(b"not read")
    assert CliRunner().invoke(app, ["inspect", str(folder)]).exit_code == 0


@pytest.mark.parametrize("content", [b"", b"PAR1 nonsense"])
def test_a_file_that_is_no_parquet_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.parquet"
    path.write_bytes(content)
    done = CliRunner().invoke(app, ["inspect", str(path)])
    assert isinstance(done.exception, DataError) and "broken.parquet is not a readable" in str(done.exception)


def test_a_missing_file_and_a_missing_tokenizer_are_named(folder: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["inspect", str(tmp_path / "nothing.parquet")])
    assert "nothing.parquet: no such Parquet file" in str(done.exception)
    done = CliRunner().invoke(app, ["inspect", str(folder), "--max-prompt-tokens", "10"])
    assert isinstance(done.exception, ConfigError) and "--tokenizer" in str(done.exception)


def test_what_is_no_tokenizer_is_said_without_asking_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.AutoTokenizer.from_pretrained", lambda *_: pytest.fail("it was asked"))
    with pytest.raises(ConfigError, match=r"--tokenizer nope: no such folder, and not a name on the hub"):
        token_counter("nope", None)
    with pytest.raises(ConfigError, match=r"holds no tokenizer \(tokenizer.json or .*name a model's folder"):
        token_counter(str(tmp_path), None)


@pytest.mark.parametrize("text", ["[1, 2]", "tools: 3", "tools: [{name: x}]", "a: [", "\x00"])
def test_a_yaml_that_holds_no_tools_is_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "tools.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"tools\.yaml holds no tools .*: name a file of tool_config/$"):
        token_counter(str(repository_root() / "src/verl_coder/tiny/base"), tmp_path / "tools.yaml")


def test_a_row_that_is_told_of_no_tools_is_counted_without_them(tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(repository_root() / "src/verl_coder/tiny/base")
    tokenizer.chat_template = "{% if tools %}def python{% endif %}" + tokenizer.chat_template
    tokenizer.save_pretrained(tmp_path)
    base = str(tmp_path)
    with_tools = token_counter(base, repository_root() / "tool_config/python_interpreter_quick.yaml")
    alone = token_counter(base, None)
    told = Problem(
        data_source="toy",
        problem_id="toy/1",
        prompt=({"role": "user", "content": "add two numbers"},),
        tests=AssertTests(tests=("assert f(1) == 1",)),
        split="train",
    )
    assert with_tools(told) > alone(told)
    for agent in ("program_agent", "single_turn_agent"):
        row = replace(told, agent_name=agent)
        assert with_tools(row) == alone(row)
