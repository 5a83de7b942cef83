"""An engine with a small model computes with one thread, one with a large model with all."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(("size", "threads"), [(4 << 20, "1"), (1 << 30, "2")])
def test_only_a_small_model_is_computed_by_one_thread(size: int, threads: str) -> None:
    code = (
        "import torch; from verl_coder.platform.threads import use_threads_for; torch.set_num_threads(2); "
        f"torch.set_num_threads = lambda number: None  # as vLLM does\n"
        f"use_threads_for({size}); print(torch.get_num_threads())"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert found.stdout.strip() == threads, found.stderr[-500:]
