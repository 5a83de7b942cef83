"""What a plan adds to a recipe because of the machine it stands on, and of the model."""

import json
import os
import struct
from pathlib import Path

import pytest

from verl_coder.launch.plan import LOGICAL_CPUS, TrainRequest, make_plan, preparation


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


def test_a_weight_sync_has_room_for_the_models_largest_weight(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    rows, width = 151936, 896
    header = json.dumps(
        {"embedding": {"dtype": "BF16", "shape": [rows, width], "data_offsets": [0, 2 * rows * width]}}
    ).encode()
    with (model / "model.safetensors").open("wb") as file:  # sparse
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + 2 * rows * width)
    request = TrainRequest(recipe="tiny_cpu", model=str(model), out=str(tmp_path / "out"))
    engine = make_plan(request).config.actor_rollout_ref.rollout.checkpoint_engine
    assert engine.update_weights_bucket_megabytes * 2**20 >= 151936 * 896 * 4
    small = make_plan(TrainRequest(recipe="tiny_cpu", out=str(tmp_path / "out"))).config
    assert small.actor_rollout_ref.rollout.checkpoint_engine.update_weights_bucket_megabytes == 64


def test_a_recipe_makes_its_own_data_and_no_file_that_the_user_names(tmp_path: Path) -> None:
    own = make_plan(TrainRequest(recipe="tiny_cpu", out=str(tmp_path / "out")))
    named = make_plan(
        TrainRequest(recipe="tiny_cpu", out=str(tmp_path / "out"), train=str(tmp_path / "x.parquet"))
    )
    if not all(Path(file).is_file() for file in own.config.data.train_files):
        assert preparation(own) == own.settings.prepare
    assert preparation(named) is None
