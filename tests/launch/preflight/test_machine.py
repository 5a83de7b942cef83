"""What of the machine would end a run in the middle is found before it starts."""

from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from verl_coder.errors import ConfigError
from verl_coder.launch.preflight import machine
from verl_coder.launch.preflight.machine import check_shared_memory, check_temporary_folder


def config(device: str, bucket: int, store: int = 500 * 2**20) -> object:
    engine = {"update_weights_bucket_megabytes": bucket}
    return OmegaConf.create(
        {
            "trainer": {"n_gpus_per_node": 2, "device": device},
            "actor_rollout_ref": {"rollout": {"checkpoint_engine": engine}},
            "ray_kwargs": {"ray_init": {"object_store_memory": store}},
        }
    )


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
