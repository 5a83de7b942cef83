"""What an SFT run takes of the machine's memory, or of the GPU's, before it starts: the RL run's plan, one process."""

from dataclasses import dataclass, replace
from pathlib import Path

from verl_coder.errors import ConfigError
from verl_coder.files import free_bytes
from verl_coder.launch.cards import GIB, card_for
from verl_coder.launch.memory_plan import (
    CUDA_MIB,
    LOGIT_BYTES,
    LOGIT_BYTES_ON_CPU,
    RAY_KILLS_AT,
    MemoryPlan,
    Term,
    activation_bytes,
    can_do_without_logits,
    free_memory,
    label_bytes,
    machine_bytes,
)
from verl_coder.launch.model_shape import ModelShape, shape_of
from verl_coder.run.checkpoint_files import planned_bytes, saved_steps
from verl_coder.run.run_dir import RunDir
from verl_coder.sft.settings import SftRequest, micro_tokens, recomputes

PROCESS_MIB = 800
"""Of the trainer, and of the launcher, before they hold anything of the model."""
_FEW_TOKENS = 512
_SMALL_RANK = 16
_AMPLE = 0.75
_CHECKPOINTS = 3
_SMALL_FILES = 100 * 2**20


def plan_memory(
    request: SftRequest, shape: ModelShape, longest: int, *, recompute: bool = True
) -> MemoryPlan:
    """Weights, gradients and AdamW in float32, and one pass; `longest` is the longest trace in tokens.

    `recompute`: activations are computed twice.
    """
    on_gpu = request.profile == "gpu"
    rank = request.lora_rank
    trained = shape.lora_parameters(rank) if rank else shape.parameters
    tokens = micro_tokens(request, longest)
    width = 2 if on_gpu or request.cpu_numbers == "bfloat16" else 4
    activations = activation_bytes(shape, tokens, width=width, checkpointing=recompute)
    logit_bytes = LOGIT_BYTES if on_gpu else LOGIT_BYTES_ON_CPU
    logits = float(shape.vocab_size * tokens * logit_bytes)
    if rank and not on_gpu and can_do_without_logits(shape):
        logits = label_bytes(shape, tokens, width=width)
    sizes = {
        "parameters": 4.0 * (shape.parameters + (trained if rank else 0)),
        "gradients": 4.0 * trained,
        "optimiser": 8.0 * trained,
        "logits of a pass": logits,
        "activations of a pass": activations,
    }
    terms = [Term(process="trainer", what=what, bytes=size, on_gpu=on_gpu) for what, size in sizes.items()]
    if on_gpu:
        terms.append(Term(process="trainer", what="CUDA", bytes=CUDA_MIB * 2.0**20, on_gpu=True))
        # The adapter or all weights from the checkpoint, and the model that they go into; the trainer has ended.
        export = 4.0 * (shape.parameters + trained)
        terms.append(Term(process="launcher", what="the trained model at the end", bytes=export))
    for process in ("trainer", "launcher"):
        terms.append(Term(process=process, what="process", bytes=PROCESS_MIB * 2.0**20))
    return MemoryPlan(
        terms=tuple(terms),
        machine_bytes=machine_bytes(),
        free_bytes=free_memory(),
        card=card_for(None) if on_gpu else None,
    )


@dataclass(frozen=True, kw_only=True)
class SftMemory:
    """What a run takes, and whether it computes activations twice to take no more."""

    plan: MemoryPlan | None
    """None where the model's sizes are not known."""
    recompute: bool


def check_memory(request: SftRequest, model: Path, longest: int, *, refuse: bool = True) -> SftMemory:
    """The plan; activations are kept where there is ample room. ConfigError where it does not fit, with what would."""
    asked, shape = recomputes(request), shape_of(str(model))
    if shape is None:
        return SftMemory(plan=None, recompute=asked is not False)
    plan = plan_memory(request, shape, longest, recompute=bool(asked))
    if asked is None and not _is_ample(plan):
        asked, plan = True, plan_memory(request, shape, longest)
    if refuse and plan.excess:
        raise ConfigError(_refusal(request, shape, longest, plan))
    return SftMemory(plan=plan, recompute=bool(asked))


def _is_ample(plan: MemoryPlan) -> bool:
    """Whether the estimate may be wrong by a third, and it fits all the same."""
    if plan.card is not None and plan.total(on_gpu=True) > _AMPLE * plan.card.memory:
        return False
    return plan.total() <= _AMPLE * min(plan.free_bytes, plan.machine_bytes)


def _refusal(request: SftRequest, shape: ModelShape, longest: int, plan: MemoryPlan) -> str:
    """What is missing, and what makes it fit."""
    fewer = max(longest, _FEW_TOKENS)
    trials = [
        (f"--micro-tokens {fewer}", replace(request, micro_tokens=fewer)),
        (f"--lora-rank {_SMALL_RANK}", replace(request, lora_rank=_SMALL_RANK)),
        (
            f"--lora-rank {_SMALL_RANK} --micro-tokens {fewer}",
            replace(request, lora_rank=_SMALL_RANK, micro_tokens=fewer),
        ),
    ]
    on_gpu = plan.card is not None and plan.total(on_gpu=True) > plan.card.memory
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
    return f"memory: {plan.summary()}{limit}: {cure} (--no-memory-check starts it anyway)"


def check_disk(request: SftRequest, model: Path) -> None:
    """ConfigError where the last checkpoint, the best, one that is being written and the model do not fit."""
    shape = shape_of(str(model))
    if shape is None:
        return
    adapter = shape.lora_parameters(request.lora_rank) if request.lora_rank else 0
    one = planned_bytes(shape.parameters, adapter, adapter_alone=True)
    kept = len(saved_steps(RunDir(request.out).checkpoints))
    needed = one * max(_CHECKPOINTS - kept, 1) + 4 * shape.parameters + _SMALL_FILES
    free = free_bytes(request.out)
    if free < needed:
        raise ConfigError(
            f"--out {request.out}: {free / 2**20:,.0f} MiB free, checkpoints and model need {needed / 2**20:,.0f} MiB: "
            f"free some, name another folder, or set --lora-rank {_SMALL_RANK}, whose checkpoints are small"
        )
