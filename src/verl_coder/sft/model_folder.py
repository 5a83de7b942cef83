"""The model before and after: a folder to train from, and the folder that `MODEL=` of the RL run names."""

import shutil
from pathlib import Path

from verl_coder.errors import ConfigError
from verl_coder.model_config import plain_config
from verl_coder.paths import resolve_content_path

_WEIGHTS = ("*.safetensors", "*.safetensors.index.json")
_SMALL_FILES = ("*.json", "*.jinja", "*.txt", "*.model", "*.tiktoken", "*.py")
_TOKENIZER = (
    *("tokenizer*", "vocab.*", "merges.txt", "special_tokens_map.json", "added_tokens.json"),
    *("chat_template*", "generation_config.json", "*.tiktoken"),
)
"""Copied as they are: the model that comes out reads and ends its turns like the one that went in."""


def resolve_model(model: str) -> Path:
    """The folder of a model; a hub name is downloaded. ConfigError where there is none."""
    folder = resolve_content_path(model)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise ConfigError(f"--model {model}: {folder} holds no model (config.json is missing)")
        return folder
    if model.startswith((".", "/", "~")) or model.count("/") != 1:
        raise ConfigError(f"--model {model}: no such folder, and not a name on the hub (owner/name)")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(model, allow_patterns=[*_WEIGHTS, *_SMALL_FILES]))
    except Exception as error:
        raise ConfigError(
            f"--model {model}: no such folder, and the hub gives none: {str(error).splitlines()[0][:200]}"
        ) from error


def finish_model(trained: Path, source: Path, out: Path) -> None:
    """Save the trained weights in the dtype of `source`, with its tokenizer, chat template and generation config.

    `out` appears whole or not at all.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()  # seconds long, and beside our own
    dtype = AutoConfig.from_pretrained(source).dtype
    if not isinstance(dtype, torch.dtype):
        dtype = getattr(torch, str(dtype)) if dtype else torch.float32
    temporary = out.with_name(f".{out.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    model = AutoModelForCausalLM.from_pretrained(trained, config=plain_config(trained), dtype=dtype)
    model.save_pretrained(temporary)
    for pattern in _TOKENIZER:
        for path in source.glob(pattern):
            if path.is_file():
                shutil.copyfile(path, temporary / path.name)
    shutil.rmtree(out, ignore_errors=True)
    temporary.rename(out)
