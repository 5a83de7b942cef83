"""A model's sizes, counted from its description."""

import json
from pathlib import Path

import pytest

from verl_coder.launch.model_shape import shape_of
from verl_coder.paths import repository_root
from verl_coder.tiny.build import BASE

PUBLISHED = {
    "Qwen/Qwen2.5-Coder-0.5B-Instruct": 494_032_768,
    "Qwen/Qwen2.5-Coder-1.5B-Instruct": 1_543_714_304,
    "Qwen/Qwen2.5-Coder-7B-Instruct": 7_615_616_512,
    "Qwen/Qwen3-1.7B": 1_720_574_976,
    "deepseek-ai/deepseek-coder-1.3b-instruct": 1_346_471_936,
}


def test_every_published_model_has_its_published_number_of_parameters() -> None:
    files = (repository_root() / "config" / "models").glob("*.json")
    assert {path.stem.replace("--", "/") for path in files} == PUBLISHED.keys()
    for name, parameters in PUBLISHED.items():
        shape = shape_of(name)
        assert shape is not None and shape.parameters == parameters


@pytest.mark.parametrize("name", PUBLISHED)
def test_transformers_builds_a_model_of_as_many(name: str, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from transformers import AutoConfig, AutoModelForCausalLM

    (tmp_path / "config.json").write_text(
        (repository_root() / "config" / "models" / f"{name.replace('/', '--')}.json").read_text()
    )
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(tmp_path))
    assert sum(parameter.numel() for parameter in model.parameters()) == PUBLISHED[name]


def test_a_folder_is_counted_by_its_files() -> None:
    shape = shape_of(str(BASE))
    described = json.loads((BASE / "config.json").read_text())
    assert shape is not None
    assert 0.8e6 < shape.parameters < 1e6
    assert (shape.hidden_size, shape.layers) == (described["hidden_size"], described["num_hidden_layers"])


def test_of_a_model_of_which_nothing_is_known_there_is_none() -> None:
    assert shape_of("nobody/no-such-model") is None


def test_a_model_of_another_kind_has_no_plan_and_no_traceback(tmp_path: Path) -> None:
    folder = tmp_path / "gpt2"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    (folder / "model.safetensors").write_bytes((BASE / "model.safetensors").read_bytes())
    assert shape_of(str(folder)) is None
