"""The JSON card beside prepared files: what they hold, where it came from, and with which versions."""

import json
import platform
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from verl_coder.data.writer import WrittenFile, file_sha256
from verl_coder.files import write_atomically

_PACKAGES = ("verl-coder", "pyarrow", "pydantic", "datasketch", "huggingface_hub")


def versions() -> dict[str, str]:
    """Python and the packages that have a say in the files."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def describe_files(files: Sequence[WrittenFile]) -> list[dict[str, Any]]:
    """Name, rows and hash of each written file."""
    return [{"file": f.path.name, "rows": f.rows, "sha256": f.sha256} for f in files]


def describe_sources(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Name, size and hash of each file read."""
    return [{"file": p.name, "bytes": p.stat().st_size, "sha256": file_sha256(p)} for p in paths]


def write_card(path: Path, card: dict[str, Any]) -> None:
    """Write the card with the versions added, atomically."""
    text = json.dumps({**card, "versions": versions()}, indent=2, ensure_ascii=False, default=_jsonable)
    write_atomically(path, text + "\n")


def _jsonable(value: object) -> object:
    if isinstance(value, Counter):
        return dict(sorted(value.items()))
    return str(value)
