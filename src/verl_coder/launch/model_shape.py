"""What is known of a run's model before it is loaded: its sizes, from its own files, or from `config/models/`.

`config/models/<owner>--<name>.json` holds the published sizes of models of the hub that the recipes name, so that a run
of theirs can be planned on a machine that has no copy and reaches no hub.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verl_coder.errors import ConfigError
from verl_coder.launch.preflight.model import local_folder, tensor_sizes
from verl_coder.paths import resolve_content_path

_NEEDED = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """Sizes of a decoder."""

    model_type: str
    """As its config.json says it: `qwen2`."""
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    tied: bool
    """One matrix for the embedding and the output."""
    parameters: int

    @property
    def largest(self) -> int:
        """Numbers in the largest tensor: the embedding's, in every model of this kind that is in use."""
        return self.vocab_size * self.hidden_size

    @property
    def linear_ends(self) -> int:
        """Inputs and outputs of all linear layers of one layer, summed."""
        hidden, inner = self.hidden_size, self.intermediate_size
        queries, kv = self.heads * self.head_dim, self.kv_heads * self.head_dim
        return 2 * (hidden + queries) + 2 * (hidden + kv) + 3 * (hidden + inner)

    def lora_parameters(self, rank: int) -> int:
        """Of adapters on all linear layers."""
        return self.layers * rank * self.linear_ends

    @property
    def multiplied(self) -> int:
        """Parameters that a token is multiplied with: all but those of an embedding that is only looked up."""
        return self.parameters - (0 if self.tied else self.vocab_size * self.hidden_size)

    @property
    def kv_width(self) -> int:
        """Numbers that a token leaves in the KV cache."""
        return 2 * self.layers * self.kv_heads * self.head_dim


def shape_of(model: str) -> ModelShape | None:
    """Of a folder, a cached snapshot of the hub, or a published model; None where nothing is known of it."""
    folder = local_folder(model)
    sizes = tensor_sizes(folder) if folder else {}
    if folder is not None and sizes:
        described = _config_of(folder)
        known = all(described[name] for name in _NEEDED)  # no plain decoder has fewer
        if described["tie_word_embeddings"]:
            sizes.pop("lm_head.weight", None)  # some files hold it all the same
        return _from(described, parameters=sum(sizes.values())) if known else None
    published = resolve_content_path(f"config/models/{model.replace('/', '--')}.json")
    return _from(json.loads(published.read_text())) if published.is_file() else None


def _config_of(folder: Path) -> dict[str, Any]:
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder)
    except (ValueError, OSError) as error:
        raise ConfigError(f"MODEL: {folder}: {str(error).splitlines()[0]}") from error
    names = (*_NEEDED, "model_type", "num_key_value_heads", "head_dim", "tie_word_embeddings")
    return {name: getattr(config, name, None) for name in names}


def _from(config: Mapping[str, Any], parameters: int | None = None) -> ModelShape:
    heads = config["num_attention_heads"]
    kv_heads = config.get("num_key_value_heads") or heads
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    tied = bool(config.get("tie_word_embeddings"))
    return ModelShape(
        model_type=config["model_type"],
        vocab_size=config["vocab_size"],
        hidden_size=config["hidden_size"],
        intermediate_size=config["intermediate_size"],
        layers=config["num_hidden_layers"],
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        tied=tied,
        parameters=parameters or _count(config, heads, kv_heads, head_dim, tied=tied),
    )


def _count(config: Mapping[str, Any], heads: int, kv_heads: int, head_dim: int, *, tied: bool) -> int:
    """Parameters of a decoder of Llama's kind: Qwen 2 has a bias on queries, keys, values, Qwen 3 a norm of heads."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    queries, kv = heads * head_dim, kv_heads * head_dim
    layer = hidden * (queries + 2 * kv) + queries * hidden + 3 * hidden * inner + 2 * hidden
    layer += {"qwen2": queries + 2 * kv, "qwen3": 2 * head_dim}.get(config["model_type"], 0)
    embeddings = config["vocab_size"] * hidden * (1 if tied else 2)
    return int(config["num_hidden_layers"] * layer + embeddings + hidden)
