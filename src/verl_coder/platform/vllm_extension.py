"""vLLM worker extension for the CPU: weights are reloaded by vLLM's own `reload_weights`.

vLLM's CPU linear layers pack their weights after loading and drop the originals, so verl's in-place
`load_weights` finds no loader. `reload_weights` restores the layers, loads, and packs again.
"""

from collections import deque
from collections.abc import Iterator
from typing import Any

import torch
from verl.workers.rollout.vllm_rollout.bucketed_weight_transfer import BucketedWeightReceiver
from verl.workers.rollout.vllm_rollout.utils import vLLMColocateWorkerExtension

from verl_coder.platform.allocator import give_back


class CpuWorkerExtension(vLLMColocateWorkerExtension):
    """verl's colocated worker extension with a weight update that suits packed CPU layers."""

    model_runner: Any  # of the vLLM worker that this class is mixed into
    device: Any

    def update_weights_from_ipc(
        self, peft_config: dict[str, Any] | None = None, base_sync_done: bool = False, use_shm: bool = False
    ) -> None:
        """Receive all buckets of one weight sync over shared memory, then reload the model with them."""
        if peft_config and base_sync_done:
            raise NotImplementedError(
                "LoRA adapters are not synced unmerged on the CPU: set actor_rollout_ref.model.lora.merge=True"
            )
        if self.device is None:
            self.device = torch.device("cpu")
        weights: deque[tuple[str, torch.Tensor]] = deque()

        def keep(bucket: list[tuple[str, torch.Tensor]], is_last: bool) -> None:
            # The bucket's memory is reused for the next one.
            weights.extend((name, tensor.clone()) for name, tensor in bucket)

        BucketedWeightReceiver(
            zmq_handle=self._get_zmq_handle(), device=self.device, use_shm=use_shm
        ).receive_weights(on_bucket_received=keep)
        self.model_runner.reload_weights(weights_iterator=_forgotten(weights))
        give_back()


def _forgotten(weights: deque[tuple[str, torch.Tensor]]) -> Iterator[tuple[str, torch.Tensor]]:
    """Each of them, and none twice: vLLM loads layer by layer, so what has been loaded need not be there any more."""
    while weights:
        yield weights.popleft()
