"""Log-probabilities without logits in memory: values and gradients are those of the logits, and they are asked for."""

from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from small_model import small_engine, small_model
from tensordict import TensorDict
from transformers import Gemma2Config, Gemma2ForCausalLM
from verl.utils import tensordict_utils as tu

from verl_coder.platform import label_log_probs as ours
from verl_coder.platform import packed_attention, shared_prefix

TOKENS, WIDTH, WORDS = 23, 16, 41


def _numbers(dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    """Hidden states, output layer, labels, temperatures, factors of a loss."""
    torch.manual_seed(0)
    hidden = torch.randn(TOKENS, WIDTH).to(dtype).requires_grad_()
    weight = torch.randn(WORDS, WIDTH).to(dtype)
    return hidden, weight, torch.randint(WORDS, (TOKENS,)), torch.rand(TOKENS) + 0.5, torch.randn(TOKENS)


def _with_logits(
    hidden: torch.Tensor, weight: torch.Tensor, labels: torch.Tensor, temperature: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probabilities and entropies, by the definition."""
    logits = hidden @ weight.T
    if temperature is not None:
        logits = logits / temperature[:, None]
    log_probs = logits.log_softmax(-1)
    entropies = -(log_probs.exp() * log_probs).sum(-1)
    return log_probs.gather(-1, labels[:, None]).squeeze(-1), entropies


@pytest.mark.parametrize("chunk", [1, 4 * WORDS, 1 << 20])
@pytest.mark.parametrize("block", [1, 3 * WORDS, 1 << 20])
@pytest.mark.parametrize("warm", [False, True])
def test_values_entropies_and_gradients_are_those_of_the_logits(
    chunk: int, block: int, warm: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ours, "CHUNK_LOGITS", chunk)
    monkeypatch.setattr(ours, "_BLOCK_LOGITS", block)
    hidden, weight, labels, temperatures, factors = _numbers(torch.float32)
    temperature = temperatures if warm else None
    expected, expected_entropies = _with_logits(hidden, weight, labels, temperature)
    (expected * factors).sum().backward()
    assert hidden.grad is not None
    wanted, hidden.grad = hidden.grad, None
    entropies = torch.empty(TOKENS)
    found = ours.label_log_probs(hidden, weight, labels, temperature, entropies)
    (found * factors).sum().backward()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(entropies, expected_entropies, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(hidden.grad, wanted, rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        torch.testing.assert_close(ours.label_log_probs(hidden, weight, labels, temperature), found)


def test_in_bfloat16_a_gradient_is_as_near_as_that_of_logits_in_bfloat16() -> None:
    hidden, weight, labels, temperature, factors = _numbers(torch.bfloat16)
    gradients = []
    for compute in (ours.label_log_probs, lambda *arguments: _with_logits(*arguments)[0]):
        copy = hidden.detach().clone().requires_grad_()
        (compute(copy, weight, labels, temperature) * factors).sum().backward()
        assert copy.grad is not None
        gradients.append(copy.grad.float())
    exact = hidden.detach().float().requires_grad_()
    (_with_logits(exact, weight.float(), labels, temperature)[0] * factors).sum().backward()
    assert exact.grad is not None
    errors = [(gradient - exact.grad).norm() for gradient in gradients]
    assert errors[0] < 1.2 * errors[1]


def test_a_likely_label_has_its_small_gradient_and_not_a_difference_of_two_large_ones() -> None:
    weight = torch.eye(8, dtype=torch.bfloat16) * 12
    hidden = torch.eye(8, dtype=torch.bfloat16)[:1].requires_grad_()
    ours.label_log_probs(hidden, weight, torch.tensor([0])).sum().backward()
    exact = hidden.detach().double().requires_grad_()
    _with_logits(exact, weight.double(), torch.tensor([0]), None)[0].sum().backward()
    assert hidden.grad is not None and exact.grad is not None
    torch.testing.assert_close(hidden.grad.double(), exact.grad, rtol=2e-2, atol=1e-6)


def _engine(attention: str, *, lora: bool = True) -> Any:
    """An engine around a small model whose output layer is not trained."""
    engine = small_engine(attention)
    torch.manual_seed(1)
    if lora:
        engine.module = get_peft_model(engine.module, LoraConfig(r=4, target_modules=["q_proj", "down_proj"]))
        for name, value in engine.module.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(value, std=0.1)
    return engine


def _batch(**settings: Any) -> TensorDict:
    rows = [torch.tensor([*range(3, 33), answer, 7, 9 + answer]) for answer in range(4)]
    fields = {
        "input_ids": torch.nested.as_nested_tensor(rows, layout=torch.jagged),
        "position_ids": torch.nested.as_nested_tensor(
            [torch.arange(len(row)) for row in rows], layout=torch.jagged
        ),
        "loss_mask": torch.nested.as_nested_tensor([torch.ones(3) for _ in rows], layout=torch.jagged),
    }
    data = TensorDict(fields, batch_size=len(rows))
    tu.assign_non_tensor(data, **{"use_remove_padding": True, "temperature": 0.7, **settings})
    return data


def _pass(engine: Any, data: TensorDict) -> tuple[dict[str, torch.Tensor], tuple[int, ...]]:
    """Values of every token, and the shape of what the model gave for logits."""
    inputs, arguments = engine.prepare_model_inputs(data)
    output = engine.module(**inputs, use_cache=False)
    found = engine.prepare_model_outputs(output, arguments, data, None)
    return {name: value.values() for name, value in found.items()}, tuple(output.logits.shape)


@pytest.mark.parametrize("attention", [packed_attention.NAME, shared_prefix.NAME])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_an_engine_whose_output_layer_is_not_trained_makes_no_logits_and_learns_the_same(
    attention: str, temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    values, shapes, gradients = [], [], []
    for asked in (True, False):
        if not asked:
            monkeypatch.setattr(shared_prefix, "label_head_of", lambda module: None)
        engine, data = _engine(attention), _batch(temperature=temperature)
        found, shape = _pass(engine, data)
        (found["log_probs"] * torch.linspace(-1, 1, len(found["log_probs"]))).sum().backward()
        values.append(found["log_probs"])
        shapes.append(shape)
        gradients.append(
            {name: value.grad for name, value in engine.module.named_parameters() if value.requires_grad}
        )
    assert shapes[0] == shapes[1][:2] and len(shapes[1]) == 3
    torch.testing.assert_close(values[0], values[1], rtol=1e-4, atol=1e-5)
    assert values[0].count_nonzero() > 0
    for name, value in gradients[1].items():
        torch.testing.assert_close(gradients[0][name], value, rtol=1e-3, atol=1e-5, msg=name)


def test_a_pass_without_gradients_has_entropies_too() -> None:
    data = _batch(calculate_entropy=True)
    with torch.no_grad():
        found, shape = _pass(_engine(shared_prefix.NAME), data)
    expected, whole = _pass(_engine(shared_prefix.NAME), data)
    assert len(shape) == 2 and len(whole) == 3
    for name in ("log_probs", "entropy"):
        torch.testing.assert_close(found[name], expected[name].detach(), rtol=1e-4, atol=1e-5)


def test_logits_are_made_where_the_loss_needs_them_or_the_output_layer_learns() -> None:
    for engine, settings in (
        (_engine(shared_prefix.NAME), {"calculate_entropy": True}),
        (_engine(shared_prefix.NAME, lora=False), {}),
    ):
        assert len(_pass(engine, _batch(**settings))[1]) == 3


def test_a_layer_gives_logits_again_once_its_question_is_answered() -> None:
    engine = _engine(shared_prefix.NAME)
    _pass(engine, _batch())
    assert engine.module(torch.tensor([[5, 6, 7]])).logits.shape == (1, 3, 50)


def test_a_model_that_bends_its_logits_is_left_alone() -> None:
    config = Gemma2Config(
        vocab_size=50,
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        intermediate_size=32,
    )
    model = Gemma2ForCausalLM(config).requires_grad_(False)
    assert ours.label_head_of(model) is None
    assert ours.label_head_of(small_model("sdpa").requires_grad_(False)) is not None
