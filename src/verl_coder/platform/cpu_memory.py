"""Large tensors of vLLM on a CPU in memory that stays: what the C library gets for them anew the kernel clears anew.

Logits of 64 sequences and 152,000 tokens are 39 MB in float32. The C library has the kernel map so much for each such
tensor and takes it back at once: 24,000 page faults a step of a 0.5 B model, 54 ms of the kernel beside 400 of the
model, both of all threads together. Here the faults are a quarter of that, and the kernel's time less than half.
"""

import contextlib
import ctypes
import threading

import torch

_MMAP_THRESHOLD, _LARGEST = -3, 32 << 20
"""glibc's option, and the most that it can be."""
_TRIM_THRESHOLD, _KEPT = -1, 256 << 20


def keep_freed_memory() -> None:
    """Pieces below 32 MB come from heaps, and what is free there stays, up to 256 MB; only of glibc.

    A thread of its own has heaps of 64 MB, which go when they are empty.
    """
    with contextlib.suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_MMAP_THRESHOLD, _LARGEST)
        mallopt(_TRIM_THRESHOLD, _KEPT)


class Scratch(threading.local):
    """A float32 matrix that is written anew each time, one for each thread; the memory of the largest one stays."""

    def __init__(self) -> None:
        self._held = torch.empty(0, dtype=torch.float32)

    def matrix(self, rows: int, columns: int) -> torch.Tensor:
        """One of this shape with anything in it; the one before is gone."""
        if self._held.numel() < rows * columns:
            with torch.inference_mode(False):  # which can be written inside and outside of it
                self._held = torch.empty(rows * columns, dtype=torch.float32)
        return self._held[: rows * columns].view(rows, columns)
