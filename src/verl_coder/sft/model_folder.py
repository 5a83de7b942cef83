"""The model before and after: a folder to train from, and the folder that `MODEL=` of the RL run names."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from verl_coder.errors import ConfigError, DataError, VerlCoderError
from verl_coder.hub import hub_reason
from verl_coder.launch.preflight.model import positions_in
from verl_coder.launch.trained_weights import adapter_config, trained_model
from verl_coder.paths import is_hub_name, resolve_content_path
from verl_coder.traces import TraceRow

if TYPE_CHECKING:
    import torch

_WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
_MERGE_TOLERANCE = 1e-3
"""Of the largest logit: float32's rounding over a few dozen layers is a hundredth of that."""
_SMALL_FILES = ("*.json", "*.jinja", "*.txt", "*.model", "*.tiktoken", "*.py")
_TOKENIZER = (
    *("tokenizer*", "vocab.*", "merges.txt", "special_tokens_map.json", "added_tokens.json"),
    *("chat_template*", "generation_config.json", "*.tiktoken"),
)
"""Copied as they are: the model that comes out reads and ends its turns like the one that went in."""


def resolve_model(model: str, *, weights: bool = True) -> Path:
    """The folder of a model; a hub name is downloaded, `weights` or the small files alone. ConfigError without one."""
    folder = resolve_content_path(model)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ConfigError(f"--model {model}: {folder} holds no model (config.json is missing)")
        return folder
    if not is_hub_name(model):
        raise ConfigError(f"--model {model}: no such folder, and not a name on the hub (owner/name)")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(model, allow_patterns=[*(_WEIGHTS if weights else ()), *_SMALL_FILES]))
    except Exception as error:
        raise ConfigError(
            f"--model {model}: no such folder, and the hub gives none: {hub_reason(error)}"
        ) from error


def check_positions(model: str, folder: Path, longest: int) -> None:
    """DataError where a trace has more tokens than the model has positions: it could not learn what stands there."""
    most = positions_in(folder)
    if most is not None and longest > most:
        raise DataError(
            f"--traces: the longest has {longest} tokens, and --model {model} has {most} positions "
            f"(max_position_embeddings): use --max-prompt-length and --max-response-length of {most} together"
        )


@dataclass(frozen=True, kw_only=True)
class Rounding:
    """What became of the trained weights on their way into the folder, on one trace."""

    dtype: str
    loss: float
    """Of the trained weights in float32, their adapter in place; a mean over the learnt tokens."""
    loss_saved: float
    """Of the folder, in its dtype."""
    merge_difference: float | None
    """Largest difference of a logit, in float32, between adapter and merged weights; None: no LoRA."""


def finish_model(
    checkpoint: Path, source: Path, out: Path, *, probe: TraceRow, lora: dict[str, int] | None = None
) -> Rounding:
    """Save the checkpoint's weights in the dtype of `source`, with its tokenizer, chat template, generation config.

    An adapter (`lora`: rank and alpha) is merged in float32. `out` appears whole or not at all; VerlCoderError where
    the merged weights are not the adapted ones.
    """
    import torch
    from transformers import AutoConfig
    from transformers.utils import logging

    logging.disable_progress_bar()  # seconds long, and beside our own
    dtype = AutoConfig.from_pretrained(source).dtype
    if not isinstance(dtype, torch.dtype):
        dtype = getattr(torch, str(dtype)) if dtype else torch.float32
    adapter = adapter_config(lora["rank"], lora["alpha"], target_modules="all-linear") if lora else None
    model: Any = trained_model(checkpoint, base=str(source), lora=adapter)
    logits = _logits(model, probe)
    difference = None
    if lora:
        model = model.merge_and_unload()
        difference = float((_logits(model, probe) - logits).abs().max())
        if not difference <= _MERGE_TOLERANCE * max(float(logits.abs().max()), 1.0):
            raise VerlCoderError(
                f"{checkpoint}: the merged weights give other logits than the adapter, by up to {difference:.3g}"
            )
    model = model.to(dtype)
    rounding = Rounding(
        dtype=str(dtype).removeprefix("torch."),
        loss=_loss(logits, probe),
        loss_saved=_loss(_logits(model, probe), probe),
        merge_difference=difference,
    )
    temporary = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    model.save_pretrained(temporary)
    for pattern in _TOKENIZER:
        for path in source.glob(pattern):
            if path.is_file():
                shutil.copyfile(path, temporary / path.name)
    shutil.rmtree(out, ignore_errors=True)
    temporary.rename(out)
    return rounding


def _logits(model: Any, probe: TraceRow) -> "torch.Tensor":
    """Of the response's tokens: (tokens, vocabulary), in float32."""
    import torch

    with torch.inference_mode():
        logits = model(torch.tensor([[*probe.prompt_ids, *probe.response_ids]])).logits[0]
    return logits[len(probe.prompt_ids) - 1 : -1].float()


def _loss(logits: "torch.Tensor", probe: TraceRow) -> float:
    """Mean cross-entropy of the learnt tokens."""
    import torch

    learnt = torch.tensor(probe.loss_mask) > 0
    targets = torch.tensor(probe.response_ids)
    return float(torch.nn.functional.cross_entropy(logits[learnt], targets[learnt]))
