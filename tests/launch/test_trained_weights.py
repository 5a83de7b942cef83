"""The shards of all ranks are put together, of replicas those of one."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from verl_coder.errors import CheckpointError
from verl_coder.launch.trained_weights import read_state


def test_the_ranks_shards_are_put_together(tmp_path: Path) -> None:
    """verl stores DTensors; their two attributes are all that is read."""
    whole = torch.arange(12.0).reshape(4, 3)
    for rank in (0, 1):
        shard = SimpleNamespace(placements=(_Shard(),), _local_tensor=whole[2 * rank : 2 * rank + 2])
        torch.save({"w": shard}, tmp_path / f"model_world_size_2_rank_{rank}.pt")
    torch.testing.assert_close(read_state(tmp_path)["w"], whole)
    (tmp_path / "model_world_size_2_rank_1.pt").unlink()
    with pytest.raises(CheckpointError, match="not whole"):
        read_state(tmp_path)


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99, -1])
def test_a_shard_that_is_cut_short_is_named(tmp_path: Path, keep: float) -> None:
    path = tmp_path / "model_world_size_1_rank_0.pt"
    torch.save({"w": torch.arange(1000.0)}, path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep)] if keep >= 0 else b"<html>")
    with pytest.raises(CheckpointError, match=rf"{path.name} is damaged \(.*\): name another step") as caught:
        read_state(tmp_path)
    assert "\n" not in str(caught.value)


def test_of_replicas_one_is_put_together(tmp_path: Path) -> None:
    """verl's fsdp_size=2 on four ranks: two replicas of two shards."""
    whole = torch.arange(12.0).reshape(4, 3)
    for rank in range(4):
        half = rank % 2
        shard = SimpleNamespace(
            placements=(_Replicate(), _Shard()),
            device_mesh=SimpleNamespace(shape=(2, 2)),
            _local_tensor=whole[2 * half : 2 * half + 2],
        )
        torch.save({"w": shard}, tmp_path / f"model_world_size_4_rank_{rank}.pt")
    torch.testing.assert_close(read_state(tmp_path)["w"], whole)


class _Shard:
    dim = 0

    def is_replicate(self) -> bool:
        return False


class _Replicate:
    def is_replicate(self) -> bool:
        return True
