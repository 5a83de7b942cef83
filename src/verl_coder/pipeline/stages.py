"""The tasks of each stage, from the pipeline's YAML: which command, with which arguments, from what, making what."""

import glob
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from verl_coder.errors import ConfigError
from verl_coder.evaluation.folder import COMPARISON, RESULTS, SAMPLES
from verl_coder.paths import repository_root
from verl_coder.pipeline.commands import EVALUATE, MIX, SFT, TEACHERS, TRAIN, PartCommand, dataset_command
from verl_coder.pipeline.config import PipelineEvaluate, PipelineSft, PipelineTrain
from verl_coder.pipeline.fingerprint import flat
from verl_coder.pipeline.options import arguments, command_options
from verl_coder.pipeline.read_files import default_tool_files, loop_files, with_modules
from verl_coder.pipeline.recipe_settings import results_settings
from verl_coder.pipeline.tasks import PipelineTask, Workplace, numbered, path_inputs, settings_of
from verl_coder.protocols import PROTOCOLS


def tasks_of(stage: str, place: Workplace) -> list[PipelineTask]:
    """The tasks of a stage in order, as far as they can be known before the stages ahead of it have run."""
    named = place.recipe if stage == "train" else {}
    return [replace(task, inputs=with_modules(task.inputs, named)) for task in _STAGES[stage](place)]


def _call(part: PartCommand, values: dict[str, Any], given: dict[str, Any], *rest: str) -> tuple[str, ...]:
    """The command line: the YAML's options, then what the pipeline gives, then Hydra overrides."""
    options = {name: value for name, value in values.items() if name in command_options(part.function)}
    return (*part.words, *arguments(part.function, options | given), *rest)


def _data(place: Workplace) -> list[PipelineTask]:
    config, tasks = place.config, []
    for name, values in config.data.datasets.items():
        part = dataset_command(name)
        folder = place.dataset_folder(name)
        # What an earlier YAML prepared here, of another source, is the pipeline's own to replace.
        given = {"out": str(folder), "seed": config.seed, "protocol": config.protocol, "replace": True}
        given = {option: value for option, value in given.items() if option in part.own}
        script = repository_root() / "data_prep" / f"{name}.py"
        tasks.append(
            PipelineTask(
                stage="data",
                name=f"data/{folder.name}",
                command=_call(part, values, given),
                settings=settings_of(values, part.function)
                | {"seed": config.seed, "protocol": config.protocol},
                inputs=path_inputs(values, part.function)
                | {"its data_prep file": script if script.is_file() else Path(name)},
                products=(f"data/{glob.escape(folder.name)}/*.parquet",),
            )
        )
    if len(tasks) > 1:
        tasks.append(_mix(place))
    return tasks


def _mix(place: Workplace) -> PipelineTask:
    data, seed = place.config.data, place.config.seed
    given = {
        "shares": data.shares_text,
        "data": str(place.data),
        "out": str(place.data / "mixed"),
        "seed": seed,
    }
    return PipelineTask(
        stage="data",
        name="data/mixed",
        command=_call(MIX, data.mix, given),
        settings=settings_of(data.mix, MIX.function) | {"shares": given["shares"], "seed": seed},
        inputs=path_inputs(data.mix, MIX.function) | place.rows_to_mix,
        products=("data/mixed/train*.parquet", "data/mixed/*.parquet"),
    )


def _teacher(place: Workplace) -> list[PipelineTask]:
    config, teacher = place.config, place.config.teacher
    if teacher is None or teacher.file:
        return []
    name, values = next((n, v) for n in TEACHERS if (v := getattr(teacher, n)) is not None)
    part = TEACHERS[name]
    given: dict[str, Any] = {"out": str(place.traces), "seed": config.seed}
    inputs = path_inputs(values, part.function)
    if "problems" in part.own:
        problems = place.split("train")
        given["problems"] = [str(path) for path in problems]
        if not command_options(part.function)["problems"].many:
            given["problems"] = str(place.train_file)
        if place.tools not in (None, "none"):
            given["tools"] = place.tools
        inputs |= _tools_input(place) or default_tool_files(("tool", "feedback"))
        inputs |= numbered("problems", problems)
    return [
        PipelineTask(
            stage="teacher",
            name="teacher",
            command=_call(part, values, given),
            settings=settings_of(values, part.function) | {"kind": name, "seed": config.seed},
            inputs=inputs,
            products=("teacher/traces.parquet",),
        )
    ]


def _model_input(name: str) -> dict[str, Path]:
    return {"model": Path(name)} if Path(name).is_absolute() else {}


def _tools_input(place: Workplace) -> dict[str, Path]:
    return {"tools": Path(place.tools)} if place.tools not in (None, "none") else {}


def _sft(place: Workplace) -> list[PipelineTask]:
    config, values = place.config, place.config.sft or {}
    lengths = {name: place.lengths[name] for name in ("max_prompt_length", "max_response_length")}
    model = place.base_model
    given = {
        "model": model,
        "traces": str(place.traces),
        "out": str(place.sft),
        "tools": place.tools,
        "seed": config.seed,
        **lengths,
        **place.chat_template,
    }
    own = {name: values[name] for name in PipelineSft.model_fields}
    options = {name: value for name, value in values.items() if name not in own}
    inputs = path_inputs(options, SFT.function) | _tools_input(place) | _model_input(model)
    return [
        PipelineTask(
            stage="sft",
            name="sft",
            command=_call(SFT, options, given, *own["overrides"]),
            settings=settings_of(options, SFT.function)
            | flat(own["overrides"] or {})
            | lengths
            | place.chat_template
            | {"seed": config.seed, "model": None if _model_input(model) else model},
            inputs=inputs | {"traces": place.traces},
            products=("sft/model/config.json", "sft/model", "sft/summary.json", "sft/metrics.jsonl"),
            folder=place.sft,
            stop_request=place.sft / "stop_request",
        )
    ]


def _training_inputs(place: Workplace, train: list[Path], held_out: list[Path]) -> dict[str, Path]:
    """Model, rows, and the files that the composed recipe and its overrides name."""
    recipe = place.recipe
    inputs = {
        **_model_input(place.start_model),
        **numbered("train", train),
        **numbered("validation", held_out),
    }
    for name, key in (
        ("reward", "reward.custom_reward_function.path"),
        ("policy loss", "verl_coder.policy_loss.path"),
        ("tools", "actor_rollout_ref.rollout.multi_turn.tool_config_path"),
        ("agent loops", "actor_rollout_ref.rollout.agent.agent_loop_config_path"),
        ("traces", "verl_coder.teacher.traces"),
    ):
        if recipe.get(key):
            inputs[name] = Path(str(recipe[key]))
    texts = {key: value for key, value in recipe.items() if key.endswith("path") and isinstance(value, str)}
    others = {key: path for key, value in texts.items() if (path := Path(value)).is_file()}
    known = set(inputs.values())
    return inputs | {key: path for key, path in others.items() if path not in known}


def _train(place: Workplace) -> list[PipelineTask]:
    config, values = place.config, place.config.train or {}
    train, held_out = place.split("train"), place.split("validation")
    for path in (*train, *held_out):
        if "," in str(path):
            raise ConfigError(
                f"train: {path} has a comma, which separates files there: use a path without (OUT=, data.train)"
            )
    given = {
        "recipe": config.recipe,
        "model": place.start_model,
        "train": ",".join(map(str, train)),
        "val": ",".join(map(str, held_out)),
        "tools": place.tools if place.tools not in (None, "none") else None,
        "out": str(place.train),
        "seed": config.seed,
    }
    options = {name: value for name, value in values.items() if name not in PipelineTrain.model_fields}
    inputs = _training_inputs(place, train, held_out)
    return [
        PipelineTask(
            stage="train",
            name="train",
            command=_call(TRAIN, options, given, *place.train_overrides),
            settings=results_settings(place.recipe)
            | {"model": None if _model_input(place.start_model) else config.model},
            inputs=inputs,
            may_be_absent=("traces",) if inputs.get("traces", place.traces) != place.traces else (),
            products=("train/summary.json", "train/metrics.jsonl", "train/config.yaml"),
            folder=place.train,
            stop_request=place.train / "stop_request",
        ),
        PipelineTask(
            stage="train",
            name="train/export",
            command=(
                "export",
                str(place.train),
                "--out",
                str(place.trained_model),
                "--dtype",
                values["export_dtype"],
            ),
            settings={"export_dtype": values["export_dtype"]},
            inputs={"metrics of the run": place.train / "metrics.jsonl"},
            products=("model/config.json", "model"),
            folder=place.trained_model,
            begins_again=True,
        ),
    ]


def evaluated_models(place: Workplace) -> dict[str, str]:
    """Name -> model, of those that the pipeline has."""
    models = {"base": place.base_model}
    if place.config.sft is not None:
        models["sft"] = str(place.sft / "model")
    if place.config.train is not None:
        models["trained"] = str(place.trained_model)
    wanted = (place.config.evaluate or {})["models"]
    return {name: path for name, path in models.items() if name in wanted}


def _evaluate(place: Workplace) -> list[PipelineTask]:
    config, values = place.config, place.config.evaluate or {}
    models = evaluated_models(place)
    if not models:
        raise ConfigError("evaluate.models names no model that this pipeline makes: add base, or the stage")
    files, lengths = place.split(values["split"]), place.lengths
    options = {name: value for name, value in values.items() if name not in PipelineEvaluate.model_fields}
    shared = {
        "max_prompt_tokens": lengths["max_prompt_length"],
        "max_response_tokens": lengths["max_response_length"],
        "max_turns": lengths["max_turns"],
        "seed": config.seed,
        **place.chat_template,
    }
    if not options.get("dtype"):  # as the run's own evaluations
        shared["dtype"] = place.recipe.get("actor_rollout_ref.rollout.dtype", "auto")
    inputs = {**path_inputs(options, EVALUATE.function), **loop_files(), **numbered("problems", files)}
    protocols = [values["protocol"]] if values.get("protocol") else list(PROTOCOLS)
    inputs |= _tools_input(place) if place.tools else default_tool_files(protocols)
    tasks = [
        PipelineTask(
            stage="evaluate",
            name=f"evaluate/{name}",
            command=_call(
                EVALUATE,
                options,
                shared
                | {
                    "model": model,
                    "data": [str(path) for path in files],
                    "tools": place.tools,
                    "out": str(place.evaluate / name),
                },
            ),
            settings=settings_of(options, EVALUATE.function)
            | shared
            | {"model": None if _model_input(model) else model},
            inputs=inputs | _model_input(model),
            products=(f"evaluate/{name}/{RESULTS}", f"evaluate/{name}/{SAMPLES}"),
            folder=place.evaluate / name,
        )
        for name, model in models.items()
    ]
    return [*tasks, *([_compare(place, list(models))] if len(models) > 1 else [])]


def _compare(place: Workplace, names: list[str]) -> PipelineTask:
    folders = [place.evaluate / name for name in names]
    return PipelineTask(
        stage="evaluate",
        name="evaluate/compare",
        command=("compare", *map(str, folders), "--out", str(place.evaluate / COMPARISON)),
        inputs={f"samples of {folder.name}": folder / SAMPLES for folder in folders},
        products=(f"evaluate/{COMPARISON}",),
    )


def _report(place: Workplace) -> list[PipelineTask]:
    config = place.config
    folders = [place.sft] * (config.sft is not None) + [place.train] * (config.train is not None)
    inputs = {f"metrics of {folder.name}": folder / "metrics.jsonl" for folder in folders}
    if config.evaluate is not None:
        names = list(evaluated_models(place))
        folders += [place.evaluate / name for name in names]
        inputs |= {f"results of {name}": place.evaluate / name / RESULTS for name in names}
        inputs |= {"comparison": place.evaluate / COMPARISON} if len(names) > 1 else {}
    if not folders:
        raise ConfigError("report has nothing to show: the pipeline neither trains nor evaluates")
    return [
        PipelineTask(
            stage="report",
            name="report",
            command=("report", *map(str, folders), "--out", str(place.report)),
            inputs=inputs,
            products=("report/index.html", "report/data/site.js", "report"),
        )
    ]


_STAGES: dict[str, Callable[[Workplace], list[PipelineTask]]] = {
    "data": _data,
    "teacher": _teacher,
    "sft": _sft,
    "train": _train,
    "evaluate": _evaluate,
    "report": _report,
}
