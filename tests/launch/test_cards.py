"""The card that a run is planned for."""

import pytest

from verl_coder.errors import ConfigError
from verl_coder.launch import cards
from verl_coder.launch.cards import CARDS, card_for, described


@pytest.mark.parametrize(
    ("name", "mib", "wanted"),
    [
        ("NVIDIA H100 80GB HBM3", 81559, "H100"),
        ("NVIDIA H100 PCIe", 81559, "H100-PCIe"),
        ("NVIDIA H200", 143771, "H200"),
        ("NVIDIA A100-SXM4-40GB", 40960, "A100-40GB"),
        ("NVIDIA A100 80GB PCIe", 81920, "A100-80GB"),
        ("NVIDIA GeForce RTX 4090", 24564, "RTX-4090"),
        ("NVIDIA GeForce RTX 3090", 24576, "RTX-3090"),
        ("NVIDIA RTX A6000", 49140, "A6000"),
        ("NVIDIA L4", 23034, "L4"),
        ("NVIDIA L40S", 46068, "L40S"),
    ],
)
def test_nvidia_smis_names_are_known(name: str, mib: int, wanted: str) -> None:
    card = described(name, mib * 2**20)
    assert card.name == wanted and card.is_here
    assert card.memory == mib * 2**20 and card.tflops == CARDS[wanted].tflops
    assert abs(card.memory / CARDS[wanted].memory - 1) < 0.03


def test_an_unknown_card_has_memory_and_no_speed() -> None:
    card = described("NVIDIA GeForce GTX 1080", 8 * 2**30)
    assert (card.memory, card.tflops) == (8 * 2**30, None)


def test_without_one_an_h100_is_assumed_and_another_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards, "cards_here", lambda: ())
    assert card_for(None) == CARDS["H100"] and not card_for(None).is_here
    assert card_for("L4") == CARDS["L4"]
    with pytest.raises(ConfigError, match=r"plan_for=H1000: did you mean H100"):
        card_for("H1000")
