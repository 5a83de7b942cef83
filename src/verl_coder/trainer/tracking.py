"""verl's Tracking, with ours in front: JSON lines, a file per step (from which W&B is fed), TensorBoard."""

import json
from pathlib import Path
from typing import Any

from verl.utils.tracking import Tracking

from verl_coder.files import append_line
from verl_coder.run.backup import plain
from verl_coder.run.notices import Notices
from verl_coder.run.run_dir import RunDir

HANDLED_HERE = ("wandb", "tensorboard")
"""Loggers of verl's that would run inside training: ours run beside it, or cannot fail it."""


class RunTracking(Tracking):
    """Logs a step to the run's folder first, and to every other place such that it cannot stop training."""

    def __init__(
        self,
        project_name: str,
        experiment_name: str,
        default_backend: str | list[str] = "console",
        config: Any = None,
    ) -> None:
        names = [default_backend] if isinstance(default_backend, str) else list(default_backend)
        super().__init__(
            project_name, experiment_name, [name for name in names if name not in HANDLED_HERE], config
        )
        self._run_dir = RunDir(Path(config["verl_coder"]["out"]))
        self._notices = Notices(self._run_dir.notices)
        self._waiting: list[tuple[int, dict[str, Any], dict[str, str]]] = []
        self._board: Any = None
        self._holds_next = False
        self.held: dict[str, Any] | None = None
        """What the step of `hold_next` would have logged, as JSON values."""

    def hold_next(self) -> None:
        """Keep the next step in `held` in place of logging it: it is not complete."""
        self._holds_next = True

    def log(self, data: dict[str, Any], step: int, backend: Any = None) -> None:
        """The folder, TensorBoard, then verl's other backends; `tables/<name>` entries are files, not numbers."""
        if self._holds_next:
            self._holds_next, self.held = False, {key: plain(value) for key, value in data.items()}
            return
        values = {key: plain(value) for key, value in data.items() if not key.startswith("tables/")}
        tables = {key.removeprefix("tables/"): str(data[key]) for key in data if key.startswith("tables/")}
        self._waiting.append((int(step), values, tables))
        self.write_waiting()
        self._to_tensorboard(values, int(step))
        try:
            super().log(data=values, step=step, backend=backend)
        except Exception as error:  # third-party loggers: none of them may stop training
            self._notices.say("logger", f"a logger of trainer.logger failed ({error}); training goes on")

    def write_waiting(self) -> bool:
        """Write the steps that are not on the disk yet; False where some do not fit and wait for the next step."""
        try:
            while self._waiting:
                step, values, tables = self._waiting[0]
                self._run_dir.backup.write(step, values, tables)
                append_line(self._run_dir.metrics, json.dumps({"step": step, "data": values}))
                self._waiting.pop(0)
        except OSError as error:
            self._notices.say(
                "metrics",
                f"metrics of step {self._waiting[0][0]} cannot be written ({error}); they wait in memory",
            )
        self._notices.write_unwritten()
        return not self._waiting

    def _to_tensorboard(self, values: dict[str, Any], step: int) -> None:
        try:
            if self._board is None:
                from torch.utils.tensorboard import SummaryWriter

                # After a resume TensorBoard hides what an earlier start wrote of the steps that come again.
                self._board = SummaryWriter(str(self._run_dir.tensorboard), purge_step=step)
            for name, value in values.items():
                if isinstance(value, int | float):
                    self._board.add_scalar(name, value, step)
            self._board.flush()
        except Exception as error:
            self._board = None  # its writer does not recover: the next step starts another file
            self._notices.say(
                "tensorboard", f"TensorBoard's files cannot be written ({error}); training goes on"
            )

    def finish(self, exit_code: int = 0) -> None:
        """Close everything."""
        if not getattr(self, "_finished", True):
            self.write_waiting()
            if self._board is not None:
                try:
                    self._board.close()
                except Exception as error:
                    self._notices.say("tensorboard", f"TensorBoard's files cannot be closed ({error})")
        super().finish(exit_code)
