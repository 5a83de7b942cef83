"""The folder of a run: what stands where, and whether the run is new, to be resumed, or finished."""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from verl_coder.errors import CheckpointError, ConfigError
from verl_coder.files import given_folder, is_there, read_object, write_atomically
from verl_coder.json_text import is_number
from verl_coder.model_digest import weights_digest
from verl_coder.run.backup import StepBackup
from verl_coder.run.checkpoint_files import TRACKER, is_whole, read_best, saved_steps, step_folder
from verl_coder.run.sync_state import SyncState


class RunDir:
    """`outputs/<run>/`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        """The resolved configuration of the last start."""
        self.metrics = path / "metrics.jsonl"
        """One JSON object per line: {"step", "data": {metric: value}}."""
        self.log = path / "train.log"
        """All that verl, Ray and vLLM print."""
        self.phase = path / "phase.json"
        """What the trainer is doing now (run.phase), as JSON."""
        self.phase_history = path / "phase_history.json"
        """Phase -> the longest it took without progress, in seconds, over all starts (launch.watchdog)."""
        self.stuck = path / "stuck.txt"
        """Where every process stood when the watchdog ended the run."""
        self.shape = path / "shape.json"
        """What must stay the same for a checkpoint to fit, as JSON."""
        self.resume = path / "resume.json"
        """How the last start was set, and what its files held (run.resume)."""
        self.checkpoints = path / "checkpoints"
        """verl's checkpoints: global_step_N/ and latest_checkpointed_iteration.txt."""
        self.summary = path / "summary.json"
        """Written when the run has finished."""
        self.curve = path / "curve.png"
        """Picture of reward, held-out pass rate and tool calls against steps."""
        self.timing = path / "timing.json"
        """Seconds per phase that are not in the metrics, summed over starts, as JSON."""
        self.wall = path / "wall.json"
        """Wall time and peak memory, over all starts (launch.wall_clock)."""
        self.shared_memory = path / ".shared_memory"
        """Names of the shared memory that the run's processes use (launch.leftovers)."""
        self.backup = StepBackup(path / "wandb_backup")
        """Metrics once more, a file per step: what the W&B uploader sends."""
        self.sync_state = path / "wandb_sync_state.json"
        """Which W&B run this is, and how far the server has it (run.sync_state)."""
        self.tensorboard = path / "tensorboard"
        """TensorBoard's event files."""
        self.notices = path / "warnings.jsonl"
        """Warnings, one JSON object per line."""
        self.lock = path / ".lock"
        """Locked (flock) while a run is writing to the folder."""
        self.stop_request = path / "stop_request"
        """Asks the trainer to save a checkpoint and end (trainer.stopping)."""
        self.stopped = path / "stopped.json"
        """Written by a trainer that ended on request, as JSON: {"step"}."""
        self.best = self.checkpoints / "best.json"
        """The checkpoint with the best held-out pass rate, as JSON: {"step", "pass_rate"}."""
        self.samples = path / "eval_samples"
        """Tables of samples, one JSON-lines file per evaluation."""
        self.sample_folders = (path / "rollouts", path / "validation", self.samples)
        """Folders of samples, with a JSON-lines file a step each."""

    def same_command(self) -> str:
        """What the command of the run does next, where it has ended early."""
        try:
            step = self.checkpoint_step()
        except CheckpointError as error:
            return f"the same command goes on when its checkpoints are in order: {error}"
        return f"the same command goes on after step {step}" if step else "the same command begins anew"

    def named_step(self, name: str) -> int:
        """The step of `RUN@name`: a number, `best`, or the last one where nothing stands there.

        ConfigError, CheckpointError.
        """
        if name == "best":
            best = read_best(self.best)
            if best is None:
                raise CheckpointError(f"{self.path} has no checkpoints/best.json: name a step (@8)")
            return best[0]
        if name and not re.fullmatch(r"[0-9]{1,9}", name):
            raise ConfigError(f"{self.path}@{name}: after @ stands the number of a step, or `best`")
        return int(name) if name else self.checkpoint_step()

    def checkpoint_step(self) -> int:
        """Step of the last whole checkpoint; 0 where there is none."""
        tracker = self.checkpoints / TRACKER
        if not tracker.is_file():
            whole = [n for n in saved_steps(self.checkpoints) if is_whole(step_folder(self.checkpoints, n))]
            if whole:
                raise CheckpointError(
                    f"{tracker} is missing, but global_step_{whole[-1]}/ is whole: write {whole[-1]} into that file to "
                    f"go on after that step, or remove {self.checkpoints} to begin anew"
                )
            return 0
        try:
            step = int(tracker.read_text())
        except ValueError as error:
            raise CheckpointError(
                f"{tracker} holds no number ({error}): write that of the last global_step_* folder into it"
            ) from error
        if step and not is_whole(step_folder(self.checkpoints, step)):
            raise CheckpointError(
                f"{tracker} names step {step}, but global_step_{step}/ is not whole: "
                f"write the number of an older folder into that file, or remove {self.checkpoints}"
            )
        return step

    def last_whole_step(self) -> int:
        """`checkpoint_step`, 0 also where the checkpoints are not in order: for what goes on in spite of that."""
        try:
            return self.checkpoint_step()
        except CheckpointError:
            return 0

    def check_records(self) -> None:
        """CheckpointError or ConfigError for the first JSON file of an earlier start that is broken, with the cure."""
        for path, cure, holds_numbers in (
            (self.shape, "remove it, and the shape of this start counts", False),
            (self.resume, "remove it, and the settings of this start count", False),
            (self.timing, "remove it, and the seconds of the phases begin anew", True),
            (self.wall, "remove it, and the wall time begins anew", True),
        ):
            found = read_object(path, cure) if path.is_file() else {}
            for key, value in found.items() if holds_numbers else ():
                if not is_number(value):
                    raise CheckpointError(f"{path} is broken ({key} is {value!r}, no number): {cure}")
        self.finished_steps()
        read_best(self.best)
        SyncState.load(self.sync_state)

    def read_summary(self) -> dict[str, Any]:
        """The summary of a finished run; CheckpointError where it is broken."""
        return self._summary(_OF_A_SUMMARY)

    def finished_steps(self) -> int:
        """Number of steps of the summary of a finished run; 0 where it has not finished."""
        return int(self._summary(["steps"])["steps"]) if self.summary.is_file() else 0

    def _summary(self, keys: Iterable[str]) -> dict[str, Any]:
        cure = "remove it, and the same command goes on"
        found = read_object(self.summary, cure)
        wrong = next((key for key in keys if not _is_of(found.get(key), _OF_A_SUMMARY[key])), None)
        if wrong:
            what = f"{wrong} is {str(found[wrong])[:80]}" if wrong in found else f"it lacks {wrong}"
            raise CheckpointError(f"{self.summary} is broken ({what}): {cure}")
        return found

    def check_shape(self, config: DictConfig) -> None:
        """CheckpointError where the checkpoint here has another shape than the run asks for."""
        shape = model_shape(config)
        if self.checkpoint_step() and self.shape.is_file():
            before = read_object(self.shape, "remove it, and the shape of this start counts")
            for key, value in shape.items():
                if key in _OF_ONE_KIND and None in (value, before.get(key)):
                    continue  # a name of the hub has no folder to compare, a folder no name
                if before.get(key) != value:
                    difference = (
                        f"began from another model than {config.actor_rollout_ref.model.path} "
                        f"({_HASHED[key].format(before.get(key))}: name that model with MODEL="
                        if key in _HASHED
                        else f"was trained with {key}={before.get(key)} (this run asks for {value}: take that back"
                    )
                    raise CheckpointError(
                        f"the checkpoint in {self.checkpoints} {difference}, or another folder with OUT=)"
                    )

    def record_shape(self, config: DictConfig) -> None:
        """Write down the shape of the run, for the next start."""
        write_atomically(self.shape, json.dumps(model_shape(config), indent=1))

    def sample_files(self) -> list[tuple[int, Path]]:
        """(step, file) of all samples, folder by folder."""
        found = []
        for folder in self.sample_folders:
            for path in folder.glob("*.jsonl"):
                match = re.fullmatch(r"(?:step_)?(\d{1,9})", path.stem)
                if match and path.is_file():
                    found.append((int(match.group(1)), path))
        return found

    def drop_metrics_after(self, step: int) -> str:
        """Forget metrics and samples later than `step` (-1: all), which are done again; the line that says so.

        It is empty where no step was recorded.
        """
        forgotten = {later for later in self.backup.steps() if later > step}
        self.backup.drop_after(step)
        for later, path in self.sample_files():
            if later > step:
                path.unlink()
        return _forgotten_words(sorted(forgotten | self._cut_metrics(step)), step)

    def drop_metrics_of(self, last: int) -> None:
        """Forget the metrics of the last step, and not its samples: they are logged once more."""
        self.backup.drop_after(last - 1)
        self._cut_metrics(last - 1)

    def _cut_metrics(self, step: int) -> set[int]:
        """Take later steps, and damaged lines, out of the file of metrics; which they were."""
        kept, forgotten = [], set[int]()
        for line in self.metrics.read_bytes().split(b"\n") if self.metrics.is_file() else ():
            try:
                of = int(json.loads(line)["step"])
                if of > step:
                    forgotten.add(of)
                else:
                    kept.append(line.decode() + "\n")
            except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
                continue  # the line that a kill cut short, or a damaged one
        if self.metrics.is_file():
            write_atomically(self.metrics, "".join(kept))
        return forgotten

    def read_metrics(self) -> list[dict[str, Any]]:
        """All whole lines of the metrics file."""
        records: dict[int, dict[str, Any]] = {}
        if self.metrics.is_file():
            for line in self.metrics.read_bytes().split(b"\n"):
                try:
                    record = json.loads(line)
                    step, data = int(record["step"]), dict(record["data"])
                except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
                    continue
                records.setdefault(step, {}).update(data)
        return [{"step": step, "data": data} for step, data in sorted(records.items())]


_OF_A_SUMMARY: dict[str, type] = {
    "recipe": str,
    "seed": int,
    "steps": int,
    "wall_s": float,
    "pass_at_1": dict,
    "tool_calls_per_problem": dict,
    "reward": dict,
    "phases_s": dict,
}
"""What the closing table shows, and what it is; a dict is one of numbers or nulls."""


def _is_of(value: Any, kind: type) -> bool:
    if kind is dict:
        return isinstance(value, dict) and all(
            isinstance(each, int | float | None) for each in value.values()
        )
    if kind is str:
        return isinstance(value, str)
    return is_number(value) and isinstance(value, int | kind)


_HASHED = {
    "model_config_sha256": "shapes in config.json differ",
    "model_weights_blocks_sha256": "weights differ",
    "model_name": "it was {}",
}
_OF_ONE_KIND = ("model_weights_blocks_sha256", "model_name")


def model_shape(config: DictConfig) -> dict[str, Any]:
    """What decides whether a checkpoint fits: the model it began from, and the shape of its tensors."""
    model = config.actor_rollout_ref.model
    model_config = Path(str(model.path)) / "config.json"
    digest = None
    if model_config.is_file():
        fields = json.loads(model_config.read_text())
        keep = sorted(k for k in fields if k not in ("transformers_version", "_name_or_path", "dtype"))
        digest = hashlib.sha256(json.dumps({k: fields[k] for k in keep}).encode()).hexdigest()[:12]
    targets = model.get("target_modules")
    return {
        "model_config_sha256": digest,
        "model_weights_blocks_sha256": weights_digest(Path(str(model.path))),
        "model_name": None if digest else str(model.path),
        "lora_rank": int(model.get("lora_rank") or 0),
        "lora_target_modules": OmegaConf.to_container(targets) if OmegaConf.is_config(targets) else targets,
        "n_gpus": int(config.trainer.n_gpus_per_node) * int(config.trainer.nnodes),
        "strategy": str(config.actor_rollout_ref.actor.strategy),
    }


def _forgotten_words(steps: Sequence[int], last: int) -> str:
    if not steps:
        return ""
    words = f"step {steps[0]}" if len(steps) == 1 else f"steps {steps[0]} to {steps[-1]}"
    why = "there is no checkpoint" if last < 0 else "later than the last checkpoint"
    return f"metrics and samples of {words} removed ({why}): they are done again"


def run_and_step(value: str) -> tuple[str, str]:
    """The folder and the step of `RUN@step`; the step is empty where none is named.

    A folder may have an @ in its path: what is there as a whole has no step, else it stands behind the last @.
    """
    path, _, step = value.rpartition("@")
    if not path or is_there(Path(value).expanduser()) or not is_there(Path(path).expanduser()):
        return value, ""
    return path, step


def given_run(folder: Path) -> RunDir:
    """The run in a folder that a user names; ConfigError where there is none."""
    run_dir = RunDir(given_folder(folder))
    if not run_dir.config.is_file():
        below = sorted(path.parent for path in run_dir.path.glob(f"*/{run_dir.config.name}"))
        hint = f"; {below[0]} is one" if below else ""
        raise ConfigError(f"{run_dir.path} is not the folder of a run: it has no {run_dir.config.name}{hint}")
    return run_dir
