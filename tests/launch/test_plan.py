"""What a plan adds to a recipe because of the machine it stands on."""

import os
from pathlib import Path

import pytest

from verl_coder.launch.plan import LOGICAL_CPUS, TrainRequest, make_plan


def _cpus(tmp_path: Path, recipe: str, *overrides: str) -> int | None:
    plan = make_plan(TrainRequest(recipe=recipe, out=str(tmp_path / "out"), overrides=overrides))
    return plan.config.ray_kwargs.ray_init.get("num_cpus")


@pytest.mark.parametrize("recipe", ["tiny_cpu", "coder_0.5b_gpu"])
def test_a_small_machine_has_a_cpu_for_every_small_actor(
    tmp_path: Path, recipe: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    assert _cpus(tmp_path, recipe) == LOGICAL_CPUS
    monkeypatch.setattr(os, "cpu_count", lambda: 192)
    assert _cpus(tmp_path, recipe) == 192


def test_a_number_that_was_given_stays(tmp_path: Path) -> None:
    assert _cpus(tmp_path, "tiny_cpu", "ray_kwargs.ray_init.num_cpus=24") == 24


def test_a_cluster_that_is_there_counts_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert _cpus(tmp_path, "coder_0.5b_gpu") is None
