"""Everything that can be wrong with a run, found before Ray starts, each in one line."""

from dataclasses import dataclass, replace

from verl_coder.launch.memory_cures import check_memory
from verl_coder.launch.plan import Plan
from verl_coder.launch.preflight.composite import check_composite
from verl_coder.launch.preflight.curriculum import check_curriculum
from verl_coder.launch.preflight.data import check_data
from verl_coder.launch.preflight.grpo import check_grpo, check_lora
from verl_coder.launch.preflight.machine import (
    check_device,
    check_gpus,
    check_python,
    check_shared_memory,
    check_temporary_folder,
)
from verl_coder.launch.preflight.model import check_model, check_window
from verl_coder.launch.preflight.places import check_disk, check_dump_folders, check_out, check_services
from verl_coder.launch.preflight.processor import check_numbers
from verl_coder.launch.preflight.settings import check_settings, notes_on_settings
from verl_coder.run.resume import check as check_resume


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What the checks came to know of a run that may start."""

    notes: tuple[str, ...]
    """Lines about the data, the settings and the machine."""
    memory: tuple[str, ...]
    """Lines of the memory plan; none where nothing is known of the model."""


def check_run(
    plan: Plan, *, data_is_there: bool = True, dry_run: bool = False, free_bytes: int | None = None
) -> Findings:
    """Raise the first ConfigError, DataError or CheckpointError of the run.

    A dry run needs no model: what needs its tokenizer is named as not checked. `free_bytes`: of the machine's memory,
    before the run's first process began; else what is free now.
    The epochs of `plan.config` are made to last for its steps (rows.fit_epochs).
    """
    config, settings, run_dir = plan.config, plan.settings, plan.run_dir
    check_python()
    check_temporary_folder()
    check_settings(config, settings, run_dir)
    if not dry_run:
        check_device(config)
    check_gpus(config)
    check_out(run_dir.path)
    check_dump_folders(config)
    missing = check_model(str(config.actor_rollout_ref.model.path), may_be_missing=dry_run)
    check_window(config)
    check_lora(config, model_is_there=not missing)
    run_dir.check_records()
    run_dir.check_shape(config)
    if run_dir.checkpoint_step() or run_dir.finished_steps():
        check_resume(run_dir.resume, config, settings.resume_may_change)
    notes = check_data(config, data_is_there=data_is_there, model_is_there=not missing)
    if missing:
        notes = (
            *notes,
            f"warning: {missing}: what its tokenizer tells is not checked (rows, lengths, traces)",
        )
    notes += notes_on_settings(config, settings, plan.overrides)
    notes += check_curriculum(config, settings.curriculum, run_dir, data_is_there=data_is_there)
    check_grpo(config, settings)
    notes += check_composite(config, settings, data_is_there=data_is_there, model_is_there=not missing)
    check_services(config, settings)
    check_disk(config, run_dir.path, keep_best=settings.keep_best)
    if slow := check_shared_memory(config):
        notes = (*notes, f"warning: {slow}")
    if slow := check_numbers(config):
        notes = (*notes, f"note: {slow}")
    memory = check_memory(config, refuse=settings.memory_check)
    if memory and free_bytes is not None:
        memory = replace(memory, free_bytes=free_bytes)
    if memory and not memory.elsewhere and memory.total() > memory.free_bytes:
        notes = (*notes, f"warning: memory: {memory.summary()}: end what else takes it")
    return Findings(notes=notes, memory=tuple(memory.lines()) if memory else ())
