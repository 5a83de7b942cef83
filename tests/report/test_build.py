import multiprocessing
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from report.folders import read_script, write_comparison, write_evaluation, write_run, write_step

from verl_coder.errors import ConfigError, FileWriteError
from verl_coder.report.build import MARKER, Report, watched, write_report
from verl_coder.report.inputs import find_inputs


def site_of(folder: Path, name: str = "site") -> dict[str, Any]:
    return read_script(folder / "data" / f"{name}.js", name)


def test_runs_and_evaluations_stand_in_one_report(tmp_path: Path) -> None:
    run, evaluation = write_run(tmp_path / "run"), write_evaluation(tmp_path / "evaluation")
    page = write_report(Report(find_inputs([run, evaluation])), tmp_path / "out")
    site, index = site_of(page.parent), site_of(page.parent, "index")
    assert [(one["kind"], one["trajectories"]) for one in site["runs"]] == [
        ("training", 27),
        ("evaluation", 8),
    ]
    assert index["rows"] == 35 == sum(count for _, count in index["chunks"])
    assert site["runs"][1]["pass_at_k"]["1"] == {"value": 0.5, "low": 0.4, "high": 0.6}
    assert [row["name"] for row in site["runs"][1]["groups"]["difficulty"]] == ["easy", "hard"]
    assert site["runs"][1]["counts"]["outcomes"] == {"failed": 6, "passed": 2}
    assert all(one["missing"] == [] for one in site["runs"])


def test_a_folder_of_runs_is_all_of_them_and_an_ablation_has_its_table(tmp_path: Path) -> None:
    for arm, gain in (("grpo", 0.1), ("all", 0.2)):
        for seed in (0, 1):
            write_run(tmp_path / "runs" / f"{arm}-seed{seed}", lr=gain + seed / 100)
    (tmp_path / "runs" / "notes").mkdir()
    page = write_report(Report(find_inputs([tmp_path / "runs"])), tmp_path / "out")
    rows = site_of(page.parent)["ablation"]
    assert [(row["arm"], row["seeds"]) for row in rows] == [("base", 2), ("all", 2), ("grpo", 2)]
    assert rows[1]["pass_at_1"][0] == pytest.approx(0.805)


def test_a_comparison_beside_evaluations_is_shown_of_those_that_the_report_shows(tmp_path: Path) -> None:
    folders = [write_evaluation(tmp_path / "evaluate" / name) for name in ("base", "sft", "other")]
    write_comparison(tmp_path / "evaluate", ("base", "sft"), ("evaluate/base", "evaluate/other"))
    write_report(Report(find_inputs(folders[:2])), tmp_path / "out")
    (shown,) = site_of(tmp_path / "out")["comparisons"]
    assert shown["path"].endswith("evaluate/comparison.json") and shown["missing"] == []
    (row,) = shown["rows"]
    assert (row["first"], row["second"], row["won"], row["lost"]) == ("base", "sft", 1, 0)
    assert (row["before"], row["after"], row["difference"], row["low"]) == (0.5, 0.6, 0.1, -0.05)
    assert row["p_value"] == 0.0000348
    write_report(Report(find_inputs(folders)), tmp_path / "all")
    assert len(site_of(tmp_path / "all")["comparisons"][0]["rows"]) == 2


@pytest.mark.parametrize(
    ("values", "low", "rows"),
    [({"interval": None}, None, 1), ({"interval": [1]}, None, 1), ({"difference": "x"}, None, 0)],
)
def test_a_comparison_shows_what_can_be_read_of_it(
    tmp_path: Path, values: dict[str, Any], low: float | None, rows: int
) -> None:
    folders = [write_evaluation(tmp_path / name) for name in ("a", "b")]
    write_comparison(tmp_path, ("a", "b"), **values)
    write_report(Report(find_inputs(folders)), tmp_path / "out")
    shown = [row for one in site_of(tmp_path / "out")["comparisons"] for row in one["rows"]]
    assert [row["low"] for row in shown] == [low] * rows


def test_a_comparison_of_other_samples_is_not_shown_but_named(tmp_path: Path) -> None:
    folders = [write_evaluation(tmp_path / name) for name in ("a", "b")]
    write_comparison(tmp_path, ("a", "b"))
    shutil.rmtree(folders[1])
    write_evaluation(folders[1], turns=2)
    write_report(Report(find_inputs(folders)), tmp_path / "out")
    (shown,) = site_of(tmp_path / "out")["comparisons"]
    assert shown["rows"] == [] and "b was held against a with other samples" in shown["missing"][0]


def test_a_broken_comparison_is_named(tmp_path: Path) -> None:
    folders = [write_evaluation(tmp_path / name) for name in ("a", "b")]
    (tmp_path / "comparison.json").write_text("{")
    write_report(Report(find_inputs(folders)), tmp_path / "out")
    (shown,) = site_of(tmp_path / "out")["comparisons"]
    assert shown["rows"] == [] and shown["missing"][0].startswith("comparison.json cannot be read")


def test_folders_of_one_name_are_told_apart(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name / "run") for name in ("a", "b")]
    assert [one.name for one in find_inputs(runs)] == ["a/run", "b/run"]


def test_what_is_no_run_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path, words in (
        (tmp_path / "empty", "neither a training run"),
        (tmp_path / "none", "no such folder"),
    ):
        with pytest.raises(ConfigError, match=words) as error:
            find_inputs([path])
        assert "\n" not in str(error.value)


def test_a_foreign_folder_is_never_replaced(tmp_path: Path) -> None:
    report = Report(find_inputs([write_run(tmp_path / "run")]))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(ConfigError, match="is no report"):
        write_report(report, tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_a_report_is_replaced_whole_or_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = Report(find_inputs([write_run(tmp_path / "run")]))
    out = tmp_path / "out"
    write_report(report, out)
    before = site_of(out)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Report, "write_data", full)
    with pytest.raises(
        FileWriteError, match=r"/out cannot be written \(No space left on device\): make room"
    ):
        write_report(report, out)
    monkeypatch.undo()
    assert site_of(out) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"]
    write_report(report, out)
    assert (out / "index.html").is_file()


def is_whole(out: Path) -> bool:
    """Whether a report has its page, its marker and each chunk that its index names, and no other."""
    named = {f"{name}.js" for name, _ in site_of(out, "index")["chunks"]}
    there = {str(path.relative_to(out / "data")) for path in (out / "data").glob("*/*.js")}
    return (out / "index.html").is_file() and (out / MARKER).is_file() and named == there


def test_a_report_that_begins_and_ends_within_another_one_damages_neither(tmp_path: Path) -> None:
    runs, out = [write_run(tmp_path / name) for name in ("a", "b")], tmp_path / "out"
    within: list[bool] = []

    def another(text: str) -> None:
        if text.startswith("b:") and not within:
            write_report(Report(find_inputs(runs[:1])), out)
            within.append(is_whole(out))

    write_report(Report(find_inputs(runs), say=another), out)
    assert within == [True] and is_whole(out) and len(site_of(out)["runs"]) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "out"]


def _write_often(runs: list[Path], out: Path) -> None:
    report = Report(find_inputs(runs))
    for _ in range(8):
        write_report(report, out)


def test_two_processes_that_write_one_report_leave_a_whole_one(tmp_path: Path) -> None:
    runs, out = [write_run(tmp_path / name) for name in ("a", "b")], tmp_path / "out"
    fork = multiprocessing.get_context("fork")
    children = [fork.Process(target=_write_often, args=(chosen, out)) for chosen in (runs, runs[:1])]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0] and is_whole(out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "out"]


def test_what_a_killed_report_left_goes_with_the_next_one(tmp_path: Path) -> None:
    run, out = write_run(tmp_path / "run"), tmp_path / "out"

    def die(text: str) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    report = Report(find_inputs([run]), say=die)
    child = multiprocessing.get_context("fork").Process(target=write_report, args=(report, out))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL and len(list(tmp_path.iterdir())) == 2
    write_report(Report(find_inputs([run])), out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"]


def test_a_report_that_is_watched_is_not_replaced(tmp_path: Path) -> None:
    report, out = Report(find_inputs([write_run(tmp_path / "run")])), tmp_path / "out"
    write_report(report, out)
    with watched(out), pytest.raises(ConfigError, match="kept up to date by a `verl-coder report --watch`"):
        write_report(report, out)
    write_report(report, out)
    assert is_whole(out)


@pytest.mark.parametrize("column", ["tags", "finish_reason", "outcome", "tests", "tool_calls", "problem_id"])
def test_a_column_of_another_kind_costs_what_it_would_have_shown(tmp_path: Path, column: str) -> None:
    folder = write_evaluation(tmp_path / "evaluation")
    table = pq.read_table(folder / "samples.parquet")
    for number, kind in enumerate((pa.array([1] * len(table)), pa.array([{"a": 1}] * len(table)))):
        place = table.column_names.index(column)
        pq.write_table(table.set_column(place, column, kind), folder / "samples.parquet")
        out = tmp_path / f"out{number}"
        write_report(Report(find_inputs([folder])), out)
        assert site_of(out)["runs"][0]["trajectories"] == 8


def test_only_new_files_of_samples_are_read_again(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    report, out = Report(find_inputs([run])), tmp_path / "out"
    write_report(report, out)
    chunk = out / "data" / "0" / "rollouts-000001-0.js"
    chunk.unlink()
    write_step(run, 3)
    report.write_data(out)
    assert not chunk.exists() and (out / "data" / "0" / "rollouts-000003-0.js").is_file()
    assert site_of(out, "index")["rows"] == 39


def test_broken_parts_are_named_and_the_rest_is_shown(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run / "config.yaml").write_text("a: [")
    (run / "summary.json").write_text("{")
    (run / "rollouts" / "1.jsonl").write_bytes(b"\x00\xff\n")
    write_report(Report(find_inputs([run])), tmp_path / "out")
    (shown,) = site_of(tmp_path / "out")["runs"]
    assert shown["trajectories"] == 15
    assert [note.split()[0].rstrip(":") for note in shown["missing"]] == [
        "summary.json",
        "config.yaml",
        "rollouts/1.jsonl",
    ]
