"""Checkpoints of the SFT trainer's process: whole or not there, the last and the best; verl's own files in them."""

import json
import time
from typing import Any

from verl.utils.checkpoint.checkpoint_handler import CheckpointHandler, extract_step

from verl_coder.files import write_durably
from verl_coder.run.checkpoint_files import SAVING, clear_saving, commit, prune, saved_steps
from verl_coder.run.notices import Notices
from verl_coder.run.run_dir import RunDir
from verl_coder.sft.best import best_step


class StoppedOnRequest(Exception):
    """Raised after a step whose checkpoint was written because SIGTERM asked for it."""


class SftCheckpoints(CheckpointHandler):
    """verl's handler, made atomic."""

    def __init__(
        self,
        engine: Any,
        train_dataloader: Any,
        *,
        run_dir: RunDir,
        last_step: int,
        **options: Any,
    ) -> None:
        super().__init__(engine, train_dataloader, default_local_dir=str(run_dir.checkpoints), **options)
        self._run_dir, self._last_step = run_dir, last_step
        self._notices = Notices(run_dir.notices)
        self.saved_at = time.monotonic()
        """When the last save ended, or training began."""

    def save_checkpoint(self, step: int) -> None:
        """Write the checkpoint of `step`; one that fails is told, and given up, but for the last.

        StoppedOnRequest where a request to end was met.
        """
        is_last = step >= self._last_step
        try:
            self._write_whole(step, is_last=is_last)
        except (OSError, RuntimeError) as error:  # torch's writer raises RuntimeError on a full disk
            clear_saving(self._run_dir.checkpoints)
            if is_last:
                raise
            reason = str(error).strip().splitlines()[0][:200]
            self._notices.say(
                f"checkpoint {step}",
                f"the checkpoint of step {step} could not be saved ({reason}); training goes on",
            )
        self.saved_at = time.monotonic()
        if self._run_dir.stop_request.is_file() and not is_last:
            write_durably(self._run_dir.stopped, json.dumps({"step": self._run_dir.last_whole_step()}))
            raise StoppedOnRequest

    def _write_whole(self, step: int, *, is_last: bool) -> None:
        checkpoints = self._run_dir.checkpoints
        clear_saving(checkpoints)
        if is_last:  # nothing goes on from there
            engine: Any = self.engine
            manager = engine.checkpoint_manager
            contents = manager.checkpoint_save_contents
            manager.checkpoint_save_contents = [part for part in contents if part != "optimizer"]
        self.default_local_dir = str(checkpoints / SAVING)
        try:
            super().save_checkpoint(step)
        finally:
            self.default_local_dir = str(checkpoints)
        commit(checkpoints, step)
        best = best_step(self._run_dir.read_metrics(), saved_steps(checkpoints))
        prune(checkpoints, latest=step, keep=1, best=best)

    def _load_dataloader_state(self, checkpoint_path: str) -> None:
        # At the end of an epoch the loader's state is that of one with nothing left, and an epoch would be lost.
        if (extract_step(checkpoint_path) or 0) % len(self.train_dataloader):
            super()._load_dataloader_state(checkpoint_path)
