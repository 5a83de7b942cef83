"""A model folder is read by processes that know nothing of the run that wrote it."""

import json
from pathlib import Path

from transformers import AutoModelForCausalLM, Qwen2Config

from verl_coder.model_config import forget_attention, plain_config


def test_the_attention_of_a_run_does_not_stay_in_its_models(tmp_path: Path) -> None:
    shape = Qwen2Config(
        vocab_size=8,
        hidden_size=8,
        num_attention_heads=1,
        num_key_value_heads=1,
        num_hidden_layers=1,
        intermediate_size=8,
    )
    shape.save_pretrained(tmp_path)
    stored = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**stored, "attn_implementation": "of_one_run"}))
    model = AutoModelForCausalLM.from_config(plain_config(tmp_path))
    model.save_pretrained(tmp_path / "again")
    assert "of_one_run" not in (tmp_path / "again" / "config.json").read_text()


def test_a_checkpoint_forgets_the_attention_of_its_run_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "actor" / "huggingface" / "config.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"attn_implementation": "of_one_run", "hidden_size": 8}))
    forget_attention(tmp_path)
    assert json.loads(file.read_text()) == {"hidden_size": 8}
