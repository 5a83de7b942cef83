"""A checkpoint as files that other programs load: a Hugging Face model, and for LoRA the adapter alone.

verl's own merger rounds to bfloat16 and leaves the adapter out of the merged weights, so that neither gives the
policy's log-probabilities.
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from omegaconf import DictConfig, OmegaConf

from verl_coder.command_app import command_app
from verl_coder.errors import CheckpointError, ConfigError
from verl_coder.files import given_folder, refuse_used_folder
from verl_coder.launch.trained_weights import adapter_config, trained_model
from verl_coder.run.checkpoint_files import is_whole, saved_steps, step_folder
from verl_coder.run.run_dir import RunDir, run_and_step
from verl_coder.words import counted
from verl_coder.yaml_files import read_mapping

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def load_config(run_dir: RunDir) -> DictConfig:
    """The run's resolved configuration; CheckpointError where the folder holds no run."""
    if not run_dir.config.is_file():
        raise CheckpointError(f"{run_dir.path} holds no run: config.yaml is missing")
    read_mapping(run_dir.config, "it should be as the run wrote it; put it back")
    config = OmegaConf.load(run_dir.config)
    assert isinstance(config, DictConfig)
    return config


def actor_folder(run_dir: RunDir, step: int | None = None) -> Path:
    """`actor/` of a checkpoint: of the given step, else of the last one; CheckpointError where it is not whole."""
    step = run_dir.checkpoint_step() if step is None else step
    folder = step_folder(run_dir.checkpoints, step)
    others = [
        n
        for n in saved_steps(run_dir.checkpoints)
        if is_whole(step_folder(run_dir.checkpoints, n), to_go_on=False)
    ]
    there = (
        f"there are {', '.join(f'global_step_{n}' for n in others)}" if others else "there is no other one"
    )
    if not step:
        raise CheckpointError(f"{run_dir.path} has no checkpoint yet: train until one is saved")
    if not (folder / "actor").is_dir():
        raise CheckpointError(f"no checkpoint {folder / 'actor'}: {there}")
    if step not in others:
        raise CheckpointError(
            f"the checkpoint {folder} is not whole, files are missing or cut short: {there}"
        )
    return folder / "actor"


def policy(run_dir: RunDir, step: int | None = None) -> "PreTrainedModel":
    """The trained policy in float32 on the CPU, with its adapter in place where it was trained with LoRA."""
    config = load_config(run_dir)
    section = config.actor_rollout_ref.model
    lora = lora_config(config) if int(section.get("lora_rank") or 0) else None
    return trained_model(actor_folder(run_dir, step), base=str(section.path), lora=lora)


def lora_config(config: DictConfig) -> Any:
    """PEFT's configuration of the run's adapter, as verl builds it."""
    section = config.actor_rollout_ref.model
    plain: dict[str, Any] = {
        name: OmegaConf.to_container(section[name])
        if OmegaConf.is_config(section.get(name))
        else section.get(name)
        for name in ("target_modules", "exclude_modules", "target_parameters")
    }
    return adapter_config(
        int(section.lora_rank), int(section.lora_alpha), base_model_name_or_path=str(section.path), **plain
    )


def export(
    run_dir: RunDir, out: Path, *, step: int | None = None, adapter: bool = False, dtype: str = "float32"
) -> Path:
    """Write the policy to `out`, whole or not at all: merged, or the adapter alone. Returns `out`."""
    from transformers.utils import logging

    refuse_used_folder(out)
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
    logging.disable_progress_bar()  # seconds long, and beside our own
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


app = command_app()


@app.command()
def run(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN", help="Folder of a run, such as outputs/tiny_lora-seed0; with @8 or @best a step's."
        ),
    ],
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
    path, name = run_and_step(run)
    run_dir = RunDir(given_folder(Path(path)))
    if name:
        if step is not None:
            raise ConfigError(f"{run} and --step {step}: name the step once")
        step = run_dir.named_step(name)
    folder = export(run_dir, out, step=step, adapter=adapter, dtype=dtype)
    size = sum(file.stat().st_size for file in folder.iterdir())
    typer.echo(f"{folder}: {counted(len(list(folder.iterdir())), 'file')}, {size / 2**20:.1f} MiB")
