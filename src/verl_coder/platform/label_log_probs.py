"""Log-probabilities of labels from the last hidden states: the vocabulary's logits never stand in memory together.

The gradient of a token's log-probability with respect to its hidden state h, whose logits are W h / t, is

    d log p(y) / d h = (W[y] - sum_v p(v) W[v]) / t

and does not depend on the loss, which gives a token only its factor. So the forward pass computes it beside the
log-probability, as many tokens at a time as a buffer takes, and keeps as much as the hidden state takes. It costs the
two matrix products that it costs with logits in memory; those take 2.4 GB for 900 tokens of a vocabulary of 152,000.

It needs an output layer that is not trained, as with LoRA, and a model that does nothing else to its logits.
"""

from dataclasses import dataclass
from typing import Any

import torch

from verl_coder.platform.output_layer import CHUNK_LOGITS, PLAIN_MODELS

_BLOCK_LOGITS = 1 << 20
"""Of these so many at a time on a CPU for what is done to each: what the caches hold."""
_LEAST_TEMPERATURE = 1e-8


class LabelLogProbs(torch.autograd.Function):
    """See `label_log_probs`."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        labels: torch.Tensor,
        temperature: torch.Tensor | None,
        entropies: torch.Tensor | None,
    ) -> torch.Tensor:
        tokens, words = hidden.size(0), weight.size(0)
        kind = torch.float64 if weight.dtype == torch.float64 else torch.float32
        chunk = min(max(CHUNK_LOGITS // words, 1), tokens)
        block = min(max(_BLOCK_LOGITS // words, 1), chunk) if hidden.device.type == "cpu" else chunk
        logits = weight.new_empty(chunk, words)
        exact = None if weight.dtype == kind else torch.empty(block, words, dtype=kind, device=weight.device)
        found = torch.empty(tokens, dtype=kind, device=hidden.device)
        gradient = weight.new_empty(tokens, weight.size(1)) if ctx.needs_input_grad[0] else None
        for begin in range(0, tokens, chunk):
            end = min(begin + chunk, tokens)
            torch.mm(hidden[begin:end], weight.t(), out=logits[: end - begin])
            for first in range(begin, end, block):
                part = slice(first, min(first + block, end))
                given = logits[first - begin : part.stop - begin]
                values = given if exact is None else exact[: len(given)].copy_(given)
                if temperature is not None:
                    values.div_(temperature[part, None])
                found[part] = _to_slopes(
                    values,
                    labels[part, None],
                    None if entropies is None else entropies[part],
                    gradient is not None,
                )
                if gradient is not None:
                    if temperature is not None:
                        values.div_(temperature[part, None])
                    given.copy_(values)
            if gradient is not None:
                torch.mm(logits[: end - begin], weight, out=gradient[begin:end])
        ctx.save_for_backward(gradient)
        return found

    @staticmethod
    def backward(ctx: Any, *factors: torch.Tensor) -> tuple[torch.Tensor, None, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return (gradient * factors[0].unsqueeze(-1)).to(gradient.dtype), None, None, None, None


def _to_slopes(
    values: torch.Tensor, labels: torch.Tensor, entropies: torch.Tensor | None, wanted: bool
) -> torch.Tensor:
    """Log-probabilities (T,) of `labels` (T, 1); `values` (T, V), logits, become their slopes where `wanted`."""
    top = values.amax(-1, keepdim=True)
    of_labels = values.gather(-1, labels) - top
    values.sub_(top)
    if entropies is not None:
        shifted = values.clone()
    total = values.exp_().sum(-1, keepdim=True)
    if entropies is not None:
        entropies.copy_((total.log() - (values * shifted).sum(-1, keepdim=True) / total).squeeze(-1))
    if wanted:
        values.div_(-total)
        values.scatter_add_(-1, labels, torch.ones_like(of_labels))
    return (of_labels - total.log()).squeeze(-1)


def label_log_probs(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    labels: torch.Tensor,
    temperature: torch.Tensor | None = None,
    entropies: torch.Tensor | None = None,
) -> torch.Tensor:
    """Log-probabilities (T,) of `labels` (T,) from hidden states (T, H) and the output layer's `weight` (V, H).

    `temperature` (T,) divides the logits. `entropies` (T,) is filled with each token's entropy in nats, without a
    gradient. In float32, from logits in the number format of the matrix product: autocast's, where it is on.
    """
    device = hidden.device.type
    kind = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight.dtype
    if temperature is not None:
        temperature = temperature.clamp(min=_LEAST_TEMPERATURE).float()
    with torch.autocast(device, enabled=False):
        return LabelLogProbs.apply(hidden.to(kind), weight.to(kind), labels, temperature, entropies)


@dataclass
class Question:
    """What the next pass through the output layer is to answer instead of logits."""

    labels: torch.Tensor
    temperature: torch.Tensor | None
    entropies: torch.Tensor | None


class LabelHead:
    """A model's output layer that answers one `Question` and gives logits where there is none."""

    def __init__(self, layer: Any) -> None:
        self._layer, self._logits = layer, layer.forward
        self.question: Question | None = None
        layer.forward = self._forward

    def _forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """(1, T, H) -> (1, T) log-probabilities, or logits of any shape."""
        question, self.question = self.question, None
        if question is None:
            return self._logits(hidden)
        return label_log_probs(
            hidden.squeeze(0),
            self._layer.weight,
            question.labels,
            question.temperature,
            question.entropies,
        ).unsqueeze(0)


def label_head_of(module: Any) -> LabelHead | None:
    """The one head of a model; None where its output layer is trained, or is not all that makes its logits."""
    model = module.get_base_model() if hasattr(module, "get_base_model") else module
    layer: Any = model.get_output_embeddings()
    plain = type(layer) is torch.nn.Linear and layer.bias is None and not layer.weight.requires_grad
    if not plain or getattr(model.config, "model_type", "") not in PLAIN_MODELS:
        return None
    if not hasattr(layer, "label_head"):
        layer.label_head = LabelHead(layer)
    head: LabelHead = layer.label_head
    return head
