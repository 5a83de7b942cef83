"""docs/settings.md: every setting with its kind, default and meaning, from the models that read them.

python -m verl_coder.settings_reference                # write docs/settings.md
python -m verl_coder.settings_reference --check        # say whether it is up to date
"""

import ast
import inspect
import json
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from verl_coder.errors import ConfigError
from verl_coder.files import write_generated
from verl_coder.paths import repository_root
from verl_coder.pipeline import commands, config
from verl_coder.pipeline.options import Command, CommandOption, allowed_words, command_options
from verl_coder.run import settings as run_settings
from verl_coder.sections import Section
from verl_coder.tools.execution import DebuggerSettings, InterpreterSettings, SessionSettings

_INTRO = """# Settings

The settings of recipes, tools, pipelines and the commands that a pipeline runs, with what each allows and what it is
where nothing is said; those of agent loops stand in config/agent_loops.yaml. Made from the models and the commands that
read them by `python -m verl_coder.settings_reference`; a test says when it is out of date.

| where | what |
| --- | --- |
| [`verl_coder:` of a recipe](#the-verl_coder-section) | what this project adds to verl's configuration |
| [tools](#tools) | `config:` of a YAML in tool_config/ |
| [a pipeline](#a-pipeline) | the YAML of `verl-coder pipeline` |
| [commands](#commands) | options of each part, which are a pipeline's settings, too |

All other keys of a recipe are verl's own: `trainer.*`, `data.*`, `actor_rollout_ref.*`, `algorithm.*`. Their meaning
stands in verl's documentation, their values for this project in config/base.yaml and in config/hardware/, and
src/verl_coder/trainer/README.md describes those of GRPO.
"""


def reference() -> str:
    """The whole page."""
    parts = [_INTRO, "## The `verl_coder:` section\n", *_model_tables(run_settings.Settings, "verl_coder")]
    parts += [
        "## Tools\n",
        "The interpreter, the live session and `run_tests`:\n",
        _model_table(InterpreterSettings),
        "The live session takes less of these:\n",
        _model_table(SessionSettings, without=InterpreterSettings),
        "The debugger has these, too, or takes less:\n",
        _model_table(DebuggerSettings, without=InterpreterSettings),
    ]
    parts += ["## A pipeline\n", *_model_tables(config.PipelineConfig, "")]
    for key, model in (
        ("sft", config.PipelineSft),
        ("train", config.PipelineTrain),
        ("evaluate", config.PipelineEvaluate),
    ):
        parts += [
            f"### `{key}:`\n",
            f"The options of `verl-coder {key}` (below), and:\n",
            _model_table(model),
        ]
    parts += [
        "## Commands\n",
        "In a pipeline's YAML without the dashes and with `_` for `-`, or by the name between brackets.\n",
    ]
    for words, command in _commands():
        parts += [f"### `verl-coder {words}`\n", _command_table(command)]
    return "\n".join(parts)


def _commands() -> Iterator[tuple[str, Command]]:
    from verl_coder.cli import train
    from verl_coder.report.cli import report

    for name in ("sample", "mbpp"):
        yield f"data prepare {name}", commands.dataset_command(name).function
    parts = (commands.MIX, *commands.TEACHERS.values(), commands.SFT)
    for part in parts:
        yield " ".join(part.words), part.function
    yield "train", train
    yield "evaluate", commands.EVALUATE.function
    yield "report", report


def _model_tables(model: type[Section], place: str) -> list[str]:
    """The table of a model, then those of the sections in it."""
    parts = [_model_table(model)] if model.model_fields else []
    for name, field in model.model_fields.items():
        for inner in _sections(field.annotation):
            below = f"{place}.{name}".lstrip(".")
            parts += [f"### `{below}:`\n", f"{_doc(inner)}\n", *_model_tables(inner, below)]
            if inner is run_settings.LossWeights:
                parts += [f"A schedule: {_doc(run_settings.Schedule)}\n", _model_table(run_settings.Schedule)]
    return parts


def _sections(annotation: Any) -> list[type[Section]]:
    """Sections that a value of this kind is, or holds; a Schedule is described once, by `losses`."""
    if inspect.isclass(annotation) and issubclass(annotation, Section):
        return [annotation] if annotation is not run_settings.Schedule else []
    return [inner for one in get_args(annotation) for inner in _sections(one)]


def _doc(model: type[Section]) -> str:
    return inspect.cleandoc(model.__doc__ or "")


def _model_table(model: type[Section], without: type[Section] | None = None) -> str:
    texts = field_texts(model)
    rows = []
    for name, field in model.model_fields.items():
        shared = without.model_fields.get(name) if without else None
        if shared is None or _kind(field) != _kind(shared):
            default = "(needed)" if field.is_required() else _default(field)
            inner = _sections(field.annotation)
            text = texts.get(name) or (_doc(inner[0]).splitlines()[0] if inner else "")
            rows.append((name, _kind(field), default, text))
    return _table(rows)


def _command_table(command: Command) -> str:
    rows = [
        (
            _names(option),
            allowed_words(option),
            "(needed)" if option.required else _value(option.default),
            option.help,
        )
        for option in command_options(command).values()
    ]
    return _table(rows)


def _names(option: CommandOption) -> str:
    names = option.flag + (f", {option.off_flag}" if option.off_flag else "")
    return names if option.flag[2:].replace("-", "_") == option.name else f"{names} ({option.name}:)"


def _table(rows: Sequence[tuple[str, str, str, str]]) -> str:
    lines = ["| setting | allowed | default | meaning |", "| --- | --- | --- | --- |"]
    for name, kind, default, text in rows:
        cells = (f"`{name}`", kind, default, " ".join(text.split()))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def field_texts(model: type[Section]) -> dict[str, str]:
    """Field -> the text below it in the source, of the model and those that it is built on."""
    found: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        if not (inspect.isclass(cls) and issubclass(cls, Section)) or cls is Section:
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
        assert isinstance(body, ast.ClassDef)
        for node, after in zip(body.body, body.body[1:], strict=False):
            if (
                isinstance(node, ast.AnnAssign)
                and isinstance(node.target, ast.Name)
                and isinstance(after, ast.Expr)
                and isinstance(after.value, ast.Constant)
            ):
                found[node.target.id] = str(after.value.value)
    return found


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    return "" if value is PydanticUndefined else _value(value)


def _value(value: Any) -> str:
    if isinstance(value, run_settings.Schedule):
        return f"`{value.describe()}`"
    if isinstance(value, Section):
        return "see below"
    if isinstance(value, Path):
        return f"`{value}`"
    return (
        f"`{json.dumps(value, ensure_ascii=False)}`"
        if value not in ("", None, (), {})
        else _EMPTY[repr(value)]
    )


_EMPTY = {"''": "(empty)", "None": "null", "()": "[]", "{}": "{}"}


def _kind(field: FieldInfo) -> str:
    return _words(field.annotation, field.metadata)


def _words(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    """`whole number from 1`, `null, or text`."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _words(inner[0], [*inner[1:], *metadata])
    if origin in (Union, UnionType):
        words = " or ".join(_words(one, metadata) for one in inner if one is not type(None))
        return f"null, or {words}" if type(None) in inner else words
    if origin is Literal:
        return "one of " + ", ".join(f"`{one}`" for one in inner)
    if origin is tuple:
        return f"list of {_plural(_words(inner[0]))}"
    if origin is dict:
        return f"mapping from names to {_plural(_words(inner[1])) if inner[1] is not Any else 'values'}"
    if annotation is run_settings.Schedule:
        return "number or schedule"
    if inspect.isclass(annotation) and issubclass(annotation, Section):
        return "section"
    name = {int: "whole number", float: "number", bool: "true or false", str: "text"}.get(annotation, "value")
    return name + _bounds(metadata)


def _plural(words: str) -> str:
    return words if words.startswith("one of") or " " in words else f"{words}s"


def _bounds(metadata: Sequence[Any]) -> str:
    parts = []
    for one in _constraints(metadata):
        if isinstance(one, annotated_types.Ge):
            parts.append(f"from {one.ge}")
        elif isinstance(one, annotated_types.Gt):
            parts.append(f"above {one.gt}")
        elif isinstance(one, annotated_types.Le):
            parts.append(f"up to {one.le}")
        elif isinstance(one, annotated_types.Lt):
            parts.append(f"below {one.lt}")
    return " " + ", ".join(parts) if parts else ""


def _constraints(metadata: Sequence[Any]) -> Iterator[Any]:
    for one in metadata:
        yield from one.metadata if isinstance(one, FieldInfo) else [one]


def main(arguments: Sequence[str]) -> None:
    """Write docs/settings.md, or with --check say whether it is what would be written."""
    page = repository_root() / "docs" / "settings.md"
    write_generated(page, reference(), "python -m verl_coder.settings_reference", arguments)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ConfigError as error:
        sys.exit(f"error: {error}")
