"""The configuration of a model folder without what belongs to one run."""

import json
from pathlib import Path
from typing import Any


def plain_config(folder: Path) -> Any:
    """transformers' configuration of `folder`, its attention left to whoever loads it.

    verl writes the run's attention into a checkpoint's config.json; a name such as `packed` is registered in the
    processes of that run only, and every other one would refuse the folder.
    """
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder)
    config._attn_implementation = None
    return config


def forget_attention(checkpoint: Path) -> None:
    """Take the run's attention out of the configurations (`*/huggingface/config.json`) of verl's checkpoint."""
    for file in checkpoint.glob("*/huggingface/config.json"):
        config = json.loads(file.read_text())
        if config.pop("attn_implementation", None) is not None:
            file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
