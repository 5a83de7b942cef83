"""Metrics to a JSON-lines file in the run's folder, beside whatever loggers verl was told to use."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from verl.utils.tracking import Tracking


def _plain(value: Any) -> Any:
    """A metric as a JSON value."""
    if isinstance(value, np.generic):
        return value.item()
    return value if isinstance(value, int | float | str | bool) or value is None else str(value)


class RunTracking(Tracking):
    """verl's Tracking, which also appends each step to `<verl_coder.out>/metrics.jsonl` and syncs it to disk."""

    def __init__(
        self,
        project_name: str,
        experiment_name: str,
        default_backend: str | list[str] = "console",
        config: Any = None,
    ) -> None:
        super().__init__(project_name, experiment_name, default_backend, config)
        self._path = Path(config["verl_coder"]["out"]) / "metrics.jsonl"

    def log(self, data: dict[str, Any], step: int, backend: Any = None) -> None:
        """Append {"step", "data"}, then log to verl's backends."""
        line = json.dumps({"step": int(step), "data": {k: _plain(v) for k, v in data.items()}})
        with self._path.open("a") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
        super().log(data=data, step=step, backend=backend)
