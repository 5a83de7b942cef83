"""The tiny policy: Qwen2's architecture at 0.9 M parameters, so that every backend that runs Qwen2 runs it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, Qwen2Config, Qwen2ForCausalLM

MAX_POSITIONS = 1024


def tiny_config(tokenizer: "PreTrainedTokenizerBase") -> "Qwen2Config":
    """4 layers, hidden size 128, 4 heads of size 32 (a head size that vLLM's CPU attention has), tied embeddings."""
    from transformers import Qwen2Config

    return Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=MAX_POSITIONS,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def new_model(tokenizer: "PreTrainedTokenizerBase", *, seed: int) -> "Qwen2ForCausalLM":
    """An untrained policy in fp32, with a generation config that samples and stops at the end of a turn."""
    import torch
    from transformers import GenerationConfig, Qwen2ForCausalLM

    torch.manual_seed(seed)
    model = Qwen2ForCausalLM(tiny_config(tokenizer))
    model.generation_config = GenerationConfig(
        do_sample=True,
        eos_token_id=[tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|endoftext|>")],
        pad_token_id=tokenizer.pad_token_id,
    )
    return model
