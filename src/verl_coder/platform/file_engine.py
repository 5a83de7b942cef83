"""Weights from the trainer to separate rollouts through files of one machine, for `separate_async` without a GPU.

verl's own engines (NCCL, NIXL, ...) need an accelerator's library, and its naive one a trainer and a rollout in one
process group. Here the trainer's first rank writes the tensors in buckets, and each rollout reads a bucket as soon as
it is there. Importing the module registers the backend `files`; `checkpoint_engine.custom_backend_module` names it.
"""

import asyncio
import shutil
import socket
import tempfile
from collections.abc import AsyncGenerator, Iterable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from verl.checkpoint_engine.base import CheckpointEngine, CheckpointEngineRegistry

_POLL_S = 0.005
_END = "end"


@CheckpointEngineRegistry.register("files")
class FileCheckpointEngine(CheckpointEngine):
    """One sync: `prepare` on all, `build_topology` by the trainer; the first rank sends, the rollouts receive."""

    def __init__(self, bucket_size: int, folder: str | None = None, **_: Any) -> None:
        """`bucket_size` in bytes; `folder` None: the temporary folder of this process, which a run sets for all."""
        self._bucket_size = bucket_size
        self._place = folder
        self._folder: Path | None = None
        self._sends = False

    def prepare(self) -> dict[str, Any]:
        """A new folder, which is used if this is the trainer's first rank, and where it stands."""
        self._folder = Path(tempfile.mkdtemp(prefix="weights-", dir=self._place))
        return {"folder": str(self._folder), "host": socket.gethostname()}

    @classmethod
    def build_topology(
        cls, actor_wg_world_size: int, rollout_world_size: int, metadata: list[dict[str, Any]]
    ) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
        """The first rank's folder for all; ValueError where processes stand on several machines."""
        hosts = sorted({entry["host"] for entry in metadata})
        if len(hosts) > 1:
            raise ValueError(f"the checkpoint engine `files` is for one machine, not for {', '.join(hosts)}")
        folder = metadata[0]["folder"]
        actors, rollouts = actor_wg_world_size, rollout_world_size
        return (
            {"folder": [folder] * actors, "sends": [rank == 0 for rank in range(actors)]},
            {"folder": [folder] * rollouts, "sends": [False] * rollouts},
        )

    def init_process_group(self, folder: str, sends: bool) -> None:  # type: ignore[override]
        """Where to write or to read, and which of both."""
        if self._folder is not None and str(self._folder) != folder:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder, self._sends = Path(folder), sends

    def finalize(self) -> None:
        """All have read: the folder goes."""
        if self._folder is not None and self._sends:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder = None

    async def send_weights(
        self, weights: Iterable[tuple[str, torch.Tensor]], global_steps: int | None = None
    ) -> None:
        """Write all buckets; ranks but the first only take part in gathering the tensors."""
        bucket: dict[str, torch.Tensor] = {}
        number = size = 0
        for name, tensor in weights:
            if not self._sends:
                continue
            if bucket and size + tensor.nbytes > self._bucket_size:
                self._write(f"{number}", bucket)
                bucket, number, size = {}, number + 1, 0
            # A copy: tied weights share memory, which the format does not write twice.
            bucket[name] = tensor.detach().clone(memory_format=torch.contiguous_format)
            size += tensor.nbytes
            await asyncio.sleep(0)
        if self._sends:
            self._write(f"{number}", bucket)
            self._write(_END, {})

    def _write(self, name: str, tensors: dict[str, torch.Tensor]) -> None:
        assert self._folder is not None
        unfinished = self._folder / f"{name}.part"
        save_file(tensors, unfinished)
        unfinished.rename(self._folder / name)

    async def receive_weights(  # type: ignore[override]
        self, global_steps: int | None = None
    ) -> AsyncGenerator[tuple[str, torch.Tensor]]:
        """Each tensor of each bucket, in the order of the buckets."""
        assert self._folder is not None
        number = 0
        while True:
            path = self._folder / f"{number}"
            if path.exists():
                for item in load_file(path).items():
                    yield item
                number += 1
            elif (
                self._folder / _END
            ).exists() and not path.exists():  # the last may have come between the looks
                return
            else:
                await asyncio.sleep(_POLL_S)
