"""A task: one command of a stage, what it depends on, and what it makes; and the folders of a pipeline."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from verl_coder.data.mix_inputs import HELD_OUT
from verl_coder.data.prepare import SPLITS
from verl_coder.data.writer import shards_of
from verl_coder.errors import ConfigError
from verl_coder.files import is_there
from verl_coder.launch.plan import TrainRequest
from verl_coder.launch.recipe import quoted
from verl_coder.paths import own_folder, resolve_content_path
from verl_coder.pipeline.config import PipelineConfig
from verl_coder.pipeline.options import Command, command_options
from verl_coder.pipeline.recipe_settings import recipe_settings
from verl_coder.words import counted

MACHINE_OPTIONS = {"sandbox_url", "ray_address", "concurrency", "in_flight", "tensor_parallel", "base_url"}
"""Options that say where and how fast the same thing is done."""
_SOURCE = "source"
"""Option of a dataset, a text: a file or folder where there is one of that name, else a hub name."""


@dataclass(frozen=True, kw_only=True)
class PipelineTask:
    """One command of `verl-coder`, run where anything that it depends on has changed."""

    stage: str
    name: str
    """`sft`, `evaluate/base`: its record and its line."""
    command: tuple[str, ...]
    """Behind `verl-coder`."""
    products: tuple[str, ...]
    """Files, folders and patterns below OUT; without all of them the task is not done."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Dotted key -> value, of what changes its results."""
    inputs: dict[str, Path] = field(default_factory=dict)
    """Name -> file or folder, which count by their content."""
    may_be_absent: tuple[str, ...] = ()
    """Names of inputs that the command makes itself where they are not there, as a recipe's `prepare` does."""
    folder: Path | None = None
    """Set aside before the task is done anew; None where its command goes on with what an older one left."""
    begins_again: bool = False
    """Whether its command wants an empty folder after a kill, too."""
    stop_request: Path | None = None
    """Of a command that saves on SIGTERM: the file that says that it has had one."""


class Workplace:
    """The folder of a pipeline: where each stage writes, and what all of them are given."""

    def __init__(self, config: PipelineConfig) -> None:
        self.config = config
        self.out = own_folder(config.out, "out")
        self.records = self.out / "stages"
        self.logs = self.out / "logs"
        self.data = self.out / "data"
        there = config.teacher.file if config.teacher else None
        self.traces = resolve_content_path(there) if there else self.out / "teacher" / "traces.parquet"
        """What SFT and training learn from: the YAML's own file, else what the teacher makes."""
        self.sft = self.out / "sft"
        self.train = self.out / "train"
        self.trained_model = self.out / "model"
        self.evaluate = self.out / "evaluate"
        self.report = self.out / "report"
        self.superseded = self.out / "superseded"
        self.lock = self.out / ".lock"

    def split(self, name: str) -> list[Path]:
        """Files of the train, validation or test rows that the later stages use; shards where they are there."""
        data = self.config.data
        if data.train:
            return [resolve_content_path(path) for path in getattr(data, name)]
        folders = [self.dataset_folder(dataset) for dataset in data.datasets]
        if len(folders) > 1 and name != "test":
            folders = [self.data / "mixed"]
        files = [file for folder in folders for file in shards_of(folder / f"{name}.parquet")]
        return files or [folder / f"{name}.parquet" for folder in folders]

    @property
    def train_file(self) -> Path:
        """The training rows for a command that takes one file: of shards, the name without their numbers."""
        data = self.config.data
        if len(data.train) > 1:
            raise ConfigError(
                f"data.train names {counted(len(data.train), 'file')}, and teacher.repairs reads one: mix them, or "
                "name one"
            )
        return self.split("train")[0] if data.train else self.split("train")[0].with_name("train.parquet")

    def dataset_folder(self, name: str) -> Path:
        """Of a dataset, which the YAML names by its file of data_prep/, or by a path to such a file."""
        return self.data / Path(name).stem

    def check_splits(self) -> None:
        """ConfigError where the datasets, which are prepared, have no row for a stage that comes later."""
        config = self.config
        if config.data.train:
            return  # files that the YAML names, and that were there when it was read
        there = [split for split in SPLITS if any(path.is_file() for path in self.split(split))]
        if not there:
            return  # taken away: the data stage makes them again
        wanted = [("train", "train"), ("train", "validation")] if config.train is not None else []
        if config.teacher and (config.teacher.generate is not None or config.teacher.repairs is not None):
            wanted.insert(0, ("teacher", "train"))
        if config.evaluate is not None:
            wanted.append((f"evaluate.split={config.evaluate['split']}", config.evaluate["split"]))
        for stage, split in wanted:
            if split not in there:
                raise ConfigError(
                    f"{stage}: of the datasets {', '.join(config.data.datasets)} there are rows for "
                    f"{' and '.join(there)}, none for {split}: choose another split, or another dataset or limit"
                )

    @property
    def rows_to_mix(self) -> dict[str, Path]:
        """The rows of all datasets, and held-out ones to compare them with: no card, which holds times.

        Of a dataset that is not prepared yet, the file that a mix cannot do without.
        """
        found: dict[str, Path] = {}
        for folder in map(self.dataset_folder, self.config.data.datasets):
            own = {split: shards_of(folder / f"{split}.parquet") for split in SPLITS}
            if not any(own.values()):
                own = {"train": [folder / "train.parquet"]}
            for split, files in own.items():
                found |= numbered(f"{folder.name} {split}", files)
        for name in HELD_OUT:
            found |= numbered(f"{name} test", shards_of(self.data / name / "test.parquet"))
        return found

    @property
    def base_model(self) -> str:
        """Absolute where it is a folder, else its hub name."""
        return self.model_path(self.config.model)

    @property
    def start_model(self) -> str:
        """What reinforcement learning begins with: the model of SFT where there is one."""
        return str(self.sft / "model") if self.config.sft is not None else self.base_model

    @staticmethod
    def model_path(name: str) -> str:
        """Absolute where it is a folder."""
        path = resolve_content_path(name)
        return str(path) if is_there(path) else name

    @cached_property
    def recipe(self) -> dict[str, Any]:
        """The composed recipe, key by key; empty without one. ConfigError where it does not compose."""
        config = self.config
        if config.recipe is None:
            return {}
        options = config.train or {}
        request = TrainRequest(
            recipe=config.recipe,
            model=self.base_model,
            train=str(self.data / "train.parquet"),
            val=str(self.data / "validation.parquet"),
            reward=options.get("reward"),
            loss=options.get("loss"),
            tools=None if config.tools == "none" else config.tools,
            out=str(self.train),
            seed=config.seed,
            overrides=self.train_overrides,
        )
        return recipe_settings(request, self.records / "recipe.json")

    @property
    def train_overrides(self) -> tuple[str, ...]:
        """Of the section, and those that follow from what is stated for all stages."""
        config, options = self.config, self.config.train or {}
        stated = {
            "data.max_prompt_length": config.max_prompt_length,
            "data.max_response_length": config.max_response_length,
            "actor_rollout_ref.rollout.multi_turn.max_assistant_turns": config.max_turns,
        }
        found = [f"{key}={value}" for key, value in stated.items() if value is not None]
        if config.tools == "none":
            found.append("actor_rollout_ref.rollout.multi_turn.tool_config_path=null")
        if options.get("teacher_traces"):
            found.append(f"verl_coder.teacher.traces={quoted(str(self.traces))}")
        return (*found, *options.get("overrides", ()))

    @property
    def tools(self) -> str | None:
        """YAML of the tools for SFT and evaluation, `none`, or None where nothing says anything."""
        given = self.config.tools or self.recipe.get("actor_rollout_ref.rollout.multi_turn.tool_config_path")
        return given if given in (None, "none") else str(resolve_content_path(str(given)))

    @property
    def chat_template(self) -> dict[str, str]:
        """The recipe's `data.apply_chat_template_kwargs` as the option of SFT and evaluation; empty without any."""
        prefix = "data.apply_chat_template_kwargs."
        found = {key.removeprefix(prefix): v for key, v in self.recipe.items() if key.startswith(prefix)}
        return {"chat_template_kwargs": json.dumps(found, sort_keys=True)} if found else {}

    @property
    def lengths(self) -> dict[str, int | None]:
        """max_prompt_length, max_response_length, max_turns: of the YAML, else of the recipe."""
        config, recipe = self.config, self.recipe
        turns = recipe.get("actor_rollout_ref.rollout.multi_turn.max_assistant_turns")
        return {
            "max_prompt_length": config.max_prompt_length or recipe.get("data.max_prompt_length"),
            "max_response_length": config.max_response_length or recipe.get("data.max_response_length"),
            "max_turns": config.max_turns or turns,
        }


def numbered(name: str, paths: Sequence[Path]) -> dict[str, Path]:
    """`{train: path}`, or `{train 1: ..., train 2: ...}` of several."""
    if len(paths) == 1:
        return {name: paths[0]}
    return {f"{name} {number}": path for number, path in enumerate(paths, 1)}


def settings_of(values: Mapping[str, Any], command: Command | None = None) -> dict[str, Any]:
    """Options that change results, paths left to `path_inputs`."""
    paths = path_inputs(values, command)
    return {
        name: value for name, value in values.items() if name not in MACHINE_OPTIONS and name not in paths
    }


def path_inputs(values: Mapping[str, Any], command: Command | None = None) -> dict[str, Path]:
    """Options whose value is a file or folder that exists.

    A text that the `command` does not take for a path is one only where it has a / or a dot: a folder `easy` is no
    difficulty.
    """
    options = command_options(command) if command else {}
    paths = {name for name, option in options.items() if option.is_path or name == _SOURCE}
    found = {}
    for name, value in values.items():
        for number, one in enumerate(value if isinstance(value, tuple) else [value], 1):
            if not isinstance(one, str) or not (name in paths or "/" in one or "." in one):
                continue
            path = Path(one).expanduser()
            if one and is_there(path):
                found[f"{name} {number}" if isinstance(value, tuple) else name] = path
    return found
