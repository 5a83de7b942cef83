"""How many threads an engine's process computes with: a small model's layers are shorter than two threads' meeting."""

import torch

_SMALL_MODEL_BYTES = 64 << 20


def use_threads_for(model_bytes: int) -> None:
    """One thread for this process, an engine's, where its model is small; to be called when vLLM has begun."""
    if model_bytes < _SMALL_MODEL_BYTES:
        # vLLM's CPU worker puts a function that does nothing into the place of `torch.set_num_threads`.
        torch._C.set_num_threads(1)
