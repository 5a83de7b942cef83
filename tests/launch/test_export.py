"""What `verl-coder export` writes has the policy's log-probabilities, loaded by PEFT and by transformers."""

from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from peft import PeftModel, get_peft_model
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoTokenizer
from typer.testing import CliRunner

from verl_coder.errors import CheckpointError, ConfigError
from verl_coder.launch.export import actor_folder, app, export, lora_config
from verl_coder.run.checkpoint_files import SAVING, TRACKER, commit, step_folder
from verl_coder.run.run_dir import RunDir
from verl_coder.tiny.build import BASE

IDS = torch.arange(40).reshape(2, 20)


def _config(rank: int) -> Any:
    model = {"path": str(BASE), "lora_rank": rank, "lora_alpha": 16, "target_modules": "all-linear"}
    return OmegaConf.create({"actor_rollout_ref": {"model": model}})


def _log_probs(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        return model.eval()(IDS).logits.log_softmax(-1)


def _write_run(folder: Path, rank: int) -> tuple[RunDir, torch.Tensor]:
    """A run's folder as verl leaves it, with an actor that differs from the base; and that actor's log-probs."""
    torch.manual_seed(0)
    run_dir = RunDir(folder)
    actor = run_dir.checkpoints / "global_step_3" / "actor"
    actor.mkdir(parents=True)
    (run_dir.checkpoints / "global_step_3" / "data.pt").touch()
    (run_dir.checkpoints / "latest_checkpointed_iteration.txt").write_text("3")
    OmegaConf.save(_config(rank), run_dir.config)
    model: Any = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32)
    if rank:
        model = get_peft_model(model, lora_config(_config(rank)))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name or (not rank and "proj" in name):
                parameter.add_(0.05 * torch.randn_like(parameter))
    torch.save(model.state_dict(), actor / "model_world_size_1_rank_0.pt")
    base = AutoModelForCausalLM.from_pretrained(BASE)
    base.config.save_pretrained(actor / "huggingface")
    base.generation_config.save_pretrained(actor / "huggingface")
    AutoTokenizer.from_pretrained(BASE).save_pretrained(actor / "huggingface")
    return run_dir, _log_probs(model)


@pytest.fixture(scope="module")
def lora_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunDir, torch.Tensor]:
    return _write_run(tmp_path_factory.mktemp("lora"), rank=8)


def test_the_adapter_loaded_by_peft_on_the_base_is_the_policy(
    lora_run: tuple[RunDir, torch.Tensor], tmp_path: Path
) -> None:
    run_dir, expected = lora_run
    folder = export(run_dir, tmp_path / "adapter", adapter=True)
    assert {"adapter_config.json", "adapter_model.safetensors"} <= {file.name for file in folder.iterdir()}
    base = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32)
    before = _log_probs(base)
    loaded = PeftModel.from_pretrained(base, folder)
    assert loaded.peft_config["default"].base_model_name_or_path == str(BASE)
    torch.testing.assert_close(_log_probs(loaded), expected, atol=1e-5, rtol=0)
    assert (before - expected).abs().max() > 0.1


def test_the_merged_export_is_the_policy(lora_run: tuple[RunDir, torch.Tensor], tmp_path: Path) -> None:
    run_dir, expected = lora_run
    folder = export(run_dir, tmp_path / "merged")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    torch.testing.assert_close(_log_probs(model), expected, atol=1e-4, rtol=0)
    with safe_open(folder / "model.safetensors", "pt") as weights:
        assert not any("lora" in name for name in weights.keys())  # noqa: SIM118
    assert AutoTokenizer.from_pretrained(folder).chat_template


def test_a_run_without_lora_is_exported_whole_and_has_no_adapter(tmp_path: Path) -> None:
    run_dir, expected = _write_run(tmp_path / "run", rank=0)
    model = AutoModelForCausalLM.from_pretrained(export(run_dir, tmp_path / "out"), dtype=torch.float32)
    torch.testing.assert_close(_log_probs(model), expected, atol=1e-5, rtol=0)
    with pytest.raises(ConfigError, match="not trained with LoRA"):
        export(run_dir, tmp_path / "adapter", adapter=True)


def test_what_cannot_be_exported_is_named(lora_run: tuple[RunDir, torch.Tensor], tmp_path: Path) -> None:
    run_dir, _ = lora_run
    with pytest.raises(CheckpointError, match=r"global_step_7.*there are global_step_3"):
        actor_folder(run_dir, 7)
    with pytest.raises(CheckpointError, match="holds no run"):
        export(RunDir(tmp_path), tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    with pytest.raises(ConfigError, match="not an empty folder"):
        export(run_dir, tmp_path / "full")
    with pytest.raises(ConfigError, match="--dtype int8"):
        export(run_dir, tmp_path / "out", dtype="int8")
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


def test_a_checkpoint_is_named_as_for_an_evaluation(
    lora_run: tuple[RunDir, torch.Tensor], tmp_path: Path
) -> None:
    run_dir, _ = lora_run
    command = ["--out", str(tmp_path / "out"), "--adapter"]
    done = CliRunner().invoke(app, [f"{run_dir.path}@3", *command])
    assert done.exit_code == 0 and (tmp_path / "out" / "adapter_model.safetensors").is_file()
    for words, told in (
        ([f"{run_dir.path}@9"], "global_step_9"),
        ([f"{run_dir.path}@3", "--step", "3"], "name the step once"),
    ):
        wrong = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "out2"), "--adapter"])
        assert told in str(wrong.exception) and not (tmp_path / "out2").exists()


def test_a_folder_with_an_at_in_its_path_is_a_run(
    lora_run: tuple[RunDir, torch.Tensor], tmp_path: Path
) -> None:
    place = tmp_path / "me@host"
    place.mkdir()
    (place / "run").symlink_to(lora_run[0].path)
    for number, value in enumerate((f"{place}/run", f"{place}/run@3", f"{place}/run@")):
        command = [value, "--out", str(tmp_path / f"out{number}"), "--adapter"]
        assert CliRunner().invoke(app, command).exit_code == 0
    wrong = CliRunner().invoke(app, [f"{place}/other", "--out", str(tmp_path / "out")])
    assert str(wrong.exception) == f"no such folder: {place}/other"


def test_a_checkpoint_that_is_damaged_or_not_there_is_told_in_one_line(tmp_path: Path) -> None:
    run_dir = RunDir(tmp_path / "run")
    run_dir.path.mkdir()
    with pytest.raises(CheckpointError, match="run has no checkpoint yet"):
        actor_folder(run_dir)
    for step in (4, 8):
        folder = step_folder(run_dir.checkpoints / SAVING, step) / "actor"
        folder.mkdir(parents=True)
        (folder / "model.pt").write_text("weights")
        commit(run_dir.checkpoints, step)
    (run_dir.checkpoints / "global_step_8" / "actor" / "model.pt").write_text("wei")
    with pytest.raises(CheckpointError, match=r"global_step_8 is not whole, .*: there are global_step_4$"):
        actor_folder(run_dir, 8)
    assert actor_folder(run_dir, 4).is_dir()
    (run_dir.checkpoints / TRACKER).unlink()
    with pytest.raises(CheckpointError, match=r"is missing, but global_step_4/ is whole: write 4 into"):
        actor_folder(run_dir)
