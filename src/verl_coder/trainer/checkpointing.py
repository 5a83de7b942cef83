"""Saving checkpoints so that a kill or a full disk costs nothing but time since the last one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
import torch
import transfer_queue as tq
from omegaconf import open_dict
from verl.trainer.ppo.checkpoint_callback import CheckpointCallback

from verl_coder.errors import CheckpointError
from verl_coder.files import free_bytes, write_durably
from verl_coder.model_config import forget_attention
from verl_coder.run.checkpoint_files import (
    SAVING,
    STATE,
    clear_saving,
    commit,
    folder_bytes,
    is_better,
    prune,
    read_best,
    state_file,
    step_folder,
)
from verl_coder.trainer.recipe_trainer import RecipeTrainer, place_of
from verl_coder.trainer.tracking import RunTracking


class CheckpointMixin(RecipeTrainer):
    """verl's save and load, made atomic, with the last K and the best kept, and our state beside verl's."""

    _saved_step: int = 0
    _written_step: int = 0
    """Step whose files are written but not yet named a checkpoint; 0: none."""
    _evaluated: tuple[int, float] | None = None

    def checkpoint_state(self) -> dict[str, Any]:
        """What other mixins put into a checkpoint, as JSON."""
        return {}

    def restore_state(self, state: dict[str, Any]) -> None:
        """Take back what `checkpoint_state` returned."""

    def _save_checkpoint(self) -> None:
        """verl's place for a save: after the update, before the evaluation and the step's metrics.

        Here generation rests, and on a GPU vLLM has given its memory back, so that what is offloaded has room to be
        written. `commit_written` follows when the metrics of the step are known; where an evaluation follows, that is
        before it (interrupted_evaluation.py).
        """
        self.write_now()

    def save_now(self, step: int, order: dict[str, Any] | None = None) -> None:
        """Write and commit `step`, which has ended; `order` is the data order if not the present one.

        A save that fails is told and given up; training goes on, and the next save is tried at its time.
        """
        self.write_now(step, order)
        self.commit_written()

    def write_now(self, step: int | None = None, order: dict[str, Any] | None = None) -> None:
        """Write the files of `step` (None: the present one)."""
        step = self.global_steps if step is None else step
        if step not in (self._saved_step, self._written_step) and self._try(
            step, lambda: self._write_checkpoint(step, order)
        ):
            self._written_step = step

    def commit_written(self) -> None:
        """Make the written files, if any, the last checkpoint."""
        step, self._written_step = self._written_step, 0
        if not step or not self._try(step, lambda: self._commit(step)):
            return
        self._saved_step = step
        self._note_best()
        folder = step_folder(self.run_dir.checkpoints, step)
        self.checkpoint_callback.on_save(
            trainer=self, global_step=step, checkpoint_dir=str(folder), async_save=False
        )

    def _try(self, step: int, part_of_save: Callable[[], None]) -> bool:
        """Whether it went well; says so where it did not."""
        self._enter_phase("saving", step)
        try:
            part_of_save()
        except ray.exceptions.RayActorError:
            raise  # a worker died: nothing to go on with
        except Exception as error:
            clear_saving(self.run_dir.checkpoints)
            kept = self._last_whole()
            self.notices.say(
                f"checkpoint {step}",
                f"the checkpoint of step {step} could not be saved ({_reason(error)}); training goes on, "
                + (f"the one of step {kept} is whole" if kept else "there is no older one"),
            )
            return False
        finally:
            self._enter_phase("training")
        return True

    def _last_whole(self) -> int:
        """Step of the last whole checkpoint; 0, which is told, also where somebody removed the one that is named."""
        try:
            return self.run_dir.checkpoint_step()
        except CheckpointError as error:
            what = str(error).partition(": ")[0]  # the cure is of a run that has ended
            self.notices.say("tracker", f"{what}; training goes on, and the next save names another")
            return 0

    def _enter_phase(self, phase: str, step: int | None = None) -> None:
        """Tell the launcher what is being done (see rl_trainer.py)."""

    def _write_checkpoint(self, step: int, order: dict[str, Any] | None) -> None:
        """verl's own save, into a folder that no resume looks at."""
        checkpoints = self.run_dir.checkpoints
        clear_saving(checkpoints)
        self._check_space()
        saving = checkpoints / SAVING
        folder = step_folder(saving, step)
        folder.mkdir(parents=True)
        if order is None:
            order = self.train_dataloader.state_dict()
        trainer, callback, present = self.config.trainer, self.checkpoint_callback, self.global_steps
        settings = {
            "default_local_dir": str(saving),
            "max_actor_ckpt_to_keep": None,
            "max_critic_ckpt_to_keep": None,
        }
        before = {name: trainer.get(name) for name in settings}
        try:
            self.global_steps = step
            with open_dict(self.config):
                trainer.update(settings)  # which checkpoints to keep is decided here, not in the workers
            self.checkpoint_callback = CheckpointCallback()
            super()._save_checkpoint()
        finally:
            self.global_steps, self.checkpoint_callback = present, callback
            with open_dict(self.config):
                trainer.update(before)
        forget_attention(folder)
        torch.save(order, folder / "data.pt")

    def _commit(self, step: int) -> None:
        """Our state beside verl's, then the name; the metrics and samples of the step are on the disk before it."""
        self._write_state(step_folder(self.run_dir.checkpoints / SAVING, step) / STATE, self._state_text())
        commit(self.run_dir.checkpoints, step)

    def _state_text(self) -> str:
        return json.dumps(self.checkpoint_state(), indent=1)

    def _write_state(self, path: Path, text: str) -> None:
        """Our state; OSError, and nothing is written, where metrics or samples cannot be on the disk before it."""
        for future in self._dump_futures:
            future.result()
        logger = getattr(self, "logger", None)
        if isinstance(logger, RunTracking) and not logger.write_waiting():
            raise OSError("its metrics are not on the disk yet")
        write_durably(path, text)

    def _check_space(self) -> None:
        """OSError where the disk cannot hold a checkpoint of the last one's size.

        Asked before any worker writes: one of several ranks that fails alone would leave the others waiting.
        """
        last = self._last_whole()
        if not last:
            return
        needed = folder_bytes(step_folder(self.run_dir.checkpoints, last))
        free = free_bytes(self.run_dir.checkpoints)
        if free < needed:
            raise OSError(f"disk full: {free / 2**20:,.0f} MiB free, {needed / 2**20:,.0f} MiB needed")

    def _load_checkpoint(self) -> None:
        super()._load_checkpoint()
        self._saved_step = self.global_steps
        if self.global_steps and self.trainer_mode != "sync":
            clear_trained_rows()
        path = state_file(step_folder(self.run_dir.checkpoints, self.global_steps))
        if self.global_steps and path.is_file():
            self.restore_state(json.loads(path.read_text()))

    def note_pass_rate(self, rate: float) -> None:
        """Held-out pass rate of step `global_steps`: its checkpoint may be the best so far."""
        self._evaluated = (self.global_steps, rate)
        self._note_best()

    def _note_best(self) -> None:
        """Remember the best checkpoint that was evaluated, and remove those that need not be kept."""
        if self._evaluated and self._evaluated[0] == self._saved_step > 0 and self.settings.keep_best:
            step, rate = self._evaluated
            try:
                before = read_best(self.run_dir.best)
            except CheckpointError:
                before = None  # damaged: written anew
            if is_better(step, rate, before):
                self._write_best(json.dumps({"step": step, "pass_rate": rate}))
        if self._saved_step:
            self._prune()

    def _write_best(self, text: str) -> None:
        try:
            write_durably(self.run_dir.best, text)
        except OSError:
            self._prune()  # makes room; what was to be named is the last checkpoint, and stays
            try:
                write_durably(self.run_dir.best, text)
            except OSError as error:
                self.notices.say("best", f"{self.run_dir.best} cannot be written ({error}); training goes on")

    def _prune(self) -> None:
        try:
            best = read_best(self.run_dir.best) if self.settings.keep_best else None
            prune(
                self.run_dir.checkpoints,
                latest=self._last_whole(),
                keep=self.config.trainer.max_actor_ckpt_to_keep,
                best=best[0] if best else None,
            )
        except CheckpointError as error:
            self.notices.say("prune", f"old checkpoints are kept, one of them may be the best: {error}")
        except OSError as error:
            self.notices.say("prune", f"old checkpoints cannot be removed ({error}); training goes on")


def clear_trained_rows() -> None:
    """Take out of TransferQueue what was trained on already.

    verl saves a step before it clears its rows. Their prompts have left the queue when the rows were drawn, so that
    nothing draws them again, and nothing clears them.
    """
    for partition, items in (tq.kv_list() or {}).items():
        prompts = {key for key, tag in items.items() if tag.get("is_prompt", False)}
        trained = [key for key in items if key not in prompts and place_of(key)[0] not in prompts]
        if trained:
            tq.kv_clear(keys=trained, partition_id=partition)


def _reason(error: BaseException) -> str:
    """The last line of an exception that says something, without Ray's traceback."""
    cause = getattr(error, "cause", None) or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return (lines[-1] if lines else type(cause).__name__)[:200]
