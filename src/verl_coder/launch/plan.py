"""From what the user typed to a resolved configuration: the knobs, their defaults, and what `--dry-run` prints."""

import os
import shlex
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException
from rich.console import Console

from verl_coder.data.prepare import SPLITS
from verl_coder.errors import ConfigError, DataError
from verl_coder.files import is_there
from verl_coder.launch.model_shape import shape_of
from verl_coder.launch.preflight.files import check_files
from verl_coder.launch.preflight.model import local_folder, tensor_sizes
from verl_coder.launch.recipe import check_keys, file_list, find_recipe, read_recipe
from verl_coder.paths import own_folder, resolve_content_path, work_root
from verl_coder.run.run_dir import RunDir
from verl_coder.run.settings import Settings, parse_settings
from verl_coder.run.sync_state import check_wandb_key, choose_mode, has_wandb_key
from verl_coder.words import counted


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """The knobs of `verl-coder train`; None keeps what the recipe says."""

    recipe: str
    model: str | None = None
    train: str | None = None
    val: str | None = None
    reward: str | None = None
    loss: str | None = None
    tools: str | None = None
    out: str | None = None
    seed: int | None = None
    new_wandb_run: bool = False
    overrides: tuple[str, ...] = field(default=())


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A run that is ready to be checked and started."""

    config: DictConfig
    settings: Settings
    run_dir: RunDir
    recipe_folder: Path
    wandb_mode: str = "offline"
    new_wandb_run: bool = False
    named: frozenset[Path] = frozenset()
    """Data files that were given, by TRAIN=, VAL= or an override, in the place of the recipe's."""
    overrides: tuple[str, ...] = ()
    """What the user set of the recipe's settings."""


def make_plan(request: TrainRequest, *, files_first: bool = False) -> Plan:
    """Compose the recipe, put the knobs in, make content paths absolute. Raises ConfigError.

    `files_first`: before verl is imported, which takes seconds, the files of the run are looked at; DataError, too.
    """
    _check_texts(request)
    folder = find_recipe(request.recipe)
    config = read_recipe(folder, request.overrides)
    with _nothing_taken_away(folder), open_dict(config):
        _put_paths(config, request)
        named = _named_files(config, request)
        if files_first:
            check_files(config, _to_come(config.verl_coder.get("prepare"), _data_files(config), named))
    check_keys(config, folder, request.overrides)
    _check_filled_in(config)
    seed = _checked_seed(request, config)
    out = Path(request.out) if request.out else work_root() / "outputs" / f"{folder.name}-seed{seed}"
    with open_dict(config):
        ours = config.verl_coder
        ours.recipe, ours.seed = folder.name, seed
        ours.out, ours.run_name = str(out.expanduser().resolve()), out.name
        for place in _SEEDS:
            OmegaConf.update(config, place, seed + 1)
        _reserve_cpus(config)
        _fit_bucket(config)
    try:
        OmegaConf.resolve(config)
    except OmegaConfBaseException as error:
        raise ConfigError(f"recipe {folder.name}: {str(error).splitlines()[0]}") from error
    settings = parse_settings(config.verl_coder)
    return Plan(
        config=config,
        settings=settings,
        run_dir=RunDir(Path(settings.out)),
        recipe_folder=folder,
        wandb_mode=_wandb_mode(settings),
        new_wandb_run=request.new_wandb_run,
        named=named,
        overrides=request.overrides,
    )


@contextmanager
def _nothing_taken_away(folder: Path) -> Iterator[None]:
    """ConfigError for a setting that an override of the form ~key has taken away, and that a run needs."""
    try:
        yield
    except (ConfigKeyError, ConfigAttributeError) as error:
        raise ConfigError(
            f"recipe {folder.name}: no setting {error.full_key}, which a run needs: leave ~{error.full_key} out"
        ) from error


def _wandb_mode(settings: Settings) -> str:
    """online, offline or disabled; ConfigError where W&B has no key for what was asked."""
    environment = dict(os.environ)
    has_key = has_wandb_key(environment)
    mode = choose_mode(settings.wandb, environment, has_key=has_key)
    if mode == "online" and not has_key:
        place = "verl_coder.wandb" if settings.wandb != "auto" else "WANDB_MODE"
        raise ConfigError(
            f"{place}=online, and W&B has no key of yours: set WANDB_API_KEY, run `wandb login`, or use offline"
        )
    if mode == "online":
        check_wandb_key(environment)
    return mode


def _check_texts(request: TrainRequest) -> None:
    """Paths that YAML would read as something else, or no terminal could show, and a run without a folder."""
    for knob in ("model", "train", "val", "reward", "loss", "tools", "out"):
        value = getattr(request, knob) or ""
        if not value.isprintable():
            raise ConfigError(f"{knob.upper()}={value!r}: a path without line breaks and control characters")
        if "${" in value:
            raise ConfigError(
                f"{knob.upper()}={value}: a path without ${{, which YAML takes for another setting"
            )
        try:
            for path in _files(value) if knob in ("train", "val") else [value]:
                Path(path).expanduser().resolve().exists()
        except (OSError, RuntimeError) as error:
            raise ConfigError(
                f"{knob.upper()}={value:.80}: no path ({getattr(error, 'strerror', error)})"
            ) from error
    if request.out:
        own_folder(request.out, "OUT")


_FILLED_IN = {
    "out": "OUT=",
    "run_name": "OUT=, whose last part is the name, or trainer.experiment_name, which W&B shows",
    "recipe": "RECIPE=",
}
"""Settings that the launcher sets, whatever stands there."""


def _check_filled_in(config: DictConfig) -> None:
    given = OmegaConf.to_container(config.verl_coder, resolve=False)
    assert isinstance(given, dict)
    for name, knob in _FILLED_IN.items():
        if (value := given.get(name)) is not None:
            raise ConfigError(f"verl_coder.{name}={value}: the launcher fills it in; use {knob}")


_SEEDS = ("data.seed", "actor_rollout_ref.actor.data_loader_seed", "actor_rollout_ref.rollout.seed")
"""verl takes three seeds: the order of the data, the mini-batches, the sampler of vLLM."""


def _checked_seed(request: TrainRequest, config: DictConfig) -> int:
    """SEED, else the recipe's; ConfigError where it is none, or where an override sets another one."""
    for override in request.overrides:
        place = override.partition("=")[0].lstrip("+")
        if place in _SEEDS:
            raise ConfigError(f"{override}: SEED= (verl_coder.seed) sets all seeds of a run")
        if place == "verl_coder.seed" and request.seed not in (None, config.verl_coder.seed):
            raise ConfigError(f"{override}, and SEED={request.seed}: two seeds; give one of them")
    place = "verl_coder.seed" if request.seed is None else "SEED"
    seed = config.verl_coder.seed if request.seed is None else request.seed
    return check_seed(seed, f"{place}={seed}")


def check_seed(seed: object, given: str) -> int:
    """The seed; ConfigError that begins with `given` where it is none of a run."""
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < MOST_SEED:
        raise ConfigError(f"{given}: use a whole number in [0, {MOST_SEED})")
    return seed


MOST_SEED = 2**32 - 1
"""NumPy takes 32 bits, and verl's seeds are one more."""
LOGICAL_CPUS = 64
"""Ray's count for one machine: the small actors of verl, its agent loops and its stores reserve one each."""


def _reserve_cpus(config: DictConfig) -> None:
    """Let a Ray of the run's own count enough CPUs: with those of a small machine it waits for more, for ever."""
    ray = config.ray_kwargs.ray_init
    if ray.get("num_cpus") is None and not os.environ.get("RAY_ADDRESS") and not ray.get("address"):
        ray.num_cpus = max(LOGICAL_CPUS, os.cpu_count() or 1)


def _fit_bucket(config: DictConfig) -> None:
    """Let the bucket of a weight sync hold the model's largest tensor: verl splits none, and fails late.

    A model of which nothing is known here is left alone.
    """
    engine = config.actor_rollout_ref.rollout.checkpoint_engine
    try:
        model = str(config.actor_rollout_ref.model.path)
        folder = local_folder(model)
        sizes = tensor_sizes(folder).values() if folder else ()
        shape = None if sizes else shape_of(model)
        weight = 4 * max(sizes, default=shape.largest if shape else 0)  # bytes, in float32
        engine.update_weights_bucket_megabytes = max(
            int(engine.update_weights_bucket_megabytes), -(-weight // 2**20) + 1
        )
    except (ConfigError, OSError, ValueError, TypeError):
        return  # what is wrong with a model folder, or with the setting, is said by the checks before the start


def _files(value: str) -> list[str]:
    """Paths with commas between; a file whose own path has commas is one."""
    return [value] if is_there(resolve_content_path(value)) else value.split(",")


def _put_paths(config: DictConfig, request: TrainRequest) -> None:
    rollout, reward = config.actor_rollout_ref.rollout, config.reward.custom_reward_function
    model = request.model or config.actor_rollout_ref.model.path
    if not model:
        raise ConfigError("MODEL is empty, and the recipe names none in actor_rollout_ref.model.path")
    local = resolve_content_path(str(model))
    config.actor_rollout_ref.model.path = str(local) if local.exists() else str(model)
    for key, value in (("train_files", request.train), ("val_files", request.val)):
        chosen = _files(value) if value else [str(path) for path in file_list(config.data[key])]
        config.data[key] = [str(resolve_content_path(path)) for path in chosen]
    if request.reward or reward.path:
        reward.path = str(resolve_content_path(str(request.reward or reward.path)))
    if loss := request.loss or OmegaConf.select(config, "verl_coder.policy_loss.path"):
        OmegaConf.update(
            config, "verl_coder.policy_loss.path", str(resolve_content_path(str(loss))), force_add=True
        )
    tools = request.tools or rollout.multi_turn.tool_config_path
    if tools:
        rollout.multi_turn.tool_config_path = str(resolve_content_path(str(tools)))
    if rollout.agent.agent_loop_config_path:
        rollout.agent.agent_loop_config_path = str(
            resolve_content_path(str(rollout.agent.agent_loop_config_path))
        )
    teacher = config.verl_coder.get("teacher")
    if teacher and teacher.get("traces"):
        teacher.traces = str(resolve_content_path(str(teacher.traces)))


def preparation(plan: Plan) -> str | None:
    """The recipe's command that makes its data, if of the data files and the teacher's traces those are missing that
    it makes: what lies elsewhere was named by the user, and a check says that it is not there.
    """
    missing, command = missing_data(plan), plan.settings.prepare
    makes_all = len(_to_come(command, missing, plan.named)) == len(missing)
    return command if missing and makes_all else None


def missing_data(plan: Plan) -> list[Path]:
    """Of the data files and the teacher's traces those that are not there."""
    files = _data_files(plan.config)
    files += file_list(plan.settings.teacher.traces if plan.settings.uses_teacher else None)
    return [path for path in files if not path.is_file()]


def _data_files(config: DictConfig) -> list[Path]:
    return [path for name in ("train_files", "val_files") for path in file_list(config.data[name])]


def _named_files(config: DictConfig, request: TrainRequest) -> frozenset[Path]:
    """Those that the user gave."""
    set_by = {override.partition("=")[0].lstrip("+") for override in request.overrides}
    given = {"train_files": request.train, "val_files": request.val}
    names = [name for name, value in given.items() if value or f"data.{name}" in set_by]
    return frozenset(path for name in names for path in file_list(config.data[name]))


def _to_come(command: str | None, files: Sequence[Path], named: Collection[Path]) -> list[Path]:
    """Those of `files` that the recipe's command makes: of the `named` ones only what is called like a split."""
    words = _words(command or "")
    if not words:
        return []
    made_in = work_root() / words[words.index("--out") + 1] if "--out" in words[:-1] else Path("/")
    return [
        path
        for path in files
        if path.absolute().is_relative_to(made_in)
        and (path not in named or path.stem.partition("-")[0] in SPLITS)
    ]


def _words(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError as error:
        raise ConfigError(f"verl_coder.prepare={command}: no command of a shell ({error})") from error


def prepare_data(command: str) -> None:
    """Run a recipe's `prepare` command where data/ is; DataError with its last line if it fails."""
    arguments = _words(command)
    if arguments[0] in ("python", "python3"):
        arguments[:2] = [sys.executable, *(str(resolve_content_path(script)) for script in arguments[1:2])]
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"}
    result = subprocess.run(
        arguments, cwd=work_root(), env=environment, capture_output=True, text=True, check=False
    )
    if result.returncode:
        reason = (result.stderr.strip() or result.stdout.strip()).splitlines()[-1:]
        raise DataError(f"`{command}` failed: {' '.join(reason)} (run it by hand, or give TRAIN= and VAL=)")


def is_finished(plan: Plan) -> bool:
    """Whether the run has all its steps: the same command trains no more."""
    total = plan.config.trainer.total_training_steps
    return total is not None and plan.run_dir.finished_steps() >= total


def print_plan(plan: Plan, console: Console, findings: Mapping[str, Sequence[str]]) -> None:
    """What the run would do, and with what; then what the checks came to know: lines under a name each."""
    config = plan.config
    rollout, actor = config.actor_rollout_ref.rollout, config.actor_rollout_ref.actor
    step = plan.run_dir.checkpoint_step()
    begins = f"after step {step}, its last checkpoint" if step else "anew"
    rows = {
        "recipe": plan.settings.recipe,
        "model": config.actor_rollout_ref.model.path,
        "train": ", ".join(config.data.train_files),
        "held out": ", ".join(config.data.val_files),
        "data made by": preparation(plan) or "(there already)",
        "reward": config.reward.custom_reward_function.path,
        **({"policy loss": loss} if (loss := plan.settings.policy_loss.path) else {}),
        "tools": rollout.multi_turn.tool_config_path,
        "device": f"{config.trainer.nnodes} x {config.trainer.n_gpus_per_node} {config.trainer.device}",
        "batch": f"{counted(config.data.train_batch_size, 'prompt')} x {counted(rollout.n, 'sample')}, "
        f"mini-batch {actor.ppo_mini_batch_size}",
        "lengths": f"prompt {config.data.max_prompt_length}, response {config.data.max_response_length} tokens, "
        f"{counted(rollout.multi_turn.max_assistant_turns, 'turn')}",
        "optimiser": f"lr {actor.optim.lr:g}, KL loss {actor.kl_loss_coef if actor.use_kl_loss else 0:g}, "
        f"entropy {actor.entropy_coeff:g}",
        "sources": plan.settings.describe_sources(),
        "steps": config.trainer.total_training_steps or f"{counted(config.trainer.total_epochs, 'epoch')}",
        "output": plan.settings.out,
        "begins": "not: it has all its steps (another run: another OUT=)" if is_finished(plan) else begins,
    }
    for name, value in rows.items():
        console.print(f"{name:>18}  {value}", highlight=False, soft_wrap=True)
    for name, lines in findings.items():
        for number, line in enumerate(lines):
            console.print(f"{'' if number else name:>18}  {line}", highlight=False, soft_wrap=True)
