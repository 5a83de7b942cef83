"""Which platform a command takes where nobody says it."""

import os
from pathlib import Path

import pytest

from verl_coder.platform.environment import CPU_ENVIRONMENT, choose_profile, select_platform


@pytest.mark.parametrize(
    ("script", "profile"),
    [
        ("echo 'GPU 0: NVIDIA H100 80GB HBM3 (UUID: GPU-1)'", "gpu"),
        ("echo 'No devices were found'; exit 6", "cpu"),
        ("exit 9", "cpu"),
    ],
)
def test_a_gpu_is_here_where_nvidia_smi_lists_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, profile: str
) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    monkeypatch.delenv("PROFILE", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert choose_profile() == profile
    name = next(iter(CPU_ENVIRONMENT))
    monkeypatch.delenv(name, raising=False)
    select_platform()
    assert (name in os.environ) == (profile == "cpu")
