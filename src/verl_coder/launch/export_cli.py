"""`verl-coder export`: a run's policy as a Hugging Face model, or its LoRA adapter for PEFT."""

from pathlib import Path
from typing import Annotated

import typer


def export(
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
    from verl_coder.launch.export import export as write
    from verl_coder.run.run_dir import RunDir

    folder = write(RunDir(run.resolve()), out, step=step, adapter=adapter, dtype=dtype)
    size = sum(file.stat().st_size for file in folder.iterdir())
    typer.echo(f"{folder}: {len(list(folder.iterdir()))} files, {size / 2**20:.1f} MiB")
