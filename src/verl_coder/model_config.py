"""The configuration of a model folder without what belongs to one run."""

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
