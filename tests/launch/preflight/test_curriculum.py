"""A curriculum that cannot run is refused in one line, before anything is started."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf
from rich.console import Console

from verl_coder.errors import CheckpointError, ConfigError, DataError, VerlCoderError
from verl_coder.launch import launch
from verl_coder.launch.early_worker import EarlyWorker
from verl_coder.launch.plan import TrainRequest, make_plan
from verl_coder.launch.preflight.curriculum import check_curriculum
from verl_coder.problems import ROW_SCHEMA
from verl_coder.run.checkpoint_files import SAVING, STATE, commit, step_folder
from verl_coder.run.run_dir import RunDir
from verl_coder.run.settings import CURRICULUM, CurriculumSettings
from verl_coder.sections import read_section
from verl_coder.tiny.problems import problems
from verl_coder.trainer.curriculum.stages import Curriculum, check_left

SECTION: dict[str, Any] = {
    "by": "difficulty",
    "stages": [{"name": "one", "values": ["easy"], "threshold": 0.9}, {"name": "two", "values": ["hard"]}],
}


SETTINGS = read_section(CurriculumSettings, SECTION, CURRICULUM)


def rows(path: Path, extra_info: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.table({"extra_info": extra_info}), path)
    return path


def check(
    run: Path,
    train: Path,
    section: dict[str, Any] | None = SECTION,
    test_freq: int = 2,
    filters: bool = False,
) -> tuple[str, ...]:
    config = OmegaConf.create(
        {
            "data": {"train_files": [str(train)], "val_files": [str(train)], "train_batch_size": 2},
            "trainer": {"test_freq": test_freq},
            "algorithm": {"filter_groups": {"enable": filters}},
        }
    )
    return check_curriculum(config, SETTINGS if section else None, RunDir(run))


def both(count: int) -> list[dict[str, Any]]:
    return [{"difficulty": name} for name in ("easy", "hard") for _ in range(count)]


def checkpoint(run: Path, state: dict[str, Any]) -> None:
    folder = step_folder(run / "checkpoints" / SAVING, 3)
    folder.mkdir(parents=True)
    (folder / STATE).write_text(json.dumps(state))
    commit(run / "checkpoints", 3)


def test_rows_of_every_stage_are_accepted(tmp_path: Path) -> None:
    check(tmp_path, rows(tmp_path / "rows.parquet", both(2)))


def test_a_filter_that_leaves_nothing_of_a_mastered_stage_is_told(tmp_path: Path) -> None:
    path = rows(tmp_path / "rows.parquet", both(2))
    [note] = check(tmp_path, path, filters=True)
    assert note.startswith("note: algorithm.filter_groups.enable ends the run") and "test_freq=2" in note
    assert check(tmp_path, path) == check(tmp_path, path, section=None, filters=True) == ()


def test_a_missing_difficulty_column_is_named(tmp_path: Path) -> None:
    path = rows(tmp_path / "rows.parquet", [{"problem_id": "a"}])
    with pytest.raises(DataError, match=r"rows\.parquet has no extra_info\.difficulty"):
        check(tmp_path, path)


def test_a_stage_with_too_few_rows_is_named_with_the_values_that_are_there(tmp_path: Path) -> None:
    path = rows(tmp_path / "rows.parquet", [*both(2)[:3], {"difficulty": "odd"}])
    with pytest.raises(DataError, match=r"1 row for stage two .* easy \(2\), hard \(1\), odd \(1\)"):
        check(tmp_path, path)


def test_a_run_without_evaluations_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"trainer\.test_freq=0"):
        check(tmp_path, rows(tmp_path / "rows.parquet", both(2)), test_freq=0)


@pytest.mark.parametrize(
    ("state", "section", "message"),
    [
        ({}, SECTION, "trained without a curriculum"),
        ({"curriculum": {"stages": ["one", "two"]}}, None, "trained with a curriculum"),
        ({"curriculum": {"stages": ["one", "three"]}}, SECTION, "the checkpoint's are one, three"),
    ],
)
def test_a_checkpoint_of_another_curriculum_is_refused(
    tmp_path: Path, state: dict[str, Any], section: dict[str, Any] | None, message: str
) -> None:
    checkpoint(tmp_path, state)
    with pytest.raises((CheckpointError, ConfigError), match=message) as caught:
        check(tmp_path, rows(tmp_path / "rows.parquet", both(2)), section)
    assert "\n" not in str(caught.value)


def test_a_stage_that_loses_its_rows_to_the_length_limit_is_named() -> None:
    with pytest.raises(DataError, match="1 row is left for stage two"):
        check_left([0, 0, 1, None], SETTINGS, 2)


# ---- the same through the launcher: nothing is started ------------------------------------------


def refuse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *overrides: str, train: Path | None = None
) -> str:
    """The error of a start that must end before its worker, on real rows."""
    monkeypatch.setattr(EarlyWorker, "begin", lambda *_, **__: pytest.fail("the worker was told to begin"))
    held_out = tmp_path / "held_out.parquet"
    write_problems(held_out)
    request = TrainRequest(
        recipe="tiny_curriculum",
        train=str(train or held_out),
        val=str(held_out),
        out=str(tmp_path / "run"),
        overrides=overrides,
    )
    with pytest.raises(VerlCoderError) as caught:
        launch.start(make_plan(request), Console(quiet=True))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def write_problems(path: Path) -> None:
    from verl_coder.data.writer import write_rows

    write_rows((sample.problem for sample in problems("heldout", 64, seed=0)), path)


def test_the_launcher_refuses_a_threshold_above_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stages = "[{name: a, values: [easy], threshold: 1.2}, {name: b, values: [hard]}]"
    error = refuse(tmp_path, monkeypatch, f"verl_coder.curriculum.stages={stages}")
    assert "stages[0].threshold=1.2: use null, or a number in (0, 1]" in error


def test_the_launcher_refuses_rows_without_difficulty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_problems(tmp_path / "rows.parquet")
    table = pq.read_table(tmp_path / "rows.parquet").to_pylist()
    for row in table:
        del row["extra_info"]["difficulty"]
    path = tmp_path / "without.parquet"
    pq.write_table(pa.Table.from_pylist(table), path)
    assert set(ROW_SCHEMA.names) <= set(pq.read_schema(path).names)
    assert "has no extra_info.difficulty" in refuse(tmp_path, monkeypatch, train=path)


def test_the_launcher_refuses_a_checkpoint_of_another_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_dir = RunDir(tmp_path / "run")
    state = Curriculum(SETTINGS).state() | {"stages": ["unambiguous", "ambiguous"]}
    checkpoint(run_dir.path, {"curriculum": state})
    run_dir.shape.write_text(json.dumps({"model_config_sha256": "0123456789ab"}))
    error = refuse(tmp_path, monkeypatch)
    assert "began from another model than" in error and "shapes in config.json differ" in error
