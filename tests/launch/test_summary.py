"""A run's metrics become its summary, its picture and its last words."""

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from verl_coder.errors import VerlCoderError
from verl_coder.launch.progress import step_line
from verl_coder.launch.summary import build_summary, draw_curve, pass_rate, summary_table, write_summary
from verl_coder.run.checkpoint_files import TRACKER
from verl_coder.run.run_dir import RunDir
from verl_coder.run.settings import Settings

_SETTINGS = Settings(run_name="r", out="o", recipe="tiny_cpu", seed=1)


def _evaluation(rate: float, calls: float) -> dict[str, float]:
    return {"val-core/sample/acc/mean@1": rate, "val-aux/tool_calls/mean": calls}


def _step(seconds: float) -> dict[str, float]:
    return {"timing_s/step": seconds, "timing_s/gen": seconds / 2, "critic/score/mean": 0.5}


def _run(tmp_path: Path, records: list[tuple[int, dict[str, float]]]) -> RunDir:
    run_dir = RunDir(tmp_path)
    run_dir.metrics.write_text("".join(json.dumps({"step": s, "data": d}) + "\n" for s, d in records))
    run_dir.timing.write_text(json.dumps({"evaluation_s": 3.0, "wall_s": 60.0}))
    return run_dir


def test_before_and_after_are_the_first_and_the_last_evaluation(tmp_path: Path) -> None:
    run_dir = _run(
        tmp_path, [(0, _evaluation(0.5, 0.2)), (1, _step(4)), (2, _step(6) | _evaluation(0.8, 1.1))]
    )
    summary = build_summary(run_dir, _SETTINGS)
    assert summary["pass_at_1"] == {"before": 0.5, "after": 0.8}
    assert summary["tool_calls_per_problem"] == {"before": 0.2, "after": 1.1}
    assert (summary["steps"], summary["step_s"]) == (2, 5.0)


def test_a_run_that_was_not_evaluated_before_training_has_no_before(tmp_path: Path) -> None:
    run_dir = _run(tmp_path, [(1, _step(4) | _evaluation(0.6, 0.3)), (2, _step(6) | _evaluation(0.8, 1.1))])
    summary = build_summary(run_dir, _SETTINGS)
    assert summary["pass_at_1"] == {"before": None, "after": 0.8}
    assert summary["tool_calls_per_problem"] == {"before": None, "after": 1.1}


def test_the_phases_add_up_to_the_wall_time(tmp_path: Path) -> None:
    run_dir = _run(tmp_path, [(0, _evaluation(0.5, 0.2)), (1, _step(4) | _evaluation(0.8, 1.1))])
    summary = build_summary(run_dir, _SETTINGS)
    assert sum(summary["phases_s"].values()) == pytest.approx(summary["wall_s"])


def test_a_run_without_steps_or_evaluations_has_no_summary(tmp_path: Path) -> None:
    with pytest.raises(VerlCoderError, match="did not train"):
        build_summary(_run(tmp_path, []), _SETTINGS)


def test_a_run_that_only_evaluated_has_a_summary_without_training(tmp_path: Path) -> None:
    summary = build_summary(_run(tmp_path, [(0, _evaluation(0.5, 0.2))]), _SETTINGS)
    assert (summary["steps"], summary["pass_at_1"]) == (0, {"before": 0.5, "after": 0.5})
    assert "training reward, first and last step" not in list(summary_table(summary).columns[0].cells)


def test_a_run_that_was_never_evaluated_has_a_summary_without_pass_rates(tmp_path: Path) -> None:
    summary = build_summary(_run(tmp_path, [(1, _step(4))]), _SETTINGS)
    assert summary["pass_at_1"] == {"before": None, "after": None}
    cells = [list(column.cells) for column in summary_table(summary).columns]
    assert cells[2][:2] == ["not evaluated", "not evaluated"]


def test_an_evaluation_before_the_last_step_is_not_of_the_trained_model(tmp_path: Path) -> None:
    run_dir = _run(tmp_path, [(0, _evaluation(0.5, 0.2)), (1, _step(4)), (2, _step(4))])
    summary = build_summary(run_dir, _SETTINGS)
    assert summary["pass_at_1"] == {"before": 0.5, "after": None}
    assert summary["tool_calls_per_problem"] == {"before": 0.2, "after": None}
    cells = [list(column.cells) for column in summary_table(summary).columns]
    assert cells[1][0] == "0.500" and cells[2][:2] == ["not evaluated", "not evaluated"]


def test_an_evaluation_between_is_told_with_its_step(tmp_path: Path) -> None:
    run_dir = _run(tmp_path, [(1, _step(4)), (2, _step(4) | _evaluation(0.7, 1.0)), (3, _step(4))])
    summary = build_summary(run_dir, _SETTINGS)
    assert summary["last_evaluation"] == {"step": 2, "pass_at_1": 0.7}
    assert next(iter(summary_table(summary).columns[2].cells)) == "not evaluated (0.700 after step 2)"


@pytest.mark.parametrize("rate", [None, "x", float("nan"), float("inf"), True])
def test_what_is_no_number_is_no_pass_rate(rate: Any) -> None:
    assert pass_rate(_evaluation(rate, 0.0)) is None
    assert pass_rate({**_evaluation(rate, 0.0), "val-core/other/acc/mean@1": 0.5}) is None


@pytest.mark.parametrize("tracker", [None, "0", "4"])
def test_a_checkpoint_is_named_where_one_was_saved(tmp_path: Path, tracker: str | None) -> None:
    run_dir = _run(tmp_path, [(1, _step(4))])
    run_dir.checkpoints.mkdir()
    if tracker is not None:
        (run_dir.checkpoints / TRACKER).write_text(tracker)
    assert build_summary(run_dir, _SETTINGS)["checkpoint"] is None
    (run_dir.checkpoints / "global_step_4").mkdir()
    (run_dir.checkpoints / "global_step_4" / "data.pt").touch()
    named = str(run_dir.checkpoints / "global_step_4") if tracker == "4" else None
    assert build_summary(run_dir, _SETTINGS)["checkpoint"] == named


def test_a_summary_of_a_version_that_did_not_measure_memory_is_shown(tmp_path: Path) -> None:
    run_dir = _run(tmp_path, [(1, _step(4))])
    write_summary(run_dir, _SETTINGS, Console(quiet=True))
    before = json.loads(run_dir.summary.read_text())
    del before["peak_memory_gib"], before["last_evaluation"]
    run_dir.summary.write_text(json.dumps(before))
    assert "peak memory measured, GiB" not in list(summary_table(run_dir.read_summary()).columns[0].cells)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e308, "x", None])
def test_a_value_that_cannot_be_drawn_costs_no_summary(tmp_path: Path, value: Any) -> None:
    run_dir = _run(tmp_path, [(1, _step(4) | {"tool_calls/mean": value}), (2, _step(4))])
    write_summary(run_dir, _SETTINGS, Console(quiet=True))
    assert run_dir.summary.is_file() and run_dir.curve.is_file()


def test_a_reward_that_is_no_number_makes_no_broken_summary(tmp_path: Path) -> None:
    run_dir = _run(tmp_path, [(1, _step(4) | {"critic/score/mean": float("nan")})])
    write_summary(run_dir, _SETTINGS, Console(quiet=True))
    assert "NaN" not in run_dir.summary.read_text()
    assert run_dir.read_summary()["reward"] == {"first": None, "last": None}


def test_a_picture_that_fails_costs_no_summary(tmp_path: Path) -> None:
    run_dir = _run(tmp_path, [(1, _step(4))])
    run_dir.curve.mkdir()
    with pytest.raises(OSError, match=r"curve\.png"):
        write_summary(run_dir, _SETTINGS, Console(quiet=True))
    assert run_dir.finished_steps() == 1


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    run_dir = _run(tmp_path, [(0, _evaluation(0.5, 0.2)), (1, _step(4) | _evaluation(0.8, 1.1))])
    draw_curve(run_dir.read_metrics(), "title", run_dir.curve)
    assert run_dir.curve.read_bytes().startswith(b"\x89PNG")


def test_a_step_is_one_line() -> None:
    line = step_line(7, _step(4) | _evaluation(0.8, 1.1))
    assert "step    7" in line and "held-out pass@1 0.800" in line and "\n" not in line
