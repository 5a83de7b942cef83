"""What does not fit is refused before the start, with what would fit."""

from pathlib import Path
from typing import Any

import pytest

from verl_coder.errors import ConfigError
from verl_coder.launch.cards import GIB
from verl_coder.launch.model_shape import ModelShape
from verl_coder.sft import memory
from verl_coder.sft.memory import check_memory, plan_memory
from verl_coder.sft.settings import SftRequest

HALF_BILLION = ModelShape(
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
    whole, lora = (plan_memory(_request(lora_rank=rank), HALF_BILLION, 700).total() for rank in (0, 16))
    assert whole - lora == pytest.approx(12 * HALF_BILLION.parameters, rel=0.1)


@pytest.mark.parametrize(
    ("gib", "cure"),
    [
        (12, "set --micro-tokens 700: then"),
        (6, "set --lora-rank 16 --micro-tokens 700"),
        (2, "a smaller model"),
    ],
)
def test_what_makes_it_fit_is_named(monkeypatch: pytest.MonkeyPatch, gib: float, cure: str) -> None:
    monkeypatch.setattr(memory, "shape_of", lambda model: HALF_BILLION)
    monkeypatch.setattr(memory, "machine_bytes", lambda: gib * GIB)
    with pytest.raises(ConfigError, match=rf"^memory: .*the machine has {gib}.0 GiB.*{cure}") as caught:
        check_memory(_request(), Path("m"), 700)
    assert "\n" not in str(caught.value)


def test_what_fits_is_planned_on_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "shape_of", lambda model: HALF_BILLION)
    monkeypatch.setattr(memory, "machine_bytes", lambda: 64 * GIB)
    plan = check_memory(_request(), Path("m"), 700)
    assert plan and not plan.excess
