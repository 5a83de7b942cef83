"""A run's metrics become its summary, its picture and its last words."""

import json
from pathlib import Path

import pytest

from verl_coder.errors import VerlCoderError
from verl_coder.launch.progress import step_line
from verl_coder.launch.summary import build_summary, draw_curve, summary_table
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


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    run_dir = _run(tmp_path, [(0, _evaluation(0.5, 0.2)), (1, _step(4) | _evaluation(0.8, 1.1))])
    draw_curve(run_dir.read_metrics(), "title", run_dir.curve)
    assert run_dir.curve.read_bytes().startswith(b"\x89PNG")


def test_a_step_is_one_line() -> None:
    line = step_line(7, _step(4) | _evaluation(0.8, 1.1))
    assert "step    7" in line and "held-out pass@1 0.800" in line and "\n" not in line
