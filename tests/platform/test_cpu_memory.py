"""Memory of large tensors: it stays with the process."""

import os
import platform
import subprocess
import sys
import threading

import pytest
import torch

from verl_coder.platform.cpu_memory import Scratch

_FAULTS = """
import resource, sys
import numpy as np
from verl_coder.platform.cpu_memory import keep_freed_memory
if sys.argv[1] == "kept":
    keep_freed_memory()
for round in range(6):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    pieces = [np.ones(25 << 17) for _ in range(3)]
    del pieces
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator of another C library")
def test_pieces_that_were_freed_are_not_asked_of_the_kernel_again() -> None:
    own = ("LD_PRELOAD", "MALLOC_", "GLIBC_TUNABLES")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    faults = [
        int(
            subprocess.run(
                [sys.executable, "-c", _FAULTS, how], capture_output=True, check=True, env=environment
            ).stdout
        )
        for how in ("kept", "given back")
    ]
    assert faults[0] < 100 < faults[1], faults


def test_each_thread_has_a_matrix_of_its_own() -> None:
    scratch, found = Scratch(), []
    here = scratch.matrix(2, 3).fill_(1.0)
    thread = threading.Thread(target=lambda: found.append(scratch.matrix(2, 3).fill_(2.0)))
    thread.start()
    thread.join()
    assert here.sum() == 6.0 and found[0].sum() == 12.0


def test_a_matrix_is_of_float32_whatever_the_default_is() -> None:
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)
    try:
        assert Scratch().matrix(2, 3).dtype == torch.float32
    finally:
        torch.set_default_dtype(default)


def test_a_matrix_stands_where_the_one_before_stood() -> None:
    scratch = Scratch()
    first = scratch.matrix(4, 50).fill_(1.0)
    second = scratch.matrix(2, 100)
    assert second.shape == (2, 100) and second.data_ptr() == first.data_ptr()
    assert scratch.matrix(5, 50).shape == (5, 50)
    assert scratch.matrix(0, 50).shape == (0, 50)


def test_a_matrix_can_be_written_inside_inference_mode_and_outside() -> None:
    scratch = Scratch()
    with torch.inference_mode():
        scratch.matrix(2, 2).fill_(1.0)
    torch.softmax(torch.zeros(2, 2), dim=-1, out=scratch.matrix(2, 2))
    with torch.inference_mode():
        assert scratch.matrix(2, 2).sum() == 2.0
