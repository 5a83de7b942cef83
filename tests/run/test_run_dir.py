"""The run's folder knows whether to start, resume or stop."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from verl_coder.errors import CheckpointError, ConfigError
from verl_coder.run.checkpoint_files import SAVING, commit, step_folder
from verl_coder.run.run_dir import RunDir, given_run, run_and_step


def _config(model: Path, lora_rank: int = 0) -> DictConfig:
    return OmegaConf.create(
        {
            "actor_rollout_ref": {
                "model": {"path": str(model), "lora_rank": lora_rank, "target_modules": "all-linear"},
                "actor": {"strategy": "fsdp2"},
            },
            "trainer": {"n_gpus_per_node": 1, "nnodes": 1},
        }
    )


def _model(folder: Path, hidden: int) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"hidden_size": hidden}))
    return folder


def _checkpoint(run_dir: RunDir, step: int) -> None:
    folder = run_dir.checkpoints / f"global_step_{step}"
    folder.mkdir(parents=True)
    (folder / "data.pt").write_bytes(b"x")
    (run_dir.checkpoints / "latest_checkpointed_iteration.txt").write_text(str(step))


def test_a_new_folder_starts_from_nothing(tmp_path: Path) -> None:
    assert RunDir(tmp_path).checkpoint_step() == 0
    assert RunDir(tmp_path).finished_steps() == 0


def test_a_half_written_checkpoint_is_named(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path)
    _checkpoint(run_dir, 5)
    shutil.rmtree(run_dir.checkpoints / "global_step_5")
    with pytest.raises(CheckpointError, match="global_step_5"):
        run_dir.checkpoint_step()


@pytest.mark.parametrize(
    ("hidden", "lora_rank", "key"), [(64, 0, "shapes in config.json"), (32, 8, "lora_rank")]
)
def test_a_checkpoint_of_another_shape_is_refused(
    tmp_path: Path, hidden: int, lora_rank: int, key: str
) -> None:
    run_dir = RunDir(tmp_path / "run")
    run_dir.path.mkdir()
    run_dir.record_shape(_config(_model(tmp_path / "small", 32)))
    _checkpoint(run_dir, 5)
    with pytest.raises(CheckpointError, match=key):
        run_dir.check_shape(_config(_model(tmp_path / "other", hidden), lora_rank))


@pytest.mark.parametrize("before", [b"", bytes(3 << 20)])
def test_a_checkpoint_of_another_model_of_the_same_architecture_is_refused(
    tmp_path: Path, before: bytes
) -> None:
    run_dir, model = RunDir(tmp_path / "run"), _model(tmp_path / "model", 32)
    run_dir.path.mkdir()
    (model / "model.safetensors").write_bytes(before + b"base")
    run_dir.record_shape(_config(model))
    _checkpoint(run_dir, 5)
    run_dir.check_shape(_config(model))
    (model / "model.safetensors").write_bytes(before + b"chat")
    with pytest.raises(CheckpointError, match="weights differ") as caught:
        run_dir.check_shape(_config(model))
    assert "\n" not in str(caught.value)


def test_a_checkpoint_that_lost_bytes_is_named(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path)
    folder = step_folder(run_dir.checkpoints / SAVING, 5)
    folder.mkdir(parents=True)
    (folder / "model.pt").write_bytes(b"weights")
    commit(run_dir.checkpoints, 5)
    assert run_dir.checkpoint_step() == 5
    (run_dir.checkpoints / "global_step_5" / "model.pt").write_bytes(b"wei")
    with pytest.raises(CheckpointError, match="global_step_5/ is not whole"):
        run_dir.checkpoint_step()


def test_metrics_after_the_checkpoint_are_forgotten_and_a_cut_line_too(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path)
    lines = [json.dumps({"step": step, "data": {"x": step}}) for step in (0, 1, 2, 3)]
    run_dir.metrics.write_text("\n".join(lines) + '\n{"step": 4, "da')
    run_dir.backup.write(4, {})
    assert run_dir.drop_metrics_after(2).startswith("metrics and samples of steps 3 to 4 removed (later than")
    assert run_dir.drop_metrics_after(2) == ""
    assert [record["step"] for record in run_dir.read_metrics()] == [0, 1, 2]


@pytest.mark.parametrize("name", ["shape.json", "resume.json", "timing.json", "wall.json", "summary.json"])
@pytest.mark.parametrize("content", [b"", b"{", b"null", b"[1]", b"\xff"])
def test_a_broken_record_of_an_earlier_start_is_named_with_a_cure(
    tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(
        CheckpointError, match=rf"{name} (is not JSON|holds no JSON object|is no text).*: remove it"
    ) as caught:
        RunDir(tmp_path).check_records()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["timing.json", "wall.json"])
@pytest.mark.parametrize("value", ['"x"', "null", "NaN", "true", "[1]"])
def test_what_is_no_number_of_seconds_is_named_with_a_cure(tmp_path: Path, name: str, value: str) -> None:
    (tmp_path / name).write_text(f'{{"wall_s": {value}}}')
    with pytest.raises(CheckpointError, match=rf"{name} is broken \(wall_s is .*, no number\): remove it"):
        RunDir(tmp_path).check_records()


_SUMMARY = {
    "recipe": "r", "seed": 0, "steps": 5, "wall_s": 1.5, "pass_at_1": {"before": None, "after": 0.5},
    "tool_calls_per_problem": {}, "reward": {}, "phases_s": {"update": 1},
}  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *((key, ...) for key in _SUMMARY),
        ("steps", True),
        ("steps", 1.5),
        ("recipe", 5),
        ("wall_s", "x"),
        ("pass_at_1", None),
        ("pass_at_1", {"before": "x"}),
        ("phases_s", [1]),
    ],
)
def test_a_broken_summary_is_named_with_a_cure(tmp_path: Path, key: str, value: Any) -> None:
    run_dir = RunDir(tmp_path)
    run_dir.summary.write_text(json.dumps(_SUMMARY))
    assert run_dir.read_summary() == _SUMMARY and run_dir.finished_steps() == 5
    broken = {**_SUMMARY, key: value}
    run_dir.summary.write_text(json.dumps({name: each for name, each in broken.items() if each is not ...}))
    with pytest.raises(CheckpointError, match=rf"summary.json is broken \(.*{key}.*\): remove it"):
        run_dir.read_summary()


@pytest.mark.parametrize("content", [b"", b"{", b"null", b"[1]", b"\xff", b'{"mode": "online"}'])
def test_a_broken_state_of_the_upload_is_named(tmp_path: Path, content: bytes) -> None:
    run_dir = RunDir(tmp_path)
    run_dir.sync_state.write_bytes(content)
    with pytest.raises(ConfigError, match=r"wandb_sync_state.json: not a sync state .*; remove it"):
        run_dir.check_records()


@pytest.mark.parametrize(
    "content",
    [
        "",
        "null",
        "[]",
        '{"step": 1}',
        '{"step": "x", "pass_rate": 1}',
        '{"step": 1e999, "pass_rate": 1}',
        '{"step": 1, "pass_rate": NaN}',
        "[" * 10**5,
    ],
)
def test_a_broken_best_is_named(tmp_path: Path, content: str) -> None:
    run_dir = RunDir(tmp_path)
    run_dir.best.parent.mkdir()
    run_dir.best.write_text(content)
    with pytest.raises(CheckpointError, match=r"best.json is broken .*: remove it"):
        run_dir.check_records()


@pytest.mark.parametrize(
    "line",
    [
        "null",
        "5",
        "[]",
        '{"step": 1}',
        '{"step": 1, "data": 5}',
        "{",
        '{"step": 1e999, "data": {}}',
        "[" * 10**5,
    ],
)
def test_a_line_of_the_metrics_that_is_none_is_left_out(tmp_path: Path, line: str) -> None:
    run_dir = RunDir(tmp_path)
    whole = json.dumps({"step": 2, "data": {"x": 1}})
    run_dir.metrics.write_text(f"{line}\n{whole}\n")
    assert {"step": 2, "data": {"x": 1}} in run_dir.read_metrics()
    run_dir.drop_metrics_after(2)
    assert whole in run_dir.metrics.read_text()


@pytest.mark.parametrize(
    "manifest",
    ["", "[]", "null", '{"files": 5}', '{"files": null}', '{"files": {}}', '{"files": []}', "[" * 10**5],
)
def test_a_checkpoint_with_a_broken_manifest_is_not_whole(tmp_path: Path, manifest: str) -> None:
    run_dir = RunDir(tmp_path)
    _checkpoint(run_dir, 5)
    (run_dir.checkpoints / "global_step_5" / "manifest.json").write_text(manifest)
    with pytest.raises(CheckpointError, match="not whole"):
        run_dir.checkpoint_step()


def test_a_folder_above_a_run_is_answered_with_the_run(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    with pytest.raises(ConfigError, match=rf"^{tmp_path} is not the folder of a run: it has no config.yaml$"):
        given_run(tmp_path)
    (tmp_path / "train" / "config.yaml").touch()
    with pytest.raises(ConfigError, match=rf"no config.yaml; {tmp_path / 'train'} is one$"):
        given_run(tmp_path)
    assert given_run(tmp_path / "train").path == tmp_path / "train"


def test_a_step_is_named_behind_the_run(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    assert run.named_step("7") == 7 and run.named_step("") == 0
    for name in ("x", "\N{SUPERSCRIPT TWO}", "\N{ARABIC-INDIC DIGIT THREE}", "-1", "1.0", "1" * 5000):
        with pytest.raises(ConfigError, match=f"@{name}: after @ stands the number of a step, or `best`"):
            run.named_step(name)
    with pytest.raises(CheckpointError, match=r"has no checkpoints/best\.json"):
        run.named_step("best")


def test_a_missing_tracker_beside_a_whole_checkpoint_is_said_with_the_number_to_write(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path)
    for step in (4, 8):
        _checkpoint(run_dir, step)
    tracker = run_dir.checkpoints / "latest_checkpointed_iteration.txt"
    tracker.unlink()
    with pytest.raises(
        CheckpointError, match=r"iteration.txt is missing, .*: write 8 into that file"
    ) as caught:
        run_dir.checkpoint_step()
    assert "\n" not in str(caught.value) and run_dir.last_whole_step() == 0
    assert str(caught.value) in run_dir.same_command()
    tracker.write_text("8")
    assert run_dir.checkpoint_step() == run_dir.last_whole_step() == 8


def test_another_name_of_the_hub_is_refused(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path / "run")
    run_dir.path.mkdir()
    run_dir.record_shape(_config(Path("Qwen/Qwen2.5-Coder-0.5B-Instruct")))
    _checkpoint(run_dir, 5)
    run_dir.check_shape(_config(Path("Qwen/Qwen2.5-Coder-0.5B-Instruct")))
    other = _config(Path("deepseek-ai/deepseek-coder-1.3b-instruct"))
    with pytest.raises(
        CheckpointError,
        match=r"another model than deepseek-ai/.* \(it was Qwen/.*: name that model with MODEL=",
    ):
        run_dir.check_shape(other)
    before = json.loads(run_dir.shape.read_text())
    del before["model_name"]  # of a version that did not write it down
    run_dir.shape.write_text(json.dumps(before))
    run_dir.check_shape(other)


def test_a_step_stands_behind_the_last_at_of_what_is_there(tmp_path: Path) -> None:
    run = tmp_path / "me@host" / "run"
    run.mkdir(parents=True)
    for value, expected in (
        (f"{run}", (f"{run}", "")),
        (f"{run}@8", (f"{run}", "8")),
        (f"{run}@", (f"{run}", "")),
        (f"{run}9@8", (f"{run}9@8", "")),
        ("owner/name@main", ("owner/name@main", "")),
        ("@8", ("@8", "")),
    ):
        assert run_and_step(value) == expected
    (tmp_path / "me@host" / "run@8").mkdir()
    assert run_and_step(f"{run}@8") == (f"{run}@8", "")
