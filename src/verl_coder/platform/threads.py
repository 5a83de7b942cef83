"""How many threads an engine computes with on a CPU: a small model's layers are shorter than two threads' meeting."""

import torch

_SMALL_MODEL_BYTES = 64 << 20


def use_threads_for(model_bytes: int) -> None:
    """Let the calling thread compute alone where the model is small; OpenMP keeps the number by thread."""
    if model_bytes < _SMALL_MODEL_BYTES:
        torch.set_num_threads(1)
