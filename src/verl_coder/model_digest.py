"""Tells models apart by their files, without reading gigabytes."""

import hashlib
from pathlib import Path

from verl_coder.errors import ConfigError

_BLOCKS, _BLOCK_BYTES = 256, 1 << 14
_MODEL_SUFFIXES = (".safetensors", ".bin", ".pt", ".json", ".jinja")
_WEIGHT_SUFFIXES = (".safetensors",)


def folder_digest(folder: Path) -> str:
    """Of a model's files by name, size and 256 blocks each: another model of the same name shows, also other layers.

    ConfigError where there is no such file: the digest of nothing would be that of any model that is gone.
    """
    if not any(path.suffix in _MODEL_SUFFIXES for path in folder.rglob("*")):
        raise ConfigError(f"{folder} holds no file of a model: it is gone, or was never there")
    return _digest(folder, _MODEL_SUFFIXES)


def weights_digest(folder: Path) -> str | None:
    """`folder_digest` of the weights only; None where the folder has none, as a name of the hub."""
    found = folder.is_dir() and any(path.suffix in _WEIGHT_SUFFIXES for path in folder.iterdir())
    return _digest(folder, _WEIGHT_SUFFIXES) if found else None


def _digest(folder: Path, suffixes: tuple[str, ...]) -> str:
    found = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.suffix in suffixes:
            size = path.stat().st_size
            found.update(f"{path.relative_to(folder)} {size}\n".encode())
            with path.open("rb") as file:
                for place in range(_BLOCKS):
                    file.seek(max(size - _BLOCK_BYTES, 0) * place // (_BLOCKS - 1))
                    found.update(file.read(_BLOCK_BYTES))
    return found.hexdigest()[:32]
