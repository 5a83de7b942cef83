"""A Qwen2 of two layers with random weights, the same at every call."""

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
