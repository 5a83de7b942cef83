"""What does not fit is refused before the start, with what would fit."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from verl_coder.errors import ConfigError
from verl_coder.launch.cards import GIB
from verl_coder.launch.model_shape import ModelShape
from verl_coder.sft import memory
from verl_coder.sft.memory import check_disk, check_memory, plan_memory
from verl_coder.sft.settings import SftRequest

HALF_BILLION = ModelShape(
    model_type="qwen2",
    vocab_size=151_936,
    hidden_size=896,
    intermediate_size=4864,
    layers=24,
    heads=14,
    kv_heads=2,
    head_dim=64,
    tied=True,
    parameters=494_000_000,
)


def _request(**changes: Any) -> SftRequest:
    options = {"model": "m", "traces": Path("t.parquet"), "out": Path("out"), "profile": "cpu"}
    return SftRequest(**{**options, **changes})


def test_an_adapter_takes_no_gradients_and_optimiser_of_the_base() -> None:
    shape = replace(HALF_BILLION, model_type="gemma2")
    whole, lora = (plan_memory(_request(lora_rank=rank), shape, 700).total() for rank in (0, 16))
    assert whole - lora == pytest.approx(12 * HALF_BILLION.parameters, rel=0.1)


def test_an_adapter_needs_no_logits_where_the_output_layer_gives_them_as_they_are() -> None:
    plain, other = (
        plan_memory(_request(lora_rank=16), replace(HALF_BILLION, model_type=name), 700).total()
        for name in ("qwen2", "gemma2")
    )
    assert other - plain > 8 * 700 * HALF_BILLION.vocab_size


@pytest.mark.parametrize(
    ("gib", "cure"),
    [
        (12, "set --micro-tokens 700: then"),
        (6, "set --lora-rank 16: then"),
        (4.2, "set --lora-rank 16 --micro-tokens 700"),
        (2, "a smaller model"),
    ],
)
def test_what_makes_it_fit_is_named(monkeypatch: pytest.MonkeyPatch, gib: float, cure: str) -> None:
    monkeypatch.setattr(memory, "shape_of", lambda model: HALF_BILLION)
    monkeypatch.setattr(memory, "machine_bytes", lambda: gib * GIB)
    with pytest.raises(ConfigError, match=rf"^memory: .*the machine has {gib:.1f} GiB.*{cure}") as caught:
        check_memory(_request(), Path("m"), 700)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("free", "recompute"), [(64, False), (12, True)])
def test_activations_are_kept_where_there_is_ample_room(
    monkeypatch: pytest.MonkeyPatch, free: float, recompute: bool
) -> None:
    monkeypatch.setattr(memory, "shape_of", lambda model: HALF_BILLION)
    monkeypatch.setattr(memory, "machine_bytes", lambda: 64 * GIB)
    monkeypatch.setattr(memory, "free_memory", lambda: free * GIB)
    found = check_memory(_request(), Path("m"), 700)
    assert found.plan and not found.plan.excess and found.recompute == recompute
    given = _request(overrides=(f"model.enable_gradient_checkpointing={not recompute}",))
    assert check_memory(given, Path("m"), 700).recompute != recompute


def test_a_full_disk_is_told_before_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(memory, "shape_of", lambda model: HALF_BILLION)
    monkeypatch.setattr(memory, "free_bytes", lambda place: 4 * GIB)
    with pytest.raises(ConfigError, match=r"4,096 MiB free, checkpoints and model need .*--lora-rank 16"):
        check_disk(_request(out=tmp_path / "out"), Path("m"))
    check_disk(_request(out=tmp_path / "out", lora_rank=16), Path("m"))
