"""Check of a tool YAML before a run: verl reads it in the agent loop's workers, minutes later."""

import contextlib
import io
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from verl.tools.base_tool import BaseTool
from verl.tools.schemas import (
    OpenAIFunctionParametersSchema,
    OpenAIFunctionPropertySchema,
    OpenAIFunctionSchema,
    OpenAIFunctionToolSchema,
)

from verl_coder.errors import ConfigError
from verl_coder.importing import load_class
from verl_coder.launch.preflight.checked_tools import CheckedTool, CheckedTools
from verl_coder.paths import check_tools_file
from verl_coder.words import choose_one
from verl_coder.yaml_files import read_yaml

_TOOL_KEYS = ("class_name", "config", "tool_schema")
_JSON_TYPES = ("string", "integer", "number", "boolean", "array", "object", "null")


def check_tools(path: str | None, most_chars: int | None = None) -> CheckedTools:
    """The tools of the YAML; ConfigError of one line unless each can be made: class, settings, schema, no unknown key.

    `most_chars` is `multi_turn.max_tool_response_length`, at which verl cuts what a tool returns.
    """
    if not path:
        return CheckedTools()
    check_tools_file(Path(path), f"TOOLS: {path}")
    try:
        entries = _entries(read_yaml(Path(path)))
        tools = tuple(_check_one(entry, most_chars, alone=len(entries) == 1) for entry in entries)
    except ConfigError as error:
        raise ConfigError(f"TOOLS: {path}: {error}") from error
    names = [tool.name for tool in tools]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ConfigError(f"TOOLS: {path}: two tools are named {twice[0]!r}")
    return CheckedTools(path=path, entries=tools)


def _entries(values: Any) -> list[Any]:
    """The list of tools of a file; ConfigError where it holds something else."""
    if not isinstance(values, Mapping) or "tools" not in values:
        holds = (
            f"lacks 'tools' (it has {', '.join(map(str, values))})"
            if isinstance(values, Mapping)
            else "is no mapping"
        )
        raise ConfigError(f"the file {holds}: give a list of tools under `tools:`")
    _refuse_unknown(values, ("tools",), "the file")
    entries = values["tools"]
    if not isinstance(entries, list) or not entries:
        raise ConfigError("tools has no entry: name a tool, or train without TOOLS on rows that call none")
    return entries


def _section(holder: Any, key: str, place: str) -> Mapping[str, Any]:
    """The mapping at `key`; ConfigError where there is none."""
    if not isinstance(holder, Mapping) or key not in holder:
        raise ConfigError(
            f"{place} lacks {key!r}; a tool has class_name, config and tool_schema.function.name"
        )
    value = holder[key]
    if not isinstance(value, Mapping):
        raise ConfigError(f"{key} of {place} is {_shown(value)}: give a mapping")
    return value


def _shown(value: Any) -> str:
    return "null" if value is None else f"{value!r:.80}"


def _check_one(entry: Any, most_chars: int | None, *, alone: bool) -> CheckedTool:
    """A tool of the list; what is wrong with one of several begins with its name, where it has one."""
    try:
        return _check_tool(entry, most_chars)
    except ConfigError as error:
        with contextlib.suppress(KeyError, TypeError):
            name = entry["tool_schema"]["function"]["name"]
            if not alone and isinstance(name, str):
                raise ConfigError(f"{name}: {error}") from error
        raise


def _check_tool(entry: Any, most_chars: int | None) -> CheckedTool:
    """Make the tool as verl's registry does."""
    if not isinstance(entry, Mapping):
        raise ConfigError(f"a tool is {_shown(entry)}: give a mapping with {', '.join(_TOOL_KEYS)}")
    _refuse_unknown(entry, _TOOL_KEYS, "a tool")
    schema, config = _section(entry, "tool_schema", "a tool"), _section(entry, "config", "a tool")
    name = _section(schema, "function", "tool_schema").get("name")
    if not isinstance(name, str) or not name.strip():
        raise ConfigError(
            f"tool_schema.function.name is {_shown(name)}: give a text, the name that the model calls"
        )
    if not isinstance(entry.get("class_name"), str):
        raise ConfigError(
            f"class_name is {_shown(entry.get('class_name'))}: name a class, package.module.Name"
        )
    _refuse_unknown(schema, OpenAIFunctionToolSchema.model_fields, "tool_schema")
    _refuse_unknown(schema["function"], OpenAIFunctionSchema.model_fields, "tool_schema.function")
    if config.get("type") != "native":
        raise ConfigError(f"config.type={config.get('type')!r}: verl has 'native' only")
    _check_parameters(schema["function"].get("parameters"))
    tool_class = load_class(str(entry["class_name"]))
    if not (isinstance(tool_class, type) and issubclass(tool_class, BaseTool)):
        raise ConfigError(
            f"class_name: {entry['class_name']} is no tool: it must be a class of verl's BaseTool"
        )
    _check_arguments(schema["function"].get("parameters"), tool_class)
    shown = config.get("max_output_chars")
    if most_chars and isinstance(shown, int) and shown > most_chars:
        raise ConfigError(
            f"config.max_output_chars={shown}: verl cuts a tool's output at "
            f"actor_rollout_ref.rollout.multi_turn.max_tool_response_length={most_chars}: raise that with it"
        )
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # verl's base class prints the schema
            tool_class(config=dict(config), tool_schema=OpenAIFunctionToolSchema.model_validate(schema))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"tool_schema.{place}: {first['msg']}") from error
    except ConfigError:
        raise
    except Exception as error:
        raise ConfigError(f"{entry['class_name']} refuses its config: {error}") from error
    return CheckedTool(name=name, tool_class=tool_class, sandbox_url=str(config.get("sandbox_url") or ""))


def _check_arguments(parameters: Any, tool_class: type[BaseTool]) -> None:
    """A tool of ours is called by the names that it knows itself: under another name no call could be done."""
    needed: tuple[str, ...] = getattr(tool_class, "needed_arguments", ())
    properties = parameters.get("properties") if isinstance(parameters, Mapping) else None
    if not needed or not isinstance(properties, Mapping):
        return
    place = "tool_schema.function.parameters.properties"
    known = (*needed, *getattr(tool_class, "further_arguments", ()))
    _refuse_unknown(
        properties,
        known,
        place if _is_ours(tool_class) else f"{place} ({tool_class.__name__}.further_arguments names more)",
    )
    for name in needed:
        if name not in properties:
            raise ConfigError(f"{place} lacks {name!r}, without which no call of the tool can be done")


def _is_ours(tool_class: type[BaseTool]) -> bool:
    return tool_class.__module__.partition(".")[0] == "verl_coder"


def _check_parameters(parameters: Any) -> None:
    """The JSON schema of a tool's arguments: every key known, every type JSON's, every required argument there."""
    place = "tool_schema.function.parameters"
    if not isinstance(parameters, Mapping):
        return  # what is missing is said by verl's own schema
    _refuse_unknown(parameters, OpenAIFunctionParametersSchema.model_fields, place)
    properties = parameters.get("properties") or {}
    if not isinstance(properties, Mapping):
        raise ConfigError(
            f"{place}.properties is {_shown(properties)}: give a mapping, argument: {{type, ...}}"
        )
    for name, schema in properties.items():
        if not isinstance(schema, Mapping):
            raise ConfigError(
                f"{place}.properties.{name} is {schema!r}: give a mapping with type and description"
            )
        _refuse_unknown(schema, OpenAIFunctionPropertySchema.model_fields, f"{place}.properties.{name}")
        kinds = schema.get("type")
        for kind in kinds if isinstance(kinds, list) else [kinds]:
            if kind is not None and kind not in _JSON_TYPES:
                raise ConfigError(f"{place}.properties.{name}.type={kind}: {choose_one(kind, _JSON_TYPES)}")
    required = parameters.get("required") or []
    if not isinstance(required, list):
        raise ConfigError(f"{place}.required is {_shown(required)}: give a list")
    for name in required:
        if name not in properties:
            raise ConfigError(
                f"{place}.required names {name!r}, and properties has {', '.join(properties) or 'none'}"
            )


def _refuse_unknown(section: Mapping[str, Any], known: Collection[str], place: str) -> None:
    for key in section:
        if key not in known:
            raise ConfigError(f"unknown key {key!r} in {place}; its keys are {', '.join(known)}")
