"""`verl-coder compare` on folders of evaluations."""

import json
from pathlib import Path

import pytest
from evaluation.test_samples import make_sample
from typer.testing import CliRunner

from verl_coder.errors import ConfigError, DataError
from verl_coder.evaluation.compare import app, compare_all, setting_differences
from verl_coder.evaluation.samples import write_samples


def make_evaluation(folder: Path, right: int, *, problems: int = 50, n: int = 2) -> Path:
    folder.mkdir(parents=True)
    write_samples(
        folder / "samples.parquet",
        [
            make_sample(f"p/{problem}", number, outcome="passed" if problem < right else "failed")
            for problem in range(problems)
            for number in range(n)
        ],
    )
    settings = {"model": folder.name, "n": n}
    (folder / "evaluation_results.json").write_text(json.dumps({"settings": settings}))
    return folder


def test_each_evaluation_is_held_against_the_first(tmp_path: Path) -> None:
    folders = [make_evaluation(tmp_path / name, right) for name, right in (("a", 20), ("b", 40), ("c", 21))]
    better, same = compare_all(folders)
    assert (better.second, better.rates, len(better.won), better.lost) == ("b", (0.4, 0.8), 20, ())
    assert better.significant and better.adjusted_p_value == 2 * better.p_value
    assert not same.significant


def test_the_command_says_it_in_words_and_writes_it_down(tmp_path: Path) -> None:
    folders = [make_evaluation(tmp_path / name, right) for name, right in (("base", 20), ("trained", 40))]
    result = CliRunner().invoke(app, [*map(str, folders), "--out", str(tmp_path / "c.json")])
    assert result.exit_code == 0
    assert "settings that differ:\n  model: " in result.output
    assert "trained is 40.0 points better than base" in result.output and "won: p/20" in result.output
    record = json.loads((tmp_path / "c.json").read_text())
    assert record["comparisons"][0]["verdict"].startswith("trained is 40.0 points better")
    assert record["settings"] == {"model": ["base", "trained"]}


def test_each_row_is_of_the_problems_that_its_two_have_in_common(tmp_path: Path) -> None:
    a, b, c = (tmp_path / name for name in "abc")
    make_evaluation(a, 5, problems=10, n=1)
    make_evaluation(b, 6, problems=10, n=1)
    c.mkdir()
    write_samples(c / "samples.parquet", [make_sample(f"p/{problem}", 0) for problem in (8, 9, 10)])
    result = CliRunner().invoke(app, [*map(str, (a, b, c)), "--out", str(tmp_path / "c.json")])
    rows = {line.split()[1]: line.split("│")[2:6] for line in result.output.splitlines() if line[:1] == "│"}
    assert [cell.split()[0] for cell in rows["b"]] == ["10", "0.500", "0.600", "+0.100"]
    assert [cell.split()[0] for cell in rows["c"]] == ["2", "0.000", "1.000", "+1.000"]
    assert "left out, since the other one lacks them: 8 of the 10 of a, 1 of the 3 of c" in result.output
    assert result.output.count("left out") == 1
    assert result.output.count("p-value: exact, over all ways to deal") == 2
    record = json.loads((tmp_path / "c.json").read_text())
    assert record["comparisons"][1]["problems_of_each"] == [10, 3]


def test_folders_of_one_name_are_told_apart_by_their_parents(tmp_path: Path) -> None:
    folders = [make_evaluation(tmp_path / name / "eval", 3) for name in ("x", "y")]
    (found,) = compare_all(folders)
    assert (found.first, found.second) == ("x/eval", "y/eval")
    assert set(setting_differences(folders)) == set()


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    first = make_evaluation(tmp_path / "a", 3, problems=4)
    other = tmp_path / "other"
    other.mkdir()
    write_samples(other / "samples.parquet", [make_sample("q/1")])
    with pytest.raises(DataError, match="no problem in common"):
        compare_all([first, other])
    with pytest.raises(DataError, match=r"holds no samples\.parquet"):
        compare_all([first, tmp_path])
    with pytest.raises(ConfigError, match=f"{other} is named twice"):
        compare_all([first, other, other])


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff", b"{}", b'{"settings": 3}'])
def test_results_that_are_none_are_one_line(tmp_path: Path, content: bytes) -> None:
    folders = [make_evaluation(tmp_path / name, 3) for name in "ab"]
    (folders[1] / "evaluation_results.json").write_bytes(content)
    with pytest.raises(ConfigError, match=r"b/evaluation_results\.json .*writes it again") as error:
        setting_differences(folders)
    assert "\n" not in str(error.value)


def test_names_are_shown_as_they_are(tmp_path: Path) -> None:
    folders = [make_evaluation(tmp_path / name, right) for name, right in (("base", 20), ("[red]x", 40))]
    result = CliRunner().invoke(app, [*map(str, folders), "--out", str(tmp_path / "c[1].json")])
    assert result.exit_code == 0 and "[red]x is 40.0 points better" in result.output
    assert "[red]x" in next(line for line in result.output.splitlines() if line[:1] == "│")
    assert "c[1].json" in result.output


def test_an_evaluation_without_results_has_settings_that_are_not_known(tmp_path: Path) -> None:
    folders = [make_evaluation(tmp_path / name, right) for name, right in (("a", 20), ("b", 40), ("c", 30))]
    (folders[1] / "evaluation_results.json").unlink()
    assert setting_differences(folders) == {"model": ["a", None, "c"]}
    assert setting_differences(folders[:2]) == {}
    result = CliRunner().invoke(app, [*map(str, folders[:2])])
    assert "b has no evaluation_results.json: its settings are not known" in result.output


def test_a_sample_that_stands_in_a_file_twice_does_not_count_twice(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    for folder, outcome in ((a, "failed"), (b, "passed")):
        folder.mkdir()
        write_samples(folder / "samples.parquet", [make_sample("p/1", 0, outcome=outcome)] * 8)
    with pytest.raises(DataError, match=r"samples\.parquet .*sample 0 of p/1 stands there twice"):
        compare_all([a, b])


@pytest.mark.parametrize("name", ["samples.parquet", "evaluation_results.json", "samples.jsonl"])
def test_no_file_of_an_evaluation_is_overwritten(tmp_path: Path, name: str) -> None:
    folders = [make_evaluation(tmp_path / name, right) for name, right in (("a", 20), ("b", 40))]
    before = sorted((path, path.read_bytes()) for path in tmp_path.glob("*/*"))
    done = CliRunner().invoke(app, [*map(str, folders), "--out", str(folders[1] / name)])
    assert isinstance(done.exception, ConfigError) and "give it a place of its own" in str(done.exception)
    assert sorted((path, path.read_bytes()) for path in tmp_path.glob("*/*")) == before


def test_a_folder_may_be_named_by_its_samples(tmp_path: Path) -> None:
    folders = [make_evaluation(tmp_path / name, right) for name, right in (("a", 20), ("b", 40))]
    out = tmp_path / "c.json"
    done = CliRunner().invoke(app, [*(f"{folder}/samples.parquet" for folder in folders), "--out", str(out)])
    assert done.exit_code == 0, done.output
    record = json.loads(out.read_text())
    assert (record["comparisons"][0]["first"], record["settings"]) == ("a", {"model": ["a", "b"]})
