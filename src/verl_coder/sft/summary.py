"""What an SFT run is going to do, and what it came to, in words and as JSON."""

import math
from pathlib import Path
from typing import Any

from rich.console import Console

from verl_coder.sft.best import LOSS
from verl_coder.sft.model_folder import Rounding
from verl_coder.sft.prepare import SftPlan
from verl_coder.sft.settings import SftRequest
from verl_coder.words import counted


def summary(
    request: SftRequest, counts: dict[str, int], steps: int, kept_step: int, metrics: list[dict[str, Any]]
) -> dict[str, Any]:
    """What the run came to; losses are means over the learnt tokens, the validation loss None without held-out rows.

    `kept_step` is that of the model in OUT/model; seconds are those of the steps, over all starts.
    """
    data = [record["data"] for record in metrics]
    losses = [d["train/loss"] for d in data if "train/loss" in d]
    step_s = sum(d.get("timing_s/step", 0.0) for d in data)
    tokens = sum(d.get("train/global_tokens", 0) for d in data)
    return {
        "settings": request.as_json(),
        "data": counts,
        "steps": steps,
        "train_loss": {"first": losses[0], "last": losses[-1]},
        "validation_loss": {
            "before": next((d["val/loss_before"] for d in data if "val/loss_before" in d), None),
            "after": next((d[LOSS] for d in reversed(data) if LOSS in d), None),
            "kept": next((r["data"].get(LOSS) for r in metrics if r["step"] == kept_step), None),
        },
        "kept_step": kept_step,
        "seconds": round(step_s, 1),
        "tokens_per_s": round(tokens / step_s, 1) if step_s else None,
        "model": str(request.out / "model"),
    }


def tell_plan(console: Console, request: SftRequest, plan: SftPlan) -> None:
    """Traces, tokens, steps and memory, a line each."""
    data = plan.data
    counts = data.counts
    longest = f"{request.max_prompt_length} tokens of prompt or {request.max_response_length} of response"
    learns = (
        f"LoRA of rank {request.lora_rank}, alpha {request.alpha}" if request.lora_rank else "all parameters"
    )
    kept = "activations are computed twice" if plan.memory.recompute else "activations are kept"
    lines = [
        f"traces: {counts['traces']} read, {counts['dropped_too_long']} dropped (longer than {longest}), "
        f"{counts['training']} to train on, {counts['held_out']} held out{_dropped_of_held_out(counts)}",
        *_nothing_held_out(request, counts),
        *_composed(data.composed),
        f"tokens: {counts['tokens']} an epoch, {counts['tokens_learnt']} of them learnt; the longest trace has "
        f"{data.longest}; tools in the prompt: {request.tools or 'none'}",
        f"steps: {plan.steps} of {request.batch_size} traces, {counted(request.epochs, 'epoch')}, on the "
        f"{request.profile}; {learns}, learning rate {request.peak_learning_rate:g}",
        *([f"memory: {plan.memory.plan.summary()}; {kept}"] if plan.memory.plan else []),
    ]
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


def _dropped_of_held_out(counts: dict[str, int]) -> str:
    dropped = counts["held_out_too_long"]
    return f" ({dropped} of --validation's {dropped + counts['held_out']} dropped, too)" if dropped else ""


def _nothing_held_out(request: SftRequest, counts: dict[str, int]) -> list[str]:
    """A line where a share was to be held out, and is of no trace, or would be of all."""
    rows = counts["training"]
    if counts["held_out"] or not request.val_share:
        return []
    why, cure = "all traces are of one problem", "--validation"
    if rows > 1 and not round(request.val_share * rows):
        why = f"--val-share {request.val_share:g} of {counted(rows, 'trace')} is less than one"
        cure = f"--val-share {math.ceil(100 / rows) / 100:g} or more, or --validation"
    return [
        f"nothing is held out: {why}: there is no held-out loss, and OUT/model is of the last step; give {cure}"
    ]


def _composed(places: list[str]) -> list[str]:
    """A line where the student learns other characters than the traces have."""
    if not places:
        return []
    written = counted(len(places), "trace writes", "traces write")
    return [f"characters: {written} some that the tokenizer composes (NFC); so they are learnt ({places[0]})"]


def tell_result(console: Console, result: dict[str, Any], rounding: Rounding, folder: Path) -> None:
    """Losses, seconds, and where the model is."""
    train_loss, validation = result["train_loss"], result["validation_loss"]
    line = f"loss: {train_loss['first']:.3f} -> {train_loss['last']:.3f}"
    if validation["before"] is not None and validation["after"] is not None:
        line += f"; held out {validation['before']:.3f} -> {validation['after']:.3f}"
    line += f"; {result['seconds']:.0f} s, {result['tokens_per_s'] or 0:.0f} tokens/s"
    console.print(line, highlight=False, soft_wrap=True)
    of_step = ""
    if result["kept_step"] != result["steps"]:
        of_step = f"of step {result['kept_step']}, held out {validation['kept']:.3f}, "
    merged = (
        ""
        if rounding.merge_difference is None
        else (f"; merged, its logits differ from the adapter's by {rounding.merge_difference:.1g}")
    )
    console.print(
        f"model: {folder} ({of_step}{rounding.dtype}; a trace's loss {rounding.loss_saved:.4f}, "
        f"{rounding.loss:.4f} before rounding{merged})",
        highlight=False,
        soft_wrap=True,
    )
