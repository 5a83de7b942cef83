"""What can be wrong with a curriculum, found before Ray starts."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet as pq
from omegaconf import DictConfig, OmegaConf

from verl_coder.errors import CheckpointError, ConfigError, DataError
from verl_coder.files import read_object
from verl_coder.launch.recipe import file_list
from verl_coder.run.checkpoint_files import TRACKER, state_file, step_folder
from verl_coder.run.run_dir import RunDir
from verl_coder.run.settings import CURRICULUM, CurriculumSettings
from verl_coder.trainer.curriculum.stages import Curriculum
from verl_coder.words import counted

_FILTER = "algorithm.filter_groups"


def check_curriculum(
    config: DictConfig, settings: CurriculumSettings | None, run_dir: RunDir, *, data_is_there: bool = True
) -> tuple[str, ...]:
    """Raise ConfigError, DataError or CheckpointError for a curriculum that could not run; returns notes on it."""
    _check_checkpoint(settings, run_dir)
    if settings is None:
        return ()
    if config.trainer.test_freq <= 0:
        raise ConfigError(
            f"trainer.test_freq={config.trainer.test_freq}: {CURRICULUM} moves on by evaluations: use 1 or more"
        )
    if data_is_there:
        check_rows(
            settings, "data.train_files", file_list(config.data.train_files), config.data.train_batch_size
        )
        check_rows(settings, "data.val_files", file_list(config.data.val_files), 1)
    if not OmegaConf.select(config, f"{_FILTER}.enable", default=False):
        return ()
    return (
        f"note: {_FILTER}.enable ends the run in a stage of {CURRICULUM} that is mastered before it is left: "
        f"evaluate often (trainer.test_freq={config.trainer.test_freq}), keep thresholds low and mix_in above 0",
    )


def check_rows(settings: CurriculumSettings, place: str, files: Iterable[Path], least: int) -> None:
    """Each stage must have `least` rows in the files."""
    counts: Counter[int | None] = Counter()
    values: Counter[str] = Counter()
    for path in files:
        schema = pq.read_schema(path).field("extra_info").type
        if settings.by not in [schema.field(i).name for i in range(schema.num_fields)]:
            raise DataError(
                f"{place}: {path} has no extra_info.{settings.by}, which {CURRICULUM}.by asks for"
            )
        for row in pq.read_table(path, columns=["extra_info"])["extra_info"].to_pylist():
            counts[settings.stage_of(row)] += 1
            value = row[settings.by]
            values[value if isinstance(value, str) else "null" if value is None else "a number"] += 1
    for index, name in enumerate(settings.names):
        if counts[index] < least:
            there = ", ".join(f"{value} ({count})" for value, count in sorted(values.items()))
            raise DataError(
                f"{place} has {counted(counts[index], 'row')} for stage {name} of {CURRICULUM}, which takes "
                f"{least} or more; "
                f"its values of extra_info.{settings.by} are {there}"
            )


def _check_checkpoint(settings: CurriculumSettings | None, run_dir: RunDir) -> None:
    """The checkpoint here must be of the same curriculum: the data order is kept in another form with one."""
    step = run_dir.checkpoint_step()
    path = state_file(step_folder(run_dir.checkpoints, step))
    if not step or not path.is_file():
        return
    cure = f"write the number of an older folder into {run_dir.checkpoints / TRACKER}"
    state = read_object(path, cure).get("curriculum")
    if (settings is None) != (state is None):
        raise CheckpointError(
            f"the checkpoint in {run_dir.checkpoints} was trained {'with' if state else 'without'} a curriculum, "
            f"this run is {'without' if state else 'with'} one: take that back, or another folder with OUT="
        )
    if settings is not None and state is not None:
        Curriculum(settings).restore(state)
