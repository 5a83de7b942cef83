"""Weights go over files of one machine: all of them, the same bits, and nothing stays behind."""

import asyncio
from pathlib import Path

import pytest
import torch

from verl_coder.platform.file_engine import FileCheckpointEngine


def _engines(
    folder: Path, *, bucket: int, rollouts: int = 2
) -> tuple[FileCheckpointEngine, list[FileCheckpointEngine]]:
    engines = [FileCheckpointEngine(bucket, folder=str(folder)) for _ in range(1 + rollouts)]
    actors, others = FileCheckpointEngine.build_topology(
        1, rollouts, [engine.prepare() for engine in engines]
    )
    for rank, engine in enumerate(engines):
        wanted = actors if rank == 0 else others
        engine.init_process_group(**{name: values[max(rank - 1, 0)] for name, values in wanted.items()})
    return engines[0], engines[1:]


@pytest.mark.parametrize("bucket", [1, 100, 1 << 20])
async def test_every_rollout_gets_every_tensor_and_the_folder_goes(tmp_path: Path, bucket: int) -> None:
    tied = torch.randn(7, 3)
    weights = {"a": tied, "b": torch.randn(5).bfloat16(), "tied to a": tied, "turned": torch.randn(4, 2).T}
    sender, receivers = _engines(tmp_path, bucket=bucket)

    async def receive(engine: FileCheckpointEngine) -> dict[str, torch.Tensor]:
        return {name: tensor async for name, tensor in engine.receive_weights(1)}

    _, *got = await asyncio.gather(
        sender.send_weights(weights.items(), 1), *(receive(engine) for engine in receivers)
    )
    for received in got:
        assert received.keys() == weights.keys()
        assert all(torch.equal(received[name], weights[name]) for name in weights)
    for engine in (sender, *receivers):
        engine.finalize()
    assert not list(tmp_path.iterdir())


async def test_a_second_sync_carries_the_weights_of_its_own_time(tmp_path: Path) -> None:
    for version in (1.0, 2.0):
        sender, (receiver,) = _engines(tmp_path, bucket=64, rollouts=1)
        await sender.send_weights([("w", torch.full((3,), version))], 1)
        assert [float(tensor[0]) async for _, tensor in receiver.receive_weights(1)] == [version]
        receiver.finalize()
        sender.finalize()


def test_several_machines_are_refused() -> None:
    with pytest.raises(ValueError, match="one machine, not for a, b"):
        FileCheckpointEngine.build_topology(
            1, 1, [{"folder": "f", "host": "a"}, {"folder": "g", "host": "b"}]
        )
