"""`wandb_backup/`: each step's metrics as a file of its own, written before anything is sent anywhere.

The folder is also the queue of the W&B uploader: it sends, in order, the files that the server lacks. So the
trainer only ever writes a small local file, and nothing is lost while the server is away.
"""

import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verl_coder.errors import DataError
from verl_coder.files import write_durably

_NAME = re.compile(r"step_(\d+)\.json")


@dataclass(frozen=True)
class StepBackup:
    """The folder of step files."""

    folder: Path

    def path(self, step: int) -> Path:
        """`step_000123.json`."""
        return self.folder / f"step_{step:06d}.json"

    def write(self, step: int, data: dict[str, Any], tables: dict[str, str] | None = None) -> None:
        """Write {"step", "data", "tables"} whole or not at all, and sync it; OSError when the disk is full.

        `tables` maps a metric's name to a JSON-lines file, relative to the run's folder.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        write_durably(self.path(step), json.dumps({"step": step, "data": data, "tables": tables or {}}))

    def read(self, step: int) -> dict[str, Any]:
        """The record of a step; DataError where its file is broken."""
        path = self.path(step)
        try:
            record: dict[str, Any] = json.loads(path.read_text())
            data, tables = record["data"], record["tables"]
            if record["step"] != step or not isinstance(data, dict) or not isinstance(tables, dict):
                raise TypeError("step, data or tables is not what it should be")
            if not all(isinstance(file, str) for file in tables.values()):
                raise TypeError("tables names no files")
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise DataError(
                f"{path} is broken ({type(error).__name__}: {error}): write it anew from metrics.jsonl, or remove it"
            ) from error
        return record

    def steps(self) -> list[int]:
        """Steps that are there, in order."""
        if not self.folder.is_dir():
            return []
        matches = (_NAME.fullmatch(entry.name) for entry in self.folder.iterdir())
        return sorted(int(match.group(1)) for match in matches if match)

    def drop_after(self, step: int) -> None:
        """Forget later steps: they are trained again after a resume."""
        for later in self.steps():
            if later > step:
                self.path(later).unlink()


def plain(value: Any) -> Any:
    """A metric as a JSON value; arrays and tensors of one element are numbers."""
    value = number(value)
    return value if isinstance(value, int | float | str | bool) or value is None else str(value)


def number(value: Any) -> Any:
    """The Python value of an array or tensor of one element; anything else as it is."""
    shape = getattr(value, "shape", None)
    return value.item() if shape is not None and math.prod(shape) == 1 else value
