"""What the processor can do, as /proc/cpuinfo says."""

from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")


def multiplies_bfloat16() -> bool:
    """Whether products of bfloat16 are one instruction (AVX-512 BF16, AMX), which others only emulate, far slower."""
    flags = _CPUINFO.read_text(encoding="utf-8", errors="replace")
    return "avx512_bf16" in flags or "amx_bf16" in flags
