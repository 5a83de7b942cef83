"""The whole pipeline, killed in SFT and started again: see pipeline_run.py."""

import json
from pathlib import Path

import pytest
from e2e.pipeline_run import WholePipeline
from report.folders import read_script

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

TASKS = ["data/sample", "teacher", "sft", "train", "train/export"]
TASKS += ["evaluate/sft", "evaluate/trained", "evaluate/compare", "report"]


def words(shown: str) -> dict[str, str]:
    """Task -> run or skip, as the terminal showed it."""
    found = {}
    for line in shown.splitlines():
        parts = line.split()
        if len(parts) > 1 and parts[0] in TASKS and parts[1] in ("run", "skip"):
            found[parts[0]] = parts[1]
    return found


def test_a_kill_in_sft_repeats_no_stage_before_it(pipeline_run: WholePipeline) -> None:
    assert words(pipeline_run.killed) == {"data/sample": "run", "teacher": "run", "sft": "run"}
    assert words(pipeline_run.second) == {task: "skip" if task in TASKS[:2] else "run" for task in TASKS}
    assert "sft               run   goes on: start 1 did not end" in pipeline_run.second


def test_the_same_command_once_more_does_nothing(pipeline_run: WholePipeline) -> None:
    assert words(pipeline_run.third) == dict.fromkeys(TASKS, "skip"), pipeline_run.third


def test_every_stage_made_what_it_is_for(pipeline_run: WholePipeline) -> None:
    summary = json.loads((Path(pipeline_run.out) / "train" / "summary.json").read_text())
    assert summary["steps"] == 1
    assert (Path(pipeline_run.out) / "model" / "model.safetensors").stat().st_size > 1_000_000
    rates = json.loads((Path(pipeline_run.out) / "pipeline.json").read_text())["pass_at_1"]
    assert set(rates) == {"sft", "trained"}
    assert "pass@1: sft " in pipeline_run.second
    comparison = json.loads((Path(pipeline_run.out) / "evaluate" / "comparison.json").read_text())
    assert comparison["comparisons"][0]["problems"] == 8


def test_one_page_shows_all_of_it(pipeline_run: WholePipeline) -> None:
    site = json.dumps(read_script(Path(pipeline_run.out) / "report" / "data" / "site.js", "site"))
    assert f"page: {(Path(pipeline_run.out) / 'report' / 'index.html').as_uri()}" in pipeline_run.second
    for name in ("sft", "train", "evaluate/sft", "evaluate/trained"):
        assert str(Path(pipeline_run.out) / name) in site


def test_each_stage_has_a_log(pipeline_run: WholePipeline) -> None:
    assert sorted(path.stem for path in (Path(pipeline_run.out) / "logs").iterdir()) == [
        "data",
        "evaluate",
        "report",
        "sft",
        "teacher",
        "train",
    ]
