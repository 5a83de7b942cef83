"""LoRA's part added in place: the values and gradients of peft's own layer, and peft where it is not plain."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from small_model import small_model

from verl_coder.platform import lora_linear


def _model(**settings: Any) -> Any:
    """A small model with adapters that change it."""
    options = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", **settings}
    model = get_peft_model(small_model("sdpa"), LoraConfig(**options))
    torch.manual_seed(1)
    for name, value in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(value, std=0.1)
    return model.train()


def _learn(model: Any, kind: torch.dtype | None = None) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Logits, and the gradients of a loss over them."""
    with torch.autocast("cpu", kind or torch.bfloat16, enabled=kind is not None):
        logits = model(torch.arange(3, 33).view(2, 15)).logits.float()
    (logits * torch.linspace(-1, 1, logits.numel()).view_as(logits)).sum().backward()
    return logits.detach(), {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def _by_peft(monkeypatch: pytest.MonkeyPatch, work: Callable[[], Any]) -> Any:
    with monkeypatch.context() as patched:
        patched.setattr(lora_linear._peft.Linear, "forward", lora_linear._pefts_forward)
        return work()


def _calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by one for each layer that adds its adapter in place."""
    calls: list[int] = []
    apply = lora_linear.LoraLinear.apply
    monkeypatch.setattr(
        lora_linear.LoraLinear, "apply", lambda *arguments: calls.append(1) or apply(*arguments)
    )
    return calls


def test_values_and_gradients_are_pefts(monkeypatch: pytest.MonkeyPatch) -> None:
    expected, wanted = _by_peft(monkeypatch, lambda: _learn(_model()))
    calls = _calls(monkeypatch)
    found, gradients = _learn(_model())
    assert len(calls) == 14
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert gradients.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(gradients[name], value, rtol=1e-4, atol=1e-5, msg=name)


def test_in_bfloat16_it_is_as_near_to_float32_as_peft_is(monkeypatch: pytest.MonkeyPatch) -> None:
    exact, true = _learn(_model())
    theirs, their_gradients = _by_peft(monkeypatch, lambda: _learn(_model(), torch.bfloat16))
    ours, our_gradients = _learn(_model(), torch.bfloat16)
    assert (ours - exact).norm() < 1.1 * (theirs - exact).norm()

    def error(gradients: dict[str, torch.Tensor]) -> float:
        return sum(float((gradients[name] - value).norm() ** 2) for name, value in true.items()) ** 0.5

    assert error(our_gradients) < 1.2 * error(their_gradients)


@pytest.mark.parametrize(
    "settings", [{"lora_dropout": 0.5}, {"use_dora": True}, {"lora_bias": True}, {"bias": "all"}]
)
def test_what_is_more_than_two_matrices_is_pefts(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = _calls(monkeypatch)
    _learn(_model(**settings))
    # Without a bias of its own a layer's is not trained, whatever is said of all.
    assert len(calls) == (8 if settings == {"bias": "all"} else 0)


def test_without_an_adapter_or_with_a_merged_one_the_layer_is_pefts(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = _calls(monkeypatch)
    model = _model()
    ids = torch.arange(3, 18).view(1, 15)
    with model.disable_adapter():
        base = model(ids).logits
    assert not calls
    torch.testing.assert_close(base, small_model("sdpa")(ids).logits)
    adapted = model(ids).logits
    calls.clear()
    model.merge_adapter()
    torch.testing.assert_close(model(ids).logits, adapted, rtol=1e-4, atol=1e-5)
    assert not calls


def test_a_second_adapter_at_work_is_pefts(monkeypatch: pytest.MonkeyPatch) -> None:
    model = _model()
    model.add_adapter("other", LoraConfig(r=2, target_modules="all-linear"))
    model.base_model.set_adapter(["default", "other"])
    calls = _calls(monkeypatch)
    model(torch.arange(3, 18).view(1, 15))
    assert not calls
