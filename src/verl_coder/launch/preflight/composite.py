"""What can be wrong with the update's losses, found before Ray starts, each in one line."""

from pathlib import Path

from omegaconf import DictConfig

from verl_coder.errors import ConfigError
from verl_coder.launch.preflight.policy_loss import check_policy_loss
from verl_coder.launch.preflight.traces import check_problems, check_traces
from verl_coder.run.settings import CompositeSettings
from verl_coder.traces import read_traces
from verl_coder.words import counted


def check_composite(
    config: DictConfig,
    settings: CompositeSettings,
    *,
    data_is_there: bool = True,
    model_is_there: bool = True,
) -> tuple[str, ...]:
    """Raise the first ConfigError or DataError of the policy loss and of the three-source update, where in use.

    Returns lines about the traces for the user.
    """
    check_policy_loss(config, settings)
    if not settings.is_composite:
        return ()
    if (config.get("distillation") or {}).get("enabled", False):
        raise ConfigError(
            "distillation.enabled with verl_coder.losses: both replace the actor's loss; use one"
        )
    if settings.uses_teacher:
        _check_rows(config, settings.teacher.rows)
        assert settings.teacher.traces is not None
        path = Path(settings.teacher.traces)
        if data_is_there or path.is_file():
            traces = read_traces(path)
            notes = check_problems(config, path, traces) if data_is_there else ()
            if model_is_there:
                check_traces(config, path, traces)
            return notes
    return ()


def _check_rows(config: DictConfig, rows: int) -> None:
    """Without dynamic batch sizes, the added rows of each worker must fill its micro-batches."""
    actor = config.actor_rollout_ref.actor
    workers = config.trainer.n_gpus_per_node * config.trainer.nnodes
    unit = workers * (1 if actor.use_dynamic_bsz else actor.ppo_micro_batch_size_per_gpu or 1)
    if rows % unit:
        raise ConfigError(
            f"verl_coder.teacher.rows is {rows}: on {counted(workers, 'worker')} it must be a multiple of {unit} "
            "(workers times actor.ppo_micro_batch_size_per_gpu, or set actor.use_dynamic_bsz)"
        )
