"""What an SFT run takes of the machine's memory, or of the GPU's, before it starts: the RL run's plan, one process."""

from dataclasses import replace
from pathlib import Path

import psutil

from verl_coder.errors import ConfigError
from verl_coder.launch.cards import GIB, card_for
from verl_coder.launch.memory_plan import (
    BASE_MIB,
    CUDA_MIB,
    LOGIT_BYTES,
    LOGIT_BYTES_ON_CPU,
    RAY_KILLS_AT,
    MemoryPlan,
    Term,
    activation_bytes,
    machine_bytes,
)
from verl_coder.launch.model_shape import ModelShape, shape_of
from verl_coder.sft.settings import SftRequest, micro_tokens

_FEW_TOKENS = 512
_SMALL_RANK = 16


def plan_memory(request: SftRequest, shape: ModelShape, longest: int) -> MemoryPlan:
    """Weights, gradients and AdamW in float32, and one pass; `longest` is the longest trace in tokens."""
    on_gpu = request.profile == "gpu"
    rank = request.lora_rank
    trained = shape.lora_parameters(rank) if rank else shape.parameters
    tokens = micro_tokens(request, longest)
    width = 2 if on_gpu or request.cpu_numbers == "bfloat16" else 4
    activations = activation_bytes(
        shape, tokens, width=width, checkpointing=True, adapter_on_cpu=bool(rank) and not on_gpu
    )
    sizes = {
        "parameters": 4.0 * (shape.parameters + (trained if rank else 0)),
        "gradients": 4.0 * trained,
        "optimiser": 8.0 * trained,
        "logits of a pass": float(shape.vocab_size)
        * tokens
        * (LOGIT_BYTES if on_gpu else LOGIT_BYTES_ON_CPU),
        "activations of a pass": activations,
    }
    terms = [Term(process="trainer", what=what, bytes=size, on_gpu=on_gpu) for what, size in sizes.items()]
    if on_gpu:
        terms.append(Term(process="trainer", what="CUDA", bytes=CUDA_MIB * 2.0**20, on_gpu=True))
    for process, base in (("trainer", "actor"), ("launcher", "launcher and sandbox")):
        terms.append(Term(process=process, what="process", bytes=BASE_MIB[base] * 2.0**20))
    return MemoryPlan(
        terms=tuple(terms),
        machine_bytes=machine_bytes(),
        free_bytes=psutil.virtual_memory().available,
        card=card_for(None) if on_gpu else None,
    )


def check_memory(request: SftRequest, model: Path, longest: int, *, refuse: bool = True) -> MemoryPlan | None:
    """The plan, None where the model's sizes are not known; ConfigError, with what makes it fit, where it does not."""
    shape = shape_of(str(model))
    plan = plan_memory(request, shape, longest) if shape else None
    if plan is None or shape is None or not (plan.excess and refuse):
        return plan
    fewer = max(longest, _FEW_TOKENS)
    trials = [
        (f"--micro-tokens {fewer}", replace(request, micro_tokens=fewer)),
        (f"--lora-rank {_SMALL_RANK}", replace(request, lora_rank=_SMALL_RANK)),
        (
            f"--lora-rank {_SMALL_RANK} --micro-tokens {fewer}",
            replace(request, lora_rank=_SMALL_RANK, micro_tokens=fewer),
        ),
    ]
    on_gpu = request.profile == "gpu"
    for words, changed in trials:
        found = plan_memory(changed, shape, longest)
        if not found.excess:
            cure = f"set {words}: then {found.total(on_gpu=on_gpu) / GIB:.1f} GiB"
            break
    else:
        cure = (
            f"a smaller model is needed: with {trials[-1][0]} {found.total(on_gpu=on_gpu) / GIB:.1f} GiB are"
        )
    limit = "" if on_gpu else f" (at most {RAY_KILLS_AT:.0%} of it)"
    raise ConfigError(f"memory: {plan.summary()}{limit}: {cure} (--no-memory-check starts it anyway)")
