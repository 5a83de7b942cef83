"""The one YAML of a pipeline: what its stages share, and a section for each, checked before anything runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from verl_coder.errors import ConfigError, DataError
from verl_coder.files import is_there
from verl_coder.launch.recipe import find_recipe
from verl_coder.paths import (
    check_loss_file,
    check_reward_file,
    check_tools_file,
    is_hub_name,
    own_folder,
    resolve_content_path,
)
from verl_coder.pipeline.checks import (
    check_dataset,
    check_evaluate,
    check_mix,
    check_section,
    check_sft,
    check_teacher,
)
from verl_coder.pipeline.commands import EVALUATE, MIX, SFT, TEACHERS, TRAIN, PartCommand, dataset_command
from verl_coder.pipeline.options import given_values, section_of
from verl_coder.sections import Count, PositiveCount, Section, Share, Text, read_section
from verl_coder.words import did_you_mean, nearest
from verl_coder.yaml_files import read_mapping

STAGES = ("data", "teacher", "sft", "train", "evaluate", "report")
Options = dict[str, Any]
_EMPTY = BeforeValidator(lambda value: {} if value is None else value)
"""A key without a value is a section without settings."""
_Texts = Annotated[tuple[Text, ...], Field(strict=False)]
_Models = Annotated[tuple[Literal["base", "sft", "trained"], ...], Field(strict=False, min_length=1)]


class PipelineData(Section):
    """Datasets that are prepared, or files that are there already."""

    datasets: dict[str, Annotated[Options, _EMPTY]] = Field(default_factory=dict)
    """Name of a file of data_prep/ -> options of `verl-coder data prepare <name>`."""
    shares: dict[str, Share] = Field(default_factory=dict)
    """With several datasets: the fraction of each that is mixed into one train and one validation file."""
    mix: Options = Field(default_factory=dict)
    """Further options of `verl-coder data mix`."""
    train: _Texts = ()
    """Parquet files to train on, in place of prepared ones."""
    validation: _Texts = ()
    """Parquet files held out, in place of prepared ones."""
    test: _Texts = ()
    """Parquet files for the evaluation where its `split` is test."""

    @property
    def shares_text(self) -> str:
        """As `data mix` takes them, by the names of the datasets' folders."""
        return ",".join(f"{Path(name).stem}={self.shares.get(name, 1.0):g}" for name in self.datasets)

    @model_validator(mode="after")
    def _one_source(self) -> "PipelineData":
        if bool(self.datasets) == bool(self.train):
            raise ValueError("name either datasets to prepare, or the files train and validation")
        if self.train and not self.validation:
            raise ValueError("train names files and validation none: name held-out files, too")
        if self.datasets and self.validation + self.test:
            raise ValueError("datasets are prepared with their own splits: leave validation and test out")
        if (self.mix or self.shares) and len(self.datasets) < 2:
            raise ValueError("shares and mix are for several datasets: name two or more, or leave them out")
        unknown = [name for name in self.shares if name not in self.datasets]
        if unknown:
            raise ValueError(
                f"shares names {unknown[0]}, which is not among datasets ({', '.join(self.datasets)})"
            )
        return self


class PipelineTeacher(Section):
    """Where the traces come from; one of the four."""

    generate: Options | None = None
    """A model behind an OpenAI-compatible server: options of `verl-coder teacher generate`."""
    repairs: Options | None = None
    """Own samples, their errors and the references: options of `verl-coder teacher repairs`."""
    tiny: Options | None = None
    """Made for the tiny problems: options of `verl-coder tiny traces`."""
    file: Text | None = None
    """A Parquet file of traces that is there already."""

    @model_validator(mode="after")
    def _one_of_four(self) -> "PipelineTeacher":
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"give exactly one of generate, repairs, tiny, file (given: {', '.join(given) or 'none'})"
            )
        return self


class PipelineSft(Section):
    """What the pipeline adds to the options of `verl-coder sft`."""

    overrides: _Texts = ()
    """Hydra overrides of verl's SFT trainer, key=value."""


class PipelineTrain(Section):
    """What the pipeline adds to the options of `verl-coder train`."""

    overrides: _Texts = ()
    """Hydra overrides, key=value: any setting of verl's or of the `verl_coder:` section."""
    teacher_traces: bool = False
    """Hand the teacher's traces to `verl_coder.teacher.traces`, for a recipe whose losses.beta is above 0."""
    export_dtype: Literal["bfloat16", "float16", "float32"] = "bfloat16"
    """Of OUT/model, the trained model as a Hugging Face folder."""


class PipelineEvaluate(Section):
    """What the pipeline adds to the options of `verl-coder evaluate`."""

    models: _Models = ("base", "sft", "trained")
    """Which models are evaluated; those that the pipeline does not make are left out."""
    split: Literal["validation", "test"] = "validation"
    """Which held-out rows they answer."""


class PipelineReport(Section):
    """One page of all; without settings."""


class PipelineConfig(Section):
    """A whole pipeline. A stage whose section is left out is not part of it."""

    out: Text = "outputs/pipeline"
    """Folder of all that is written; OUT= and --out come first."""
    model: Text
    """Folder or hub name of the base model."""
    recipe: Text | None = None
    """Folder under recipes/; its lengths and number of turns hold for SFT and the evaluation, too."""
    tools: Text | None = None
    """YAML of the tools for all stages; null takes the recipe's, `none` no tools."""
    protocol: Text | None = None
    """Protocol of the prepared rows, `--protocol` of their dataset; null takes the dataset's default."""
    seed: Count = 0
    """Of all stages."""
    max_prompt_length: PositiveCount | None = None
    """Tokens; null takes the recipe's `data.max_prompt_length`."""
    max_response_length: PositiveCount | None = None
    """Tokens of all turns and tool outputs; null takes the recipe's `data.max_response_length`."""
    max_turns: PositiveCount | None = None
    """Of the model; null takes the recipe's `max_assistant_turns`."""
    data: PipelineData
    teacher: PipelineTeacher | None = None
    sft: Options | None = None
    """Fine-tuning on the traces: below."""
    train: Options | None = None
    """Reinforcement learning: below."""
    evaluate: Options | None = None
    """How good the models are: below."""
    report: PipelineReport | None = None

    @model_validator(mode="after")
    def _stages_fit(self) -> "PipelineConfig":
        if self.train is not None and self.recipe is None:
            raise ValueError("train needs a recipe: name a folder of recipes/, such as recipe: tiny_cpu")
        if self.sft is not None and self.teacher is None:
            raise ValueError("sft learns from traces: add a teacher section, or leave sft out")
        return self

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages of this pipeline, in order."""
        return tuple(name for name in STAGES if getattr(self, name) is not None)


def read_config(path: Path, *, out: str | None = None) -> PipelineConfig:
    """The pipeline of a YAML file; ConfigError, in one line, for the first thing that is wrong with it."""
    values = read_mapping(
        path, "give a mapping with model, data, ... (see config/pipeline/)", place=f"--config {path}"
    )
    values |= {name: {} for name in STAGES if name in values and values[name] is None}
    if out:
        values["out"] = out
    try:
        config = read_section(PipelineConfig, values, str(path))
        own_folder(config.out, "OUT" if out else f"{path}.out")
        return config.model_copy(update=_checked_options(config, str(path)))
    except ConfigError as error:
        raise ConfigError(str(error).replace(f"{path}.", f"{path}: ", 1)) from None


def _checked_options(config: PipelineConfig, place: str) -> dict[str, Any]:
    """The sections that hold a command's options, read by that command's own options."""
    found: dict[str, Any] = {"data": _checked_data(config, place)}
    if config.teacher is not None:
        for name, part in TEACHERS.items():
            values = getattr(config.teacher, name)
            if values is not None:
                options = _command_options(part, values, f"{place}.teacher.{name}")
                check_section(f"{place}.teacher.{name}", check_teacher, name, options)
                found["teacher"] = config.teacher.model_copy(update={name: options})
    checks: dict[str, Callable[..., None]] = {"sft": check_sft, "evaluate": check_evaluate}
    for name, part, more in (
        ("sft", SFT, PipelineSft),
        ("train", TRAIN, PipelineTrain),
        ("evaluate", EVALUATE, PipelineEvaluate),
    ):
        values = getattr(config, name)
        if values is not None:
            found[name] = _command_options(part, values, f"{place}.{name}", more)
            if name in checks:
                check_section(f"{place}.{name}", checks[name], found[name])
    _check_files(config, place)
    return found


def _checked_data(config: PipelineConfig, place: str) -> PipelineData:
    datasets: dict[str, Options] = {}
    folders: dict[str, str] = {"mixed": "the mix of all"} if len(config.data.datasets) > 1 else {}
    for name, values in config.data.datasets.items():
        folder = Path(name).stem
        if folder in folders:
            raise ConfigError(
                f"{place}.data.datasets.{name}: data/{folder} would be its folder, which is that of "
                f"{folders[folder]}: name the file otherwise"
            )
        folders[folder] = name
        try:
            part = dataset_command(name)
        except DataError as error:
            raise ConfigError(f"{place}.data.datasets.{name}: {error}") from None
        if config.protocol and "protocol" not in part.own:
            raise ConfigError(
                f"{place}.protocol={config.protocol}: {name} makes rows of one protocol: leave it out"
            )
        datasets[name] = _command_options(part, values, f"{place}.data.datasets.{name}")
        check_section(f"{place}.data.datasets.{name}", check_dataset, name, datasets[name])
    mixed = _command_options(MIX, config.data.mix, f"{place}.data.mix") if config.data.mix else {}
    if len(datasets) > 1:
        check_section(f"{place}.data.mix", check_mix, config.data.shares_text, mixed)
    return config.data.model_copy(update={"datasets": datasets, "mix": mixed})


def _command_options(
    part: PartCommand, values: Options, place: str, more: type[Section] | None = None
) -> Options:
    """The given values, checked; what the pipeline adds to the command's options is whole, with its defaults."""
    ours = set(more.model_fields) if more else set()
    own = {name: value for name, value in values.items() if name in ours}
    rest = {name: value for name, value in values.items() if name not in ours}
    section = section_of("CommandOptions", part.function, part.own)
    for name in rest:
        if name in part.own:
            raise ConfigError(
                f"{place}.{name}: the pipeline gives this itself; state it at the top, or leave it out"
            )
        if name not in section.model_fields and nearest(name, ours):
            raise ConfigError(f"{place}.{name}: no such setting; {did_you_mean(name, ours)}")
    checked = given_values(read_section(section, rest, place))
    return checked | (dict(read_section(more, own, place)) if more else {})


def _check_files(config: PipelineConfig, place: str) -> None:
    """What the YAML names exists: found now, not after the stages before."""
    if config.recipe:
        try:
            find_recipe(config.recipe)
        except ConfigError as error:
            raise ConfigError(f"{place}.recipe: {error}") from None
    folder = resolve_content_path(config.model)
    if not (is_there(folder) and folder.is_dir()) and not is_hub_name(config.model):
        raise ConfigError(
            f"{place}.model={config.model}: there is no such folder, and it is no hub name (owner/name)"
        )
    named = {
        "teacher.file": config.teacher.file if config.teacher else None,
        **{
            f"data.{name}": value
            for name in ("train", "validation", "test")
            for value in getattr(config.data, name)
        },
    }
    if config.tools not in (None, "none"):
        tools = resolve_content_path(config.tools)
        check_tools_file(tools, f"{place}.tools={config.tools}", or_none=True)
    if reward := (config.train or {}).get("reward"):
        check_reward_file(resolve_content_path(reward), f"{place}.train.reward={reward}")
    if loss := (config.train or {}).get("loss"):
        check_loss_file(resolve_content_path(loss), f"{place}.train.loss={loss}")
    for key, value in named.items():
        if value and not is_there(resolve_content_path(str(value))):
            raise ConfigError(f"{place}.{key}={value}: there is no such file")
    if (
        config.evaluate
        and config.evaluate.get("split") == "test"
        and config.data.train
        and not config.data.test
    ):
        raise ConfigError(f"{place}.evaluate.split=test: data.test names no file")
