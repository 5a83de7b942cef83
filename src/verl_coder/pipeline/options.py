"""The options of a command as a section of the YAML: the same names, kinds and limits, and back to its arguments."""

import inspect
import types
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer
from pydantic import Field, create_model
from typer.models import OptionInfo

from verl_coder.sections import NUMERIC, AnyText, Section, Text

Command = Callable[..., None]


@dataclass(frozen=True, kw_only=True)
class CommandOption:
    """One option of a command."""

    name: str
    """As the YAML and the function spell it."""
    flag: str
    off_flag: str | None
    """Of a switch that may be turned off."""
    kind: Any
    """Its type, without None and without the list; a path is a text."""
    is_path: bool
    many: bool
    optional: bool
    """Whether None is its default."""
    default: Any
    """`inspect.Parameter.empty` where it must be given."""
    help: str
    minimum: float | None
    maximum: float | None

    @property
    def required(self) -> bool:
        """Whether the command needs it."""
        return self.default is inspect.Parameter.empty


def command_options(command: Command) -> dict[str, CommandOption]:
    """Name -> option, of a function that typer makes a command of; arguments and the context are left out."""
    signature = inspect.signature(command)
    if hasattr(command, "__signature__"):
        kinds = {name: parameter.annotation for name, parameter in signature.parameters.items()}
    else:
        kinds = get_type_hints(command, include_extras=True)
    found = {}
    for name, parameter in signature.parameters.items():
        kind, *more = get_args(kinds[name]) if get_origin(kinds[name]) is Annotated else (kinds[name],)
        if kind is typer.Context or any(not isinstance(one, OptionInfo) for one in more):
            continue
        found[name] = _option(name, kind, more[0] if more else typer.Option(), parameter.default)
    return found


def _option(name: str, kind: Any, info: OptionInfo, default: Any) -> CommandOption:
    optional = False
    if get_origin(kind) in (Union, types.UnionType):
        optional = type(None) in get_args(kind)
        (kind,) = (one for one in get_args(kind) if one is not type(None))
    many = get_origin(kind) is list
    if many:
        (kind,) = get_args(kind)
    # Inside Annotated the first name stands where the default of an option does.
    names = [info.default, *(info.param_decls or ())]
    given = [name for name in names if isinstance(name, str) and name.startswith("--")]
    flag = given[0] if given else "--" + name.replace("_", "-")
    off = f"--no-{flag[2:]}" if kind is bool and not given else None
    return CommandOption(
        name=name,
        flag=flag,
        off_flag=off,
        kind=str if kind is Path else kind,
        is_path=kind is Path,
        many=many,
        optional=optional,
        default=default,
        help=str(info.help or ""),
        minimum=info.min,
        maximum=info.max,
    )


def section_of(name: str, command: Command, without: Collection[str] = ()) -> type[Section]:
    """The options as a model to read a YAML's mapping with; those in `without` are given by somebody else."""
    fields: dict[str, Any] = {}
    for option in command_options(command).values():
        if option.name in without:
            continue
        default = ... if option.required else option.default
        fields[option.name] = (_annotation(option), Field(default=default, description=option.help))
    return create_model(name, __base__=Section, **fields)


def _annotation(option: CommandOption) -> Any:
    bounds = Field(ge=option.minimum, le=option.maximum)
    kind: Any = Text if option.is_path else AnyText if option.kind is str else option.kind
    if kind is float:
        kind = Annotated[float, bounds, NUMERIC]
    elif kind is int:
        kind = Annotated[int, bounds]
    if option.many:
        kind = Annotated[tuple[kind, ...], Field(strict=False)]
    return kind | None if option.optional else kind


def given_values(section: Section) -> dict[str, Any]:
    """What the YAML says, without the command's own defaults."""
    return {name: getattr(section, name) for name in sorted(section.model_fields_set)}


def arguments(command: Command, values: Mapping[str, Any]) -> list[str]:
    """Command-line arguments for the values; None is left out."""
    options = command_options(command)
    found: list[str] = []
    for name, value in values.items():
        option = options[name]
        if value is None:
            continue
        if option.kind is bool:
            flag = option.flag if value else option.off_flag
            found += [flag] if flag else []
        else:
            many: Sequence[Any] = value if option.many else [value]
            found += [part for one in many for part in (option.flag, str(one))]
    return found


def allowed_words(option: CommandOption) -> str:
    """`a whole number from 1`, `one of on, off`: for the reference."""
    if get_origin(option.kind) is Literal:
        return "one of " + ", ".join(map(str, get_args(option.kind)))
    words = {int: "whole number", float: "number", bool: "true or false"}.get(option.kind, "text")
    if option.minimum is not None:
        words += f" from {option.minimum:g}"
    if option.maximum is not None:
        words += f" up to {option.maximum:g}"
    return f"list of {words}" if option.many else words
