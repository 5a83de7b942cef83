"""What `--model` names: a model folder, a run and its step, an adapter, a hub name, or an endpoint."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from verl_coder.errors import ConfigError
from verl_coder.files import is_there, read_json
from verl_coder.hub import hub_reason
from verl_coder.model_digest import folder_digest
from verl_coder.paths import is_hub_name
from verl_coder.run.run_dir import RunDir, run_and_step

Kind = Literal["folder", "checkpoint", "adapter", "endpoint"]


@dataclass(frozen=True, kw_only=True)
class ModelSource:
    """A model before it is loaded."""

    kind: Kind
    name: str
    """As it was given, made absolute where it is a path."""
    folder: Path | None = None
    """The model's files; a checkpoint's `actor/`; None of an endpoint."""
    run: RunDir | None = None
    step: int | None = None

    def folder_to_load(self, scratch: Path) -> Path:
        """A Hugging Face folder, made in `scratch` of a checkpoint or an adapter (float32, the adapter merged)."""
        assert self.folder is not None
        if self.kind == "folder":
            return self.folder
        target = scratch / self.digest()  # what another checkpoint left there is none of this one
        if not (target / "config.json").is_file():
            shutil.rmtree(scratch, ignore_errors=True)
            if self.kind == "checkpoint":
                from verl_coder.launch.export import export

                assert self.run is not None
                export(self.run, target, step=self.step)
            else:
                merge_adapter(self.folder, target)
        return target

    def digest(self) -> str:
        """`folder_digest` of its files; empty of an endpoint."""
        return folder_digest(self.folder) if self.folder else ""


def find_model(value: str) -> ModelSource:
    """The model that `--model` names; ConfigError or CheckpointError says what is wrong with it."""
    if value.startswith(("http://", "https://")):
        return ModelSource(kind="endpoint", name=value.rstrip("/"))
    path, step = run_and_step(value)
    folder = Path(path).expanduser()
    if is_there(folder) and folder.is_dir():
        folder = folder.resolve()
        if folder.name.startswith("global_step_") and (folder / "actor").is_dir():
            return _checkpoint(RunDir(folder.parents[1]), folder.name.removeprefix("global_step_"))
        if step or (folder / "checkpoints").is_dir():
            return _checkpoint(RunDir(folder), step)
        if (folder / "adapter_config.json").is_file():
            adapter_base(folder)
            return ModelSource(kind="adapter", name=str(folder), folder=folder)
        if (folder / "config.json").is_file():
            return ModelSource(kind="folder", name=str(folder), folder=folder)
        raise ConfigError(
            f"--model {value}: the folder holds neither config.json (a model), adapter_config.json (an adapter) nor "
            "checkpoints/ (a run)"
        )
    if is_hub_name(value) and not is_there(folder):
        return ModelSource(kind="folder", name=value, folder=_download(value))
    raise ConfigError(
        f"--model {value}: no such folder, and neither a hub name (owner/name) nor a URL (http://host:port/v1)"
    )


def _checkpoint(run: RunDir, step: str) -> ModelSource:
    from verl_coder.launch.export import actor_folder, load_config

    load_config(run)
    number = run.named_step(step)
    return ModelSource(
        kind="checkpoint",
        name=f"{run.path}@{number}",
        folder=actor_folder(run, number),
        run=run,
        step=number,
    )


def _download(name: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name))
    except Exception as error:
        raise ConfigError(
            f"--model {name}: no such folder, and the hub gives none: {hub_reason(error)}"
        ) from error


def adapter_base(adapter: Path) -> str:
    """The model that an adapter belongs to; ConfigError where its configuration cannot be read or names none."""
    path = adapter / "adapter_config.json"
    base = read_json(path, "copy the adapter anew").get("base_model_name_or_path")
    if not base or not isinstance(base, str):
        raise ConfigError(f"{path} names no base_model_name_or_path: copy the adapter anew")
    return base


def merge_adapter(adapter: Path, target: Path) -> None:
    """Write base and LoRA adapter as one model in float32; ConfigError where the base is not to be had."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    base = adapter_base(adapter)
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"the adapter's base {base} cannot be loaded ({str(error).splitlines()[0]})"
        ) from error
    merged = PeftModel.from_pretrained(model, adapter).merge_and_unload()
    tokenizer = AutoTokenizer.from_pretrained(adapter if (adapter / "tokenizer.json").is_file() else base)
    work = target.with_name(f".{target.name}.part")
    shutil.rmtree(work, ignore_errors=True)
    logging.disable_progress_bar()  # seconds long, and beside our own
    merged.save_pretrained(work)
    tokenizer.save_pretrained(work)
    work.rename(target)


def positions_of(model: ModelSource) -> int | None:
    """Positions of the model; None where its config does not say."""
    folder = model.folder
    if folder is not None and model.kind == "checkpoint":
        folder = folder / "huggingface"
    path = folder / "config.json" if folder else None
    if path is None or not path.is_file():
        return None
    otherwise = "it should be a model's configuration; copy the model anew"
    found = read_json(path, otherwise).get("max_position_embeddings")
    if found is not None and not isinstance(found, int):
        raise ConfigError(f"{path}: max_position_embeddings is {found!r}: {otherwise}")
    return found or None
