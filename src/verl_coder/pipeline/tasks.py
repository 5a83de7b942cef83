"""A task: one command of a stage, what it depends on, and what it makes; and the folders of a pipeline."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from verl_coder.data.writer import shards_of
from verl_coder.files import is_there
from verl_coder.launch.plan import TrainRequest
from verl_coder.paths import resolve_content_path
from verl_coder.pipeline.config import PipelineConfig
from verl_coder.pipeline.recipe_settings import recipe_settings

MACHINE_OPTIONS = {"sandbox_url", "ray_address", "concurrency", "in_flight", "tensor_parallel", "base_url"}
"""Options that say where and how fast the same thing is done."""


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
        self.out = Path(config.out).expanduser().resolve()
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
        self.comparison = self.evaluate / "comparison.json"
        self.report = self.out / "report"
        self.superseded = self.out / "superseded"
        self.lock = self.out / ".lock"

    def split(self, name: str) -> list[Path]:
        """Files of the train, validation or test rows that the later stages use; shards where they are there."""
        data = self.config.data
        if data.train:
            return [resolve_content_path(path) for path in getattr(data, name)]
        folders = [self.data / dataset for dataset in data.datasets]
        if len(folders) > 1 and name != "test":
            folders = [self.data / "mixed"]
        files = [file for folder in folders for file in shards_of(folder / f"{name}.parquet")]
        return files or [folder / f"{name}.parquet" for folder in folders]

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
            found.append(f"verl_coder.teacher.traces={self.traces}")
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


def settings_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Options that change results, paths left to `path_inputs`."""
    paths = path_inputs(values)
    return {
        name: value for name, value in values.items() if name not in MACHINE_OPTIONS and name not in paths
    }


def path_inputs(values: Mapping[str, Any]) -> dict[str, Path]:
    """Options whose value is a file or folder that exists."""
    found = {}
    for name, value in values.items():
        for number, one in enumerate(value if isinstance(value, tuple) else [value]):
            if isinstance(one, str) and ("/" in one or "." in one) and is_there(Path(one).expanduser()):
                found[name if not isinstance(value, tuple) else f"{name} {number + 1}"] = Path(
                    one
                ).expanduser()
    return found
