"""The weights in a checkpoint of verl's, put together in float32: of a policy, or of a fine-tuned model.

verl keeps each rank's shard in `model_world_size_N_rank_i.pt`, and the configuration in `huggingface/` beside them.
"""

import logging
import re
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from verl_coder.errors import CheckpointError
from verl_coder.model_config import plain_config

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_SHARD = re.compile(r"model_world_size_(\d+)_rank_(\d+)\.pt")


def read_state(folder: Path) -> "dict[str, torch.Tensor]":
    """The actor's parameters, put together from the shards of all ranks, in the precision they were trained in."""

    shards = {int(m[2]): (int(m[1]), path) for path in folder.iterdir() if (m := _SHARD.fullmatch(path.name))}
    if not shards or sorted(shards) != list(range(next(iter(shards.values()))[0])):
        raise CheckpointError(
            f"{folder} lacks a rank's model_world_size_*_rank_*.pt: the checkpoint is not whole"
        )
    # Reading DTensors warns of process groups, which nothing here computes with.
    logging.getLogger("torch.distributed.device_mesh").setLevel(logging.ERROR)
    # verl's own files, written by this project's run: they hold DTensors, which weights_only refuses.
    states = [_loaded(shards[rank][1]) for rank in sorted(shards)]
    return {name: _join([state[name] for state in states]) for name in states[0]}


def _loaded(path: Path) -> "dict[str, torch.Tensor]":
    import torch

    try:
        found: dict[str, torch.Tensor] = torch.load(path, map_location="cpu", weights_only=False)
    except (OSError, EOFError, RuntimeError, ValueError, UnpicklingError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"{path} is damaged ({reason}): name another step, or copy it anew") from error
    return found


def _join(parts: list[Any]) -> "torch.Tensor":
    """One tensor from its shards: FSDP2 cuts along one dimension, and pads none of the stored parts.

    With an fsdp_size below the number of ranks the mesh is (replicas, shards): the first ranks hold a whole replica.
    """
    import torch

    placements = getattr(parts[0], "placements", None)
    if placements is not None and len(placements) > 1 and placements[0].is_replicate():
        parts = parts[: parts[0].device_mesh.shape[-1]]
    local = [getattr(part, "_local_tensor", part) for part in parts]
    if placements is None or placements[-1].is_replicate():
        return local[0]
    return torch.cat(local, dim=placements[-1].dim)


def adapter_config(rank: int, alpha: int, **others: Any) -> Any:
    """PEFT's configuration of an adapter, as verl builds it; `others` are further settings of it."""
    from peft import LoraConfig, TaskType

    return LoraConfig(task_type=TaskType.CAUSAL_LM, r=rank, lora_alpha=alpha, **others)


def trained_model(folder: Path, *, base: str, lora: Any = None) -> "PreTrainedModel":
    """The model of a checkpoint in float32 on the CPU; with `lora` (PEFT's configuration) its adapter in place.

    `base` is the model that it began from, read where the checkpoint holds the adapter alone.
    """
    import torch
    from transformers import AutoModelForCausalLM

    state = read_state(folder)
    model: Any
    if lora is not None and not any(".base_layer." in name for name in state):
        # checkpoint.save_lora_only: the base is where it always was.
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    else:
        model = AutoModelForCausalLM.from_config(plain_config(folder / "huggingface"), dtype=torch.float32)
    if lora is not None:
        from peft import get_peft_model

        model = get_peft_model(model, lora)
        # PEFT takes the name from the model, which here comes from its configuration alone.
        model.peft_config["default"].base_model_name_or_path = base
    missing, unexpected = model.load_state_dict(state, strict=False)
    missing = [name for name in missing if "lora_" in name or (lora is None and "lm_head" not in name)]
    if missing or unexpected:
        raise CheckpointError(
            f"{folder} does not fit the run's configuration: {len(missing)} parameters are missing and "
            f"{len(unexpected)} are unknown ({[*missing, *unexpected][0]})"
        )
    return model.eval()
