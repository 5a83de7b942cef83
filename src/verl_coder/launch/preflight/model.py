"""The model of a run: a folder, or a name of the hub that is in the local cache; its files, its largest tensor."""

import json
import os
import struct
from collections.abc import Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from verl_coder.errors import ConfigError
from verl_coder.hub import hub_reason
from verl_coder.paths import is_hub_name

TRUE_WORDS = {"1", "ON", "YES", "TRUE"}
"""What huggingface_hub takes for true in HF_HUB_OFFLINE."""
_INDEX = "model.safetensors.index.json"


HUB_TIMEOUT_S = 5.0


def check_model(path: str, *, may_be_missing: bool = False) -> str | None:
    """A folder must hold a model with its weights and tokenizer; anything else is taken for a name on the hub.

    Where that is neither in the cache nor on a hub that answers: ConfigError, or why, where it `may_be_missing`.
    """
    folder = Path(path)
    if folder.is_dir():
        for name in ("config.json", "tokenizer_config.json"):
            if not (folder / name).is_file():
                raise ConfigError(f"MODEL: {folder} has no {name}")
        _check_config(folder / "config.json")
        _check_weights(folder)
        return None
    if folder.is_file():
        raise ConfigError(f"MODEL: {folder} is a file: name the folder that holds the model")
    if not is_hub_name(path):
        raise ConfigError(f"MODEL: no folder {path} (a model of the hub is named owner/name)")
    offline = os.environ.get("HF_HUB_OFFLINE", "")
    if offline.upper() in TRUE_WORDS and local_folder(path) is None:
        missing: str | None = f"{path} is not in the local hub cache and HF_HUB_OFFLINE={offline}"
    else:
        missing = _absence(path)
    if missing and not may_be_missing:
        raise ConfigError(f"MODEL: {missing}: name a folder (MODEL=), or another hub (HF_ENDPOINT=)")
    return missing


def _absence(path: str) -> str | None:
    """Why a model of the hub cannot be had; asked once and shortly, where transformers asks for a minute."""
    if local_folder(path) is not None:
        return None
    try:
        ask_hub(path)
    except ConfigError as error:
        return f"{path} is not on this machine, and {error}"
    return None


def ask_hub(path: str) -> str:
    """The hub's own name of a model; ConfigError where it gives none."""
    from huggingface_hub import HfApi

    try:
        return str(HfApi().model_info(path, timeout=HUB_TIMEOUT_S).id)
    except Exception as error:  # requests', httpx's and its own
        raise ConfigError(f"the hub gives no {path}: {hub_reason(error)}") from error


def local_folder(path: str) -> Path | None:
    """The folder of a model: itself, or the hub's cached snapshot; None where neither is here."""
    if Path(path).is_dir():
        return Path(path)
    if not is_hub_name(path):
        return None
    from huggingface_hub import try_to_load_from_cache

    try:
        found = try_to_load_from_cache(path, "config.json")
    except ValueError:  # no name of the hub: who asks the hub for it says so
        return None
    return Path(found).parent if isinstance(found, str) else None


def _check_config(path: Path) -> None:
    try:
        described = json.loads(path.read_text())
    except ValueError as error:
        raise ConfigError(f"MODEL: {path} is not JSON ({error})") from error
    if not isinstance(described, dict) or "model_type" not in described:
        raise ConfigError(f"MODEL: {path} has no model_type: it describes no model of transformers")


def _check_weights(folder: Path) -> None:
    index = folder / _INDEX
    if index.is_file():
        try:
            named = set(json.loads(index.read_text())["weight_map"].values())
        except (ValueError, KeyError, AttributeError) as error:
            raise ConfigError(f"MODEL: {index} is broken ({error!r})") from error
        missing = sorted(name for name in named if not (folder / name).is_file())
        if missing:
            raise ConfigError(f"MODEL: {folder} lacks {missing[0]}, which {_INDEX} names")
    shapes = tensor_shapes(folder)
    if not shapes and not any(folder.glob("*.bin")):
        raise ConfigError(f"MODEL: {folder} has no weights (*.safetensors)")
    _check_fit(folder, shapes)


def _check_fit(folder: Path, shapes: Mapping[str, list[int]]) -> None:
    """The table of embeddings must have the size that config.json tells: weights and configuration are of one model."""
    described = json.loads((folder / "config.json").read_text())
    wanted = [described.get("vocab_size"), described.get("hidden_size")]
    for name, shape in shapes.items():
        if name.endswith("embed_tokens.weight") and None not in wanted and shape != wanted:
            raise ConfigError(
                f"MODEL: {folder}: {name} is of {' x '.join(map(str, shape))}, and config.json has vocab_size="
                f"{wanted[0]}, hidden_size={wanted[1]}: the two are of different models, fetch it again"
            )


def positions_of(config: DictConfig) -> int | None:
    """Tokens that the run's model has positions for; None where that is not known here, or the library's to say."""
    folder = local_folder(str(config.actor_rollout_ref.model.path))
    if folder is None or os.environ.get("VLLM_ALLOW_LONG_MAX_MODEL_LEN") in ("1", "true"):
        return None
    return positions_in(folder)


def positions_in(folder: Path) -> int | None:
    """Tokens that the model of a folder has positions for; None where it does not say so in a plain number."""
    try:
        described = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError):
        return None  # which the look at the model tells
    most, rope = described.get("max_position_embeddings"), described.get("rope_parameters") or {}
    if described.get("rope_scaling") or rope.get("rope_type", "default") != "default":
        return None  # stretched, by how much is the library's
    return most if isinstance(most, int) else None


def check_window(config: DictConfig) -> None:
    """The rollout's window must be one that the model has positions for: vLLM refuses it when its engine starts."""
    most = positions_of(config)
    place = "actor_rollout_ref.rollout.max_model_len"
    given, sizes = config.actor_rollout_ref.rollout.max_model_len, config.data
    wanted = int(given or sizes.max_prompt_length + sizes.max_response_length)
    if most is not None and wanted > most:
        what = (
            f"{place}={wanted}" if given else f"data.max_prompt_length + data.max_response_length = {wanted}"
        )
        raise ConfigError(f"{what}: MODEL has {most} positions (max_position_embeddings): use at most {most}")


def tensors(file: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """(name, {dtype, shape}) of each tensor of a safetensors file, from its header; ConfigError where it has none."""
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > file.stat().st_size:
                raise ValueError("its header is longer than the file")
            header = json.loads(stream.read(length))
            end = max(
                (value["data_offsets"][1] for key, value in header.items() if key != "__metadata__"),
                default=0,
            )
            if end + 8 + length > file.stat().st_size:
                raise ValueError("the file is cut short")
    except (OSError, ValueError, KeyError, TypeError, struct.error) as error:
        raise ConfigError(
            f"MODEL: {file} holds no weights ({error}): fetch it again (a pointer of Git LFS is no file)"
        ) from error
    for name, tensor in header.items():
        if name != "__metadata__":
            yield name, tensor


def tensor_shapes(folder: Path) -> dict[str, list[int]]:
    """Shape of every tensor in a model's folder; empty where it has no safetensors."""
    return {
        name: list(tensor["shape"])
        for file in sorted(folder.glob("*.safetensors"))
        for name, tensor in tensors(file)
    }


def tensor_sizes(folder: Path) -> dict[str, int]:
    """Number of elements of every tensor in a model's folder; empty where it has no safetensors."""
    return {name: prod(shape) for name, shape in tensor_shapes(folder).items()}
