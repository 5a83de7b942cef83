"""What a resume may change: a list. Everything else must be as it was, or the run that goes on is another run."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from pydantic import ValidationError

from verl_coder.errors import CheckpointError
from verl_coder.files import read_object, write_atomically
from verl_coder.run.settings import PLACE, Settings

MAY_CHANGE = (
    # How long, how often, what is told.
    "trainer.total_*",
    "trainer.save_freq",
    "trainer.test_freq",
    "trainer.val_before_train",
    "trainer.val_only",
    "trainer.max_*_ckpt_to_keep",
    "trainer.logger",
    "trainer.project_name",
    "trainer.experiment_name",
    "trainer.*_dir",
    "trainer.log_val_generations",
    "*.total_training_steps",
    "actor_rollout_ref.actor.checkpoint.*",
    "*profiler*",
    "actor_rollout_ref.rollout.trace.*",  # where rollouts are shown: it has the names of the run
    # Where and with how many processes and how much memory the same numbers are computed.
    "ray_kwargs.*",
    "transfer_queue.*",
    "trainer.n_gpus_per_node",
    "trainer.nnodes",
    "reward.num_workers",
    "data.dataloader_num_workers",
    "data.filter_overlong_prompts_workers",
    "data.val_batch_size",
    "*micro_batch_size*",
    "*use_dynamic_bsz",
    "*max_token_len_per_gpu",
    "*offload*",
    "*enable_gradient_checkpointing",
    "*use_torch_compile",
    "*use_fused_kernels",
    "*entropy_from_logits_with_chunking",
    "*entropy_checkpointing",
    "actor_rollout_ref.model.external_lib",
    "actor_rollout_ref.rollout.gpu_memory_utilization",
    "actor_rollout_ref.rollout.max_num_*",
    "actor_rollout_ref.rollout.enforce_eager",
    "actor_rollout_ref.rollout.free_cache_engine",
    "actor_rollout_ref.rollout.enable_chunked_prefill",
    "actor_rollout_ref.rollout.enable_prefix_caching",
    "actor_rollout_ref.rollout.enable_sleep_mode",
    "actor_rollout_ref.rollout.agent.num_workers",
    "actor_rollout_ref.rollout.checkpoint_engine.*",
    "actor_rollout_ref.rollout.engine_kwargs.*",
    "actor_rollout_ref.rollout.prometheus.*",  # verl derives the model's name there from its path
    # Files: their content is compared, not their place (see `contents`; of the model RunDir.check_shape).
    "data.train_files",
    "data.val_files",
    "data.tool_config_path",
    "reward.custom_reward_function.path",
    "actor_rollout_ref.model.path",
    "actor_rollout_ref.rollout.multi_turn.tool_config_path",
    "actor_rollout_ref.rollout.agent.agent_loop_config_path",
    "verl_coder.teacher.traces",
    "verl_coder.policy_loss.path",
    # Ours that change nothing that is learnt.
    "verl_coder.out",
    "verl_coder.run_name",
    "verl_coder.prepare",
    "verl_coder.plan_for",
    "verl_coder.rollout_tokens",
    "verl_coder.sandbox_*",
    "verl_coder.poll_interval_s",
    "verl_coder.max_*",
    "verl_coder.on_bad_score",
    "verl_coder.wandb*",
    "verl_coder.keep_best",
    "verl_coder.eval_*",
    "verl_coder.watchdog*",
    "verl_coder.memory*",
    "verl_coder.skip_rows_without_gradient",
    "verl_coder.resume_may_change",
)
"""Patterns of keys."""


def may_change(key: str, allowed: Iterable[str] = ()) -> bool:
    """Whether a resume may change a key; `allowed` are further patterns, each with all that is below it."""
    below = [f"{pattern}.*" for pattern in allowed]
    return any(fnmatchcase(key, pattern) for pattern in (*MAY_CHANGE, *allowed, *below))


_FILES = {
    "TRAIN": "data.train_files",
    "VAL": "data.val_files",
    "REWARD": "reward.custom_reward_function.path",
    "LOSS": "verl_coder.policy_loss.path",
    "TOOLS": "actor_rollout_ref.rollout.multi_turn.tool_config_path",
    "agent_loop_config_path": "actor_rollout_ref.rollout.agent.agent_loop_config_path",
    "verl_coder.teacher.traces": "verl_coder.teacher.traces",
}
"""Knob -> key of the files that decide what is learnt."""


def contents(config: DictConfig) -> dict[str, dict[str, str]]:
    """Knob -> {path, digest of the content}, for the files that decide what is learnt."""
    found = {}
    for knob, key in _FILES.items():
        value = OmegaConf.select(config, key)
        values = [] if value is None else [value] if isinstance(value, str) else list(value)
        paths = [Path(str(path)) for path in values]
        if paths and all(path.is_file() for path in paths):
            found[knob] = {"path": ",".join(map(str, paths)), "sha256": _digest(paths)}
    return found


def _digest(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def record(path: Path, config: DictConfig) -> None:
    """Write down how this start is set, for the next one."""
    write_atomically(
        path, json.dumps({"settings": _settings(config), "files": contents(config)}, indent=1) + "\n"
    )


def check(path: Path, config: DictConfig, allowed: Iterable[str] = ()) -> None:
    """CheckpointError, with both values, for the first thing that a resume may not change and that differs.

    `path` is what `record` wrote; nothing is checked without it. `allowed`: further keys or knobs
    (`verl_coder.resume_may_change`).
    """
    if not path.is_file():
        return
    cure = "remove it, and the settings of this start count"
    before = read_object(path, cure)
    if not all(isinstance(before.get(name), dict) for name in ("settings", "files")):
        raise CheckpointError(f"{path} is broken (it lacks settings or files): {cure}")
    for knob, file in before["files"].items():
        if not isinstance(file, dict) or not {"path", "sha256"} <= file.keys():
            raise CheckpointError(f"{path} is broken (files.{knob} is {str(file)[:80]}): {cure}")
    allowed = tuple(allowed)
    now = contents(config)
    for knob, key in _FILES.items():
        old, new = before["files"].get(knob), now.get(knob)
        was_set = bool(old or before["settings"].get(key))
        is_set = bool(OmegaConf.select(config, key))
        # A file that is named and not there is said by those who read it; a record of before may not know the knob.
        same = old is None or new is None or new["sha256"] == old["sha256"]
        if knob not in allowed and (was_set != is_set or not same):
            raise CheckpointError(_sentence(path, knob, _file_shown(old, was_set), _file_shown(new, is_set)))
    old_settings, settings = _understood(before["settings"]), _settings(config)
    for key in sorted(old_settings.keys() | settings.keys()):
        before_value, value = old_settings.get(key), settings.get(key)
        if before_value != value and not may_change(key, allowed):
            raise CheckpointError(_sentence(path, key, _shown(before_value), _shown(value)))


def _sentence(path: Path, key: str, was: str, given: str) -> str:
    return (
        f"{path.parent} was trained with {key}={was}, this start gives {given}, and a resume may not change that: "
        f"take it back, name another folder with OUT=, or allow it with verl_coder.resume_may_change=[{key}]"
    )


def _file_shown(file: Mapping[str, str] | None, is_set: bool) -> str:
    if file is None:
        return "a file" if is_set else "null"
    return f"{file['path']} ({file['sha256'][:8]})"


def _shown(value: Any) -> str:
    return "null" if value is None else str(value)


def _settings(config: DictConfig) -> dict[str, Any]:
    """How a start is set, by dotted key: verl's part without nulls, our section as it was understood."""
    return _understood(_flat(config))


def _understood(settings: Mapping[str, Any]) -> dict[str, Any]:
    """`settings`, with the defaults and the nulls of our section: what a record of before does not say.

    What is no setting any more, or has a value that is none any more, stays as it stands.
    """
    section: dict[str, Any] = {}
    for key, value in settings.items():
        first, *path = key.split(".")
        if first == PLACE:
            place = section
            for name in path[:-1]:
                place = place.setdefault(name, {})
            place[path[-1]] = value
    foreign: dict[str, Any] = {}
    parsed = None
    while parsed is None:
        try:
            parsed = Settings.model_validate(section).model_dump(mode="json")
        except ValidationError as error:
            taken = [_take_out(section, detail["loc"]) for detail in error.errors()]
            if not any(taken):
                return dict(settings)
            foreign |= {f"{PLACE}.{key}": value for each in taken for key, value in each.items()}
    verls = {key: value for key, value in settings.items() if not key.startswith(f"{PLACE}.")}
    return verls | _dotted(parsed, f"{PLACE}.", nulls=True) | foreign


def _take_out(section: dict[str, Any], place: Sequence[str | int]) -> dict[str, Any]:
    """{dotted key: value} of what stands at `place` of a section, or nearest above it, which loses it."""
    path: list[str] = []
    holder, value = section, section
    for key in place:
        if not isinstance(value, dict) or key not in value:
            break
        holder, value = value, value[key]
        path.append(str(key))
    if not path:
        return {}
    del holder[path[-1]]
    return {".".join(path): value}


def _flat(config: DictConfig) -> dict[str, Any]:
    """Dotted key -> value; lists whole, nulls left out."""
    return _dotted(json.loads(json.dumps(OmegaConf.to_container(config, resolve=True), default=str)), "")


def _dotted(node: Mapping[Any, Any], prefix: str, *, nulls: bool = False) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in node.items():
        if isinstance(value, Mapping):
            flat |= _dotted(value, f"{prefix}{key}.", nulls=nulls)
        elif nulls or value is not None:
            flat[f"{prefix}{key}"] = value
    return flat
