"""LoRA on a CPU: the adapter's part is added by the matrix product that makes it, forward and backward.

peft computes y = W x, then B (A x), then scales that, then adds it: three more passes over memory as large as y, and in
the backward pass two over gradients as large as y and x. On two cores those cost as much as the matrix products. Here
y and dL/dx are made once and added to in place, and of a layer's activations only x is kept.

What is not a plain adapter (dropout, DoRA, several, merged, a bias of its own) is left to peft.
Importing the module puts it into peft's linear layer.
"""

from typing import Any

import torch
from peft.tuners.lora import layer as _peft


class LoraLinear(torch.autograd.Function):
    """(T, in), (out, in), (out,), (r, in), (out, r), factor -> (T, out); of the layer's own weights no gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        a: torch.Tensor,
        b: torch.Tensor,
        scaling: float,
    ) -> torch.Tensor:
        y = torch.mm(x, weight.t()) if bias is None else torch.addmm(bias, x, weight.t())
        low = torch.mm(x, a.t())
        ctx.save_for_backward(x, weight, a, b, low)
        ctx.scaling = scaling
        return y.addmm_(low, b.t(), alpha=scaling)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight, a, b, low = ctx.saved_tensors
        dy = gradients[0]
        d_low = torch.mm(dy, b).mul_(ctx.scaling)
        dx = torch.mm(dy, weight).addmm_(d_low, a) if ctx.needs_input_grad[0] else None
        return dx, None, None, torch.mm(d_low.t(), x), torch.mm(dy.t(), low).mul_(ctx.scaling), None


def _forward(layer: Any, x: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    """`peft.tuners.lora.layer.Linear.forward`."""
    name = _plain_adapter(layer)
    if name is None or args or kwargs:
        return _pefts_forward(layer, x, *args, **kwargs)
    base, a, b = layer.base_layer, layer.lora_A[name].weight, layer.lora_B[name].weight
    device = x.device.type
    kind = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else base.weight.dtype
    bias = None if base.bias is None else base.bias.to(kind)
    rows = x.reshape(-1, x.size(-1)).to(kind)
    with torch.autocast(device, enabled=False):
        y = LoraLinear.apply(
            rows, base.weight.to(kind), bias, a.to(kind), b.to(kind), float(layer.scaling[name])
        )
    return y.view(*x.shape[:-1], y.size(-1))


def _plain_adapter(layer: Any) -> str | None:
    """The name of the one adapter at work; None where there is none, or more than its two matrices to it."""
    names = [name for name in layer.active_adapters if name in layer.lora_A]
    if layer.disable_adapters or layer.merged or len(names) != 1:
        return None
    (name,) = names
    base, a, b, dropout = layer.base_layer, layer.lora_A[name], layer.lora_B[name], layer.lora_dropout[name]
    plain = (
        type(base) is torch.nn.Linear
        and not base.weight.requires_grad
        and (base.bias is None or not base.bias.requires_grad)
        and a.bias is None
        and b.bias is None
        and name not in layer.lora_variant
        and (isinstance(dropout, torch.nn.Identity) or not dropout.training)
    )
    return name if plain else None


_pefts_forward: Any = _peft.Linear.forward
_peft.Linear.forward = _forward  # type: ignore[method-assign]
