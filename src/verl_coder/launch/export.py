"""A checkpoint as files that other programs load: a Hugging Face model, and for LoRA the adapter alone.

verl keeps each rank's shard of the actor in `actor/model_world_size_N_rank_i.pt`. verl's own merger rounds to
bfloat16 and leaves the adapter out of the merged weights, so that neither gives the policy's log-probabilities.
"""

import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from omegaconf import DictConfig, OmegaConf

from verl_coder.errors import CheckpointError, ConfigError
from verl_coder.model_config import plain_config
from verl_coder.run.run_dir import RunDir
from verl_coder.words import counted
from verl_coder.yaml_files import read_mapping

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

_SHARD = re.compile(r"model_world_size_(\d+)_rank_(\d+)\.pt")


def load_config(run_dir: RunDir) -> DictConfig:
    """The run's resolved configuration; CheckpointError where the folder holds no run."""
    if not run_dir.config.is_file():
        raise CheckpointError(f"{run_dir.path} holds no run: config.yaml is missing")
    read_mapping(run_dir.config, "it should be as the run wrote it; put it back")
    config = OmegaConf.load(run_dir.config)
    assert isinstance(config, DictConfig)
    return config


def actor_folder(run_dir: RunDir, step: int | None = None) -> Path:
    """`actor/` of a checkpoint: of the given step, else of the last one."""
    step = run_dir.checkpoint_step() if step is None else step
    folder = run_dir.checkpoints / f"global_step_{step}" / "actor"
    if not folder.is_dir():
        found = sorted(path.name for path in run_dir.checkpoints.glob("global_step_*"))
        raise CheckpointError(f"no checkpoint {folder}: there are {', '.join(found) or 'none'}")
    return folder


def read_actor_state(folder: Path) -> "dict[str, torch.Tensor]":
    """The actor's parameters, put together from the shards of all ranks, in the precision they were trained in."""
    import torch

    shards = {int(m[2]): (int(m[1]), path) for path in folder.iterdir() if (m := _SHARD.fullmatch(path.name))}
    if not shards or sorted(shards) != list(range(next(iter(shards.values()))[0])):
        raise CheckpointError(
            f"{folder} lacks a rank's model_world_size_*_rank_*.pt: the checkpoint is not whole"
        )
    # verl's own files, written by this project's run: they hold DTensors, which weights_only refuses.
    states = [torch.load(shards[rank][1], map_location="cpu", weights_only=False) for rank in sorted(shards)]
    return {name: _join([state[name] for state in states]) for name in states[0]}


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


def policy(run_dir: RunDir, step: int | None = None) -> "PreTrainedModel":
    """The trained policy in float32 on the CPU, with its adapter in place where it was trained with LoRA."""
    import torch
    from transformers import AutoModelForCausalLM

    config, folder = load_config(run_dir), actor_folder(run_dir, step)
    state = read_actor_state(folder)
    section = config.actor_rollout_ref.model
    lora = int(section.get("lora_rank") or 0) > 0
    if lora and not any(".base_layer." in name for name in state):
        # actor.checkpoint.save_lora_only: the base is where it always was.
        model = AutoModelForCausalLM.from_pretrained(section.path, dtype=torch.float32)
    else:
        shape = plain_config(folder / "huggingface")
        model = AutoModelForCausalLM.from_config(shape, dtype=torch.float32)
    if lora:
        from peft import get_peft_model

        model = get_peft_model(model, lora_config(config))
        # PEFT takes the name from the model, which here comes from its configuration alone.
        model.peft_config["default"].base_model_name_or_path = str(section.path)
    missing, unexpected = model.load_state_dict(state, strict=False)
    missing = [name for name in missing if "lora_" in name or (not lora and "lm_head" not in name)]
    if missing or unexpected:
        raise CheckpointError(
            f"{folder} does not fit the run's configuration: {len(missing)} parameters are missing and "
            f"{len(unexpected)} are unknown ({[*missing, *unexpected][0]})"
        )
    return model.eval()


def lora_config(config: DictConfig) -> Any:
    """PEFT's configuration of the run's adapter, as verl builds it."""
    from peft import LoraConfig, TaskType

    section = config.actor_rollout_ref.model
    plain: dict[str, Any] = {
        name: OmegaConf.to_container(section[name])
        if OmegaConf.is_config(section.get(name))
        else section.get(name)
        for name in ("target_modules", "exclude_modules", "target_parameters")
    }
    return LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=int(section.lora_rank),
        lora_alpha=int(section.lora_alpha),
        base_model_name_or_path=str(section.path),
        **plain,
    )


def export(
    run_dir: RunDir, out: Path, *, step: int | None = None, adapter: bool = False, dtype: str = "float32"
) -> Path:
    """Write the policy to `out`, whole or not at all: merged, or the adapter alone. Returns `out`."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out} exists and is not an empty folder: remove it or name another with --out")
    if dtype not in ("float32", "bfloat16", "float16"):
        raise ConfigError(f"--dtype {dtype}: use float32, bfloat16 or float16")
    config = load_config(run_dir)
    if adapter and not int(config.actor_rollout_ref.model.get("lora_rank") or 0):
        raise ConfigError(
            f"{run_dir.path} was not trained with LoRA: there is no adapter (leave --adapter out)"
        )
    model: Any = policy(run_dir, step)
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        if adapter:
            model.save_pretrained(work)
        else:
            import torch

            merged = model.merge_and_unload() if hasattr(model, "merge_and_unload") else model
            merged.to(getattr(torch, dtype)).save_pretrained(work)
        _copy_tokenizer(actor_folder(run_dir, step) / "huggingface", work, generation=not adapter)
        work.chmod(0o755)
        if out.exists():
            out.rmdir()
        os.replace(work, out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return out


def _copy_tokenizer(source: Path, target: Path, *, generation: bool) -> None:
    """Tokenizer, chat template and generation settings, beside the weights."""
    for file in source.iterdir():
        wanted = file.name != "config.json" and (generation or file.name != "generation_config.json")
        if file.is_file() and wanted and file.suffix != ".safetensors":
            shutil.copyfile(file, target / file.name)
    if not generation:
        card = target / "README.md"  # PEFT's empty model card
        card.unlink(missing_ok=True)


app = typer.Typer(add_completion=False)


@app.command()
def run(
    run: Annotated[Path, typer.Argument(help="Folder of a run, such as outputs/tiny_lora-seed0.")],
    out: Annotated[Path, typer.Option(help="Folder to write; must not exist or be empty.")],
    step: Annotated[int | None, typer.Option(help="Checkpoint's step; the last one if not given.")] = None,
    adapter: Annotated[
        bool, typer.Option("--adapter", help="Write the LoRA adapter alone (adapter_model.safetensors).")
    ] = False,
    dtype: Annotated[
        str, typer.Option(help="Of the merged weights: float32, bfloat16, float16.")
    ] = "bfloat16",
) -> None:
    """Write a trained policy: with LoRA merged into the base, or with --adapter the adapter alone."""
    folder = export(RunDir(run.resolve()), out, step=step, adapter=adapter, dtype=dtype)
    size = sum(file.stat().st_size for file in folder.iterdir())
    typer.echo(f"{folder}: {counted(len(list(folder.iterdir())), 'file')}, {size / 2**20:.1f} MiB")
