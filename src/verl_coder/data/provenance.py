"""What lies beside prepared rows: the card (sources, options, hashes, versions) and the records left out."""

import json
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from verl_coder.data.writer import WrittenFile
from verl_coder.files import file_sha256, whole_file, write_atomically

_PACKAGES = ("verl-coder", "pyarrow", "pydantic", "datasketch", "huggingface_hub")
_REJECTED_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("data_source", "place", "problem_id", "reason", "message")]
)


def _versions() -> dict[str, str]:
    """Versions of Python and of the packages that shape the files."""
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


def write_card(path: Path, card: Mapping[str, Any]) -> None:
    """Write the card with the versions added, atomically."""
    text = json.dumps({**card, "versions": _versions()}, indent=2, ensure_ascii=False, default=_jsonable)
    write_atomically(path, text + "\n")


def _jsonable(value: object) -> object:
    if isinstance(value, Counter):
        return dict(sorted(value.items()))
    return str(value)


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """One record left out: `reason` is a code to count by, `message` what to tell a person."""

    data_source: str
    place: str
    reason: str
    message: str
    problem_id: str = ""


def write_rejected(rejections: list[Rejection], path: Path, *, with_rows: bool) -> None:
    """Write `rejected.parquet`, or remove the file of an earlier run when there are none.

    A run without rows, which fails, leaves those of the earlier run, and so their file where it has none itself.
    """
    if not rejections:
        if with_rows:
            path.unlink(missing_ok=True)
        return
    rows = [
        {name: text.encode("utf-8", "replace").decode() for name, text in asdict(rejection).items()}
        for rejection in rejections
    ]
    table = pa.Table.from_pylist(rows, schema=_REJECTED_SCHEMA)
    with whole_file(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def count_reasons(rejections: list[Rejection]) -> Counter[str]:
    """How many for each reason."""
    return Counter(rejection.reason for rejection in rejections)
