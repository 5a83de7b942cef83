"""The GPU that a run is planned for: the one that is here, or the one that `verl_coder.plan_for` names."""

import subprocess
from dataclasses import dataclass, replace
from functools import cache

from verl_coder.errors import ConfigError
from verl_coder.words import did_you_mean

GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Card:
    """One GPU, by its data sheet."""

    name: str
    memory: int
    """Bytes."""
    tflops: float | None = None
    """Of dense matrix products in bfloat16; None where the card is not in the table."""
    gb_per_s: float | None = None
    """Of its memory."""
    is_here: bool = False


def _card(name: str, memory_gib: float, tflops: float, gb_per_s: float) -> Card:
    return Card(name=name, memory=int(memory_gib * GIB), tflops=tflops, gb_per_s=gb_per_s)


CARDS = {
    card.name: card
    for card in (
        _card("B200", 178, 2250, 8000),
        _card("H200", 139.8, 989, 4800),
        _card("H100", 79.6, 989, 3350),
        _card("H100-PCIe", 79.6, 756, 2000),
        _card("A100-80GB", 79.3, 312, 2039),
        _card("A100-40GB", 39.6, 312, 1555),
        _card("L40S", 44.7, 362, 864),
        _card("A6000", 47.5, 155, 768),
        _card("RTX-4090", 24.0, 165, 1008),
        _card("RTX-3090", 24.0, 71, 936),
        _card("A10G", 22.5, 70, 600),
        _card("L4", 22.5, 121, 300),
    )
}
"""Memory as nvidia-smi tells it; speeds by the makers' data sheets, without sparsity."""
ASSUMED = "H100"


def check_card(plan_for: str | None) -> None:
    """ConfigError for a name that is not in the table."""
    if plan_for is not None and plan_for not in CARDS:
        hint = did_you_mean(plan_for, CARDS, f"choose one of {', '.join(CARDS)}, or null")
        raise ConfigError(f"verl_coder.plan_for={plan_for}: {hint}")


def card_for(plan_for: str | None) -> Card:
    """The first card here, else the one named, else an H100; ConfigError for a name that is not in the table."""
    check_card(plan_for)
    return next(iter(cards_here()), CARDS[plan_for or ASSUMED])


@cache
def cards_here() -> tuple[Card, ...]:
    """The GPUs of this machine; nvidia-smi is asked once, however many plans are tried."""
    try:
        text = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        ).stdout
        listed = [line.rsplit(",", 1) for line in text.splitlines()]
        return tuple(described(name.strip(), int(memory) * 2**20) for name, memory in listed)
    except (OSError, subprocess.SubprocessError, ValueError):
        return ()


def described(name: str, memory: int) -> Card:
    """A card by what nvidia-smi calls it (`NVIDIA H100 80GB HBM3`), with its speeds where the table has it."""
    words = name.replace("-", " ").split()
    fits = []
    for card in CARDS.values():
        parts = [part for part in card.name.split("-") if not part.endswith("GB")]
        if all(part in words for part in parts) and ("PCIe" in parts) == (
            card.name[:4] == "H100" and "PCIe" in words
        ):
            fits.append(card)
    if not fits:
        return Card(name=name, memory=memory, is_here=True)
    nearest = min(fits, key=lambda card: abs(card.memory - memory))
    return replace(nearest, memory=memory, is_here=True)
