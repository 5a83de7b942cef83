"""OUT/model has the trained weights: of an adapter too, merged in float32 and compared; what rounding costs is told."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from verl_coder.errors import VerlCoderError
from verl_coder.launch.trained_weights import adapter_config
from verl_coder.sft.model_folder import finish_model, resolve_model
from verl_coder.tiny.build import BASE
from verl_coder.traces import TraceRow

PROBE = TraceRow(prompt_ids=tuple(range(5, 25)), response_ids=tuple(range(30, 50)), loss_mask=(1,) * 20)
LORA = {"rank": 4, "alpha": 8}


def _logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        return model.eval()(torch.tensor([[*PROBE.prompt_ids, *PROBE.response_ids]])).logits


def _checkpoint(folder: Path, *, lora: bool) -> torch.Tensor:
    """As verl's SFT trainer leaves it, with weights that differ from the base's; and the logits of these."""
    torch.manual_seed(0)
    model: Any = AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32)
    if lora:
        model = get_peft_model(
            model, adapter_config(LORA["rank"], LORA["alpha"], target_modules="all-linear")
        )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name or (not lora and "proj" in name):
                parameter.add_(0.05 * torch.randn_like(parameter))
    state = {name: value for name, value in model.state_dict().items() if not lora or "lora_" in name}
    folder.mkdir()
    torch.save(state, folder / "model_world_size_1_rank_0.pt")
    AutoModelForCausalLM.from_pretrained(BASE).config.save_pretrained(folder / "huggingface")
    return _logits(model)


@pytest.mark.parametrize("lora", [False, True], ids=["all parameters", "adapter"])
def test_the_folder_is_the_trained_model_in_the_dtype_of_the_base(tmp_path: Path, lora: bool) -> None:
    expected = _checkpoint(tmp_path / "checkpoint", lora=lora)
    rounding = finish_model(
        tmp_path / "checkpoint", BASE, tmp_path / "model", probe=PROBE, lora=LORA if lora else None
    )
    saved = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert saved.dtype == torch.bfloat16 and rounding.dtype == "bfloat16"
    logits = _logits(saved).float()
    base = _logits(AutoModelForCausalLM.from_pretrained(BASE)).float()
    assert (logits - expected).abs().mean() < 0.1 * (base - expected).abs().mean()
    assert (
        rounding.loss == pytest.approx(rounding.loss_saved, rel=0.02) and rounding.loss != rounding.loss_saved
    )
    assert (rounding.merge_difference is not None) == lora
    kept, given = (AutoTokenizer.from_pretrained(folder) for folder in (tmp_path / "model", BASE))
    assert kept.chat_template == given.chat_template


def test_a_merge_that_changes_the_logits_is_refused_and_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _checkpoint(tmp_path / "checkpoint", lora=True)
    monkeypatch.setattr("peft.PeftModel.merge_and_unload", lambda self: self.unload(), raising=False)
    with pytest.raises(VerlCoderError, match="merged weights give other logits than the adapter, by up to"):
        finish_model(tmp_path / "checkpoint", BASE, tmp_path / "model", probe=PROBE, lora=LORA)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


@pytest.mark.parametrize("weights", [True, False])
def test_a_hub_name_is_fetched_with_weights_only_where_they_are_needed(
    weights: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def snapshot_download(name: str, *, allow_patterns: list[str]) -> str:
        asked.extend(allow_patterns)
        return "fetched"

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    assert resolve_model("owner/name", weights=weights) == Path("fetched")
    assert ("*.safetensors" in asked) == weights and "*.json" in asked
