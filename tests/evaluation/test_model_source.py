"""What `--model` names."""

import json
from pathlib import Path

import pytest
import torch
from small_model import small_model

from verl_coder.errors import CheckpointError, ConfigError
from verl_coder.evaluation.model_source import find_model
from verl_coder.paths import repository_root
from verl_coder.run.run_dir import RunDir

TINY = repository_root() / "src/verl_coder/tiny/base"


def make_run(path: Path) -> Path:
    for step in (4, 8):
        actor = path / "checkpoints" / f"global_step_{step}" / "actor"
        actor.mkdir(parents=True)
        (actor.parent / "data.pt").touch()
    (path / "config.yaml").write_text("{}")
    (path / "checkpoints" / "latest_checkpointed_iteration.txt").write_text("8")
    (path / "checkpoints" / "best.json").write_text(json.dumps({"step": 4, "pass_rate": 1.0}))
    return path


def test_a_run_is_its_last_checkpoint_or_the_one_that_is_named(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    assert [find_model(f"{run}{step}").step for step in ("", "@4", "@best", "@8")] == [8, 4, 4, 8]
    source = find_model(str(run / "checkpoints" / "global_step_4"))
    assert (source.kind, source.step, source.name) == ("checkpoint", 4, f"{run}@4")


def test_a_step_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    with pytest.raises(CheckpointError, match="there are global_step_4, global_step_8"):
        find_model(f"{run}@5")
    with pytest.raises(ConfigError, match="after @ stands the number of a step"):
        find_model(f"{run}@last")


def test_a_folder_may_have_an_at_sign_in_its_name(tmp_path: Path) -> None:
    run = make_run(tmp_path / "me@lab" / "run")
    assert [find_model(f"{run}{step}").step for step in ("", "@4")] == [8, 4]
    model = tmp_path / "qwen@main"
    model.mkdir()
    (model / "config.json").write_text("{}")
    assert find_model(str(model)).folder == model.resolve()


def test_folders_urls_and_what_is_neither(tmp_path: Path) -> None:
    assert find_model(str(TINY)).kind == "folder"
    assert find_model("http://host:1/v1/").name == "http://host:1/v1"
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match="holds neither"):
        find_model(str(tmp_path / "empty"))


def test_the_digest_tells_models_of_one_name_apart(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"1" * 100)
    first = find_model(str(tmp_path)).digest()
    assert first == find_model(str(tmp_path)).digest()
    weights.write_bytes(b"2" * 100)
    assert first != find_model(str(tmp_path)).digest()


def test_the_digest_sees_a_layer_in_the_middle(tmp_path: Path) -> None:
    weights = bytearray(40 << 20)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(weights)
    first = find_model(str(tmp_path)).digest()
    weights[15 << 20 : 16 << 20] = b"1" * (1 << 20)
    (tmp_path / "model.safetensors").write_bytes(weights)
    assert first != find_model(str(tmp_path)).digest()


def test_a_model_that_another_checkpoint_left_is_not_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def export(run: RunDir, target: Path, *, step: int | None) -> None:
        target.mkdir(parents=True)
        (target / "config.json").write_text(str(step))

    monkeypatch.setattr("verl_coder.launch.export.export", export)
    run = make_run(tmp_path / "run")
    for step in (4, 8):
        (run / "checkpoints" / f"global_step_{step}" / "actor" / "model.pt").write_text(str(step))
    loaded = [find_model(f"{run}@{step}").folder_to_load(tmp_path / ".model") for step in (4, 8, 8)]
    assert [(folder / "config.json").read_text() for folder in loaded[1:]] == ["8", "8"]
    assert not loaded[0].exists() and loaded[1] == loaded[2]


def test_an_adapter_is_merged_into_its_base(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = tmp_path / "base"
    model = small_model("eager")
    model.save_pretrained(base)
    for file in TINY.glob("tokenizer*"):
        (base / file.name).write_bytes(file.read_bytes())
    adapted = get_peft_model(
        model, LoraConfig(task_type="CAUSAL_LM", r=2, target_modules=["q_proj", "down_proj"])
    )
    adapted.peft_config["default"].base_model_name_or_path = str(base)
    for name, parameter in adapted.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    adapted.save_pretrained(tmp_path / "adapter")
    ids = torch.arange(10)[None]
    with torch.no_grad():
        expected = adapted(ids).logits
        source = find_model(str(tmp_path / "adapter"))
        assert source.kind == "adapter"
        folder = source.folder_to_load(tmp_path / "scratch")
        found = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)(ids).logits
    assert torch.allclose(found, expected, atol=1e-5) and (folder / "tokenizer.json").is_file()
