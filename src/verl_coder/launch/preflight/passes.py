"""What a worker takes through its model at once: so many rows or, with dynamic batch sizes, so many tokens."""

from collections.abc import Iterator
from typing import NamedTuple

from omegaconf import DictConfig, OmegaConf

from verl_coder.errors import ConfigError
from verl_coder.launch.preflight.values import shown
from verl_coder.words import counted

_PLACE = "actor_rollout_ref"
_SEQUENCE_PARALLEL = (
    f"{_PLACE}.actor.ulysses_sequence_parallel_size",
    f"{_PLACE}.actor.fsdp_config.ulysses_sequence_parallel_size",
)
"""verl takes the first where it is above 1."""


class _Pass(NamedTuple):
    """The settings of one kind of pass, and the rows of a batch that go through it."""

    section: str
    prefix: str
    rows: int

    @property
    def dynamic(self) -> str:
        """Whether tokens count, not rows."""
        return f"{_PLACE}.{self.section}.{'' if self.prefix == 'ppo_' else self.prefix}use_dynamic_bsz"

    @property
    def size(self) -> str:
        """Rows of a pass."""
        return f"{_PLACE}.{self.section}.{self.prefix}micro_batch_size_per_gpu"

    @property
    def tokens(self) -> str:
        """Tokens of a pass."""
        return f"{_PLACE}.{self.section}.{self.prefix}max_token_len_per_gpu"


def _passes(config: DictConfig) -> Iterator[_Pass]:
    """verl builds the first two always, and the reference where a KL term asks for it."""
    actor, rollout = config.actor_rollout_ref.actor, config.actor_rollout_ref.rollout
    yield _Pass("actor", "ppo_", actor.ppo_mini_batch_size * rollout.n)
    yield _Pass("rollout", "log_prob_", config.data.train_batch_size * rollout.n)
    if actor.use_kl_loss or config.algorithm.use_kl_in_reward:
        yield _Pass("ref", "log_prob_", config.data.train_batch_size * rollout.n)


def sequence_parallel(config: DictConfig) -> int:
    """Workers that share the tokens of a row."""
    return max(int(OmegaConf.select(config, name, default=1)) for name in _SEQUENCE_PARALLEL)


def check_passes(config: DictConfig) -> None:
    """ConfigError where rows cannot be dealt out in passes, or where a pass is too small for the longest row."""
    workers = config.trainer.n_gpus_per_node * config.trainer.nnodes
    of_actor, of_rollout = (OmegaConf.select(config, found.dynamic) for found in list(_passes(config))[:2])
    if bool(of_actor) != bool(of_rollout):
        raise ConfigError(
            f"{_PLACE}.rollout.log_prob_use_dynamic_bsz={of_rollout}, and {_PLACE}.actor.use_dynamic_bsz={of_actor}: "
            "verl takes both or none; leave the first out"
        )
    for found in _passes(config):
        if OmegaConf.select(config, found.dynamic):
            _check_tokens(config, found.tokens)
            continue
        size = OmegaConf.select(config, found.size)
        if not size:
            raise ConfigError(
                f"{found.size}={shown(size)}: give the rows of a pass, or set {_PLACE}.actor.use_dynamic_bsz=true"
            )
        if found.rows % (size * workers):
            raise ConfigError(
                f"{found.size}={size}: the {found.rows} samples of a batch on {counted(workers, 'worker')} are no "
                "multiple of it"
            )


def _check_tokens(config: DictConfig, place: str) -> None:
    """No row is split over two passes: verl stops at the first one that is longer than a pass."""
    tokens, shared = OmegaConf.select(config, place), sequence_parallel(config)
    longest = config.data.max_prompt_length + config.data.max_response_length
    if not isinstance(tokens, int) or tokens * shared < longest:
        times = f" times {shared} workers that share a row" if shared > 1 else ""
        raise ConfigError(
            f"{place}={shown(tokens)}{times} is below data.max_prompt_length + data.max_response_length = {longest}: "
            f"use {-(-longest // shared)} or more"
        )
