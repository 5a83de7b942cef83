"""A Qwen2 of two layers with random weights, the same at every call."""

from types import SimpleNamespace
from typing import Any

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

VOCABULARY = 50


def small_model(attention: str, **settings: object) -> Qwen2ForCausalLM:
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=VOCABULARY,
        hidden_size=64,
        num_attention_heads=4,
        num_key_value_heads=2,
        num_hidden_layers=2,
        intermediate_size=96,
        **settings,
    )
    config._attn_implementation = attention
    return Qwen2ForCausalLM(config).eval()


def small_engine(attention: str) -> Any:
    """verl's engine around such a model, as far as a forward pass needs it."""
    import verl.workers.engine.fsdp.transformer_impl as fsdp
    from verl.utils.torch_functional import entropy_from_logits

    engine: Any = fsdp.FSDPEngineWithLMHead.__new__(fsdp.FSDPEngineWithLMHead)
    engine.module = small_model(attention)
    engine.model_config = SimpleNamespace(hf_config=engine.module.config)
    engine.engine_config = SimpleNamespace(
        entropy_checkpointing=False, entropy_from_logits_with_chunking=False
    )
    engine.compute_entropy_from_logits = entropy_from_logits
    engine.use_ulysses_sp, engine.pad_to_length = False, 0
    return engine
