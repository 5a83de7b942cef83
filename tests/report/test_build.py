from pathlib import Path
from typing import Any

import pytest
from report.folders import read_script, write_evaluation, write_run, write_step

from verl_coder.errors import ConfigError
from verl_coder.report.build import Report, write_report
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


def test_folders_of_one_name_are_told_apart(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / name / "run") for name in ("a", "b")]
    assert [one.name for one in find_inputs(runs)] == ["a/run", "b/run"]


def test_what_is_no_run_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for path, words in ((tmp_path / "empty", "neither a training run"), (tmp_path / "none", "is no folder")):
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
    with pytest.raises(ConfigError, match="No space left"):
        write_report(report, out)
    monkeypatch.undo()
    assert site_of(out) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "run"]
    write_report(report, out)
    assert (out / "index.html").is_file()


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
