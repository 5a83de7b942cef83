"""A model without weights, template or a place is refused before Ray starts."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from verl_coder.errors import ConfigError
from verl_coder.launch import cards
from verl_coder.launch.launch import start
from verl_coder.launch.plan import TrainRequest, make_plan
from verl_coder.launch.preflight.model import check_model, check_window, tensor_sizes
from verl_coder.launch.preflight.rows import load_tokenizer
from verl_coder.tiny.build import BASE


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A copy of the tiny model."""
    return Path(shutil.copytree(BASE, tmp_path / "model"))


def weights(folder: Path) -> Path:
    return next(folder.glob("*.safetensors"))


def described(folder: Path, **changes: Any) -> None:
    """Change fields of config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: weights(folder).unlink(), "has no weights"),
        (lambda folder: weights(folder).write_text("version https://git-lfs"), "holds no weights"),
        (lambda folder: weights(folder).write_bytes(weights(folder).read_bytes()[:-9]), "cut short"),
        (lambda folder: (folder / "config.json").write_text("{"), "is not JSON"),
        (lambda folder: (folder / "config.json").write_text("{}"), "no model_type"),
        (lambda folder: weights(folder).write_bytes((2).to_bytes(8, "little") + b"{}"), "has no weights"),
        (lambda folder: described(folder, hidden_size=7), "embed_tokens.weight is of .*hidden_size=7"),
        (lambda folder: described(folder, vocab_size=9), "embed_tokens.weight is of .*vocab_size=9"),
        (
            lambda folder: (folder / "model.safetensors.index.json").write_text(
                json.dumps({"weight_map": {"a": "model-2.safetensors"}})
            ),
            "lacks model-2.safetensors",
        ),
    ],
)
def test_a_broken_model_is_named(model: Path, change: Callable[[Path], object], words: str) -> None:
    check_model(str(model))
    change(model)
    with pytest.raises(ConfigError, match=f"MODEL: .*{words}") as caught:
        check_model(str(model))
    assert "\n" not in str(caught.value)


def test_a_file_in_the_place_of_a_folder_is_named() -> None:
    with pytest.raises(ConfigError, match=r"config\.json is a file: name the folder"):
        check_model(str(BASE / "config.json"))


def test_what_is_no_name_of_the_hub_is_one_line() -> None:
    with pytest.raises(ConfigError, match="MODEL: no folder no body/no thing ") as caught:
        check_model("no body/no thing")
    assert "\n" not in str(caught.value)


def of(model: Path) -> DictConfig:
    """As much of a run's configuration as tells the model and its lengths."""
    return OmegaConf.create(
        {
            "data": {"max_prompt_length": 40, "max_response_length": 60},
            "actor_rollout_ref": {
                "model": {"path": str(model), "custom_chat_template": None},
                "rollout": {"max_model_len": None},
            },
        }
    )


def test_a_window_beyond_the_models_positions_is_refused(model: Path) -> None:
    config = of(model)
    check_window(config)
    described(model, max_position_embeddings=64)
    with pytest.raises(ConfigError, match=r"data.max_response_length = 100: MODEL has 64 positions"):
        check_window(config)
    config.actor_rollout_ref.rollout.max_model_len = 65
    with pytest.raises(ConfigError, match=r"max_model_len=65: MODEL has 64 positions .*: use at most 64"):
        check_window(config)
    described(model, rope_scaling={"rope_type": "yarn", "factor": 4.0})
    check_window(config)


def test_a_tokenizer_without_its_vocabulary_is_refused(model: Path) -> None:
    load_tokenizer(of(model))
    (model / "tokenizer.json").unlink()
    with pytest.raises(ConfigError, match=r"MODEL: the tokenizer of .* (knows no token|does not load)"):
        load_tokenizer(of(model))


@pytest.mark.parametrize("value", ["1", "true", "ON"])
def test_a_hub_name_is_refused_offline_however_that_is_written(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", value)
    with pytest.raises(
        ConfigError, match=f"nobody/nothing is not in the local hub cache and HF_HUB_OFFLINE={value}"
    ):
        check_model("nobody/nothing")


def test_a_model_without_a_template_is_refused_and_a_given_one_counts(model: Path) -> None:
    (model / "chat_template.jinja").unlink()
    config = OmegaConf.create(
        {"actor_rollout_ref": {"model": {"path": str(model), "custom_chat_template": None}}}
    )
    with pytest.raises(ConfigError, match="has no chat template"):
        load_tokenizer(config)
    config.actor_rollout_ref.model.custom_chat_template = "{{ messages }}"
    assert load_tokenizer(config).chat_template == "{{ messages }}"


def test_the_weight_bucket_holds_the_largest_tensor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from verl_coder.launch import plan

    monkeypatch.setattr(plan, "tensor_sizes", lambda _: {"mlp": 300 * 2**20, "embedding": 2**20})
    config: DictConfig = make_plan(TrainRequest(recipe="tiny_cpu", out=str(tmp_path))).config
    assert config.actor_rollout_ref.rollout.checkpoint_engine.update_weights_bucket_megabytes == 1201
    assert max(tensor_sizes(BASE).values()) > 0


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(cards, "cards_here", lambda: ())


@pytest.mark.usefixtures("no_hub")
def test_a_model_that_cannot_be_fetched_is_one_line_at_once() -> None:
    with pytest.raises(
        ConfigError, match="nobody/nothing is not on this machine, and the hub gives no"
    ) as caught:
        check_model("nobody/nothing")
    assert "\n" not in str(caught.value) and "MODEL=" in str(caught.value)


@pytest.mark.usefixtures("no_hub")
@pytest.mark.parametrize("offline", [False, True])
@pytest.mark.parametrize("recipe", ["qwen_7b", "deepseek_coder_1.3b"])
def test_a_dry_run_plans_a_model_that_is_not_here(
    recipe: str,
    offline: bool,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if offline:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    plan = make_plan(TrainRequest(recipe=recipe, out=str(tmp_path / "out")))
    assert start(plan, Console(width=200), dry_run=True) == 0
    shown = capsys.readouterr().out
    assert "of 79.6 GiB on each GPU" in shown and "s a step on 8 x " in shown
    assert "what its tokenizer tells is not checked" in shown
