"""Check of a tool YAML before a run: verl reads it in the agent loop's workers, minutes later."""

import contextlib
import io
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml
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
from verl_coder.words import choose_one

_TOOL_KEYS = ("class_name", "config", "tool_schema")
_JSON_TYPES = ("string", "integer", "number", "boolean", "array", "object", "null")


def check_tools(path: str | None, most_chars: int | None = None) -> None:
    """ConfigError of one line unless each tool of the YAML can be made: class, settings, schema, no unknown key.

    `most_chars` is `multi_turn.max_tool_response_length`, at which verl cuts what a tool returns.
    """
    if not path:
        return
    if not Path(path).is_file():
        raise ConfigError(f"TOOLS: no file {path}")
    try:
        entries = yaml.safe_load(Path(path).read_text())["tools"]
        if not isinstance(entries, list) or not entries:
            raise ConfigError(
                "tools has no entry: name a tool, or train without TOOLS on rows that call none"
            )
        names = [_check_tool(entry, most_chars) for entry in entries]
    except ConfigError as error:
        raise ConfigError(f"TOOLS: {path}: {error}") from error
    except (yaml.YAMLError, KeyError, TypeError) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise ConfigError(
            f"TOOLS: {path}: {reason}; a tool has class_name, config and tool_schema.function.name"
        ) from error
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise ConfigError(f"TOOLS: {path}: two tools are named {twice[0]!r}")


def _check_tool(entry: Mapping[str, Any], most_chars: int | None) -> str:
    """Make the tool as verl's registry does; returns the name that the model calls it by."""
    _refuse_unknown(entry, _TOOL_KEYS, "a tool")
    schema, config = entry["tool_schema"], entry["config"]
    name = str(schema["function"]["name"])
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
    return name


def _check_parameters(parameters: Any) -> None:
    """The JSON schema of a tool's arguments: every key known, every type JSON's, every required argument there."""
    place = "tool_schema.function.parameters"
    if not isinstance(parameters, Mapping):
        return  # what is missing is said by verl's own schema
    _refuse_unknown(parameters, OpenAIFunctionParametersSchema.model_fields, place)
    properties = parameters.get("properties") or {}
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
    for name in parameters.get("required") or []:
        if name not in properties:
            raise ConfigError(
                f"{place}.required names {name!r}, and properties has {', '.join(properties) or 'none'}"
            )


def _refuse_unknown(section: Mapping[str, Any], known: Collection[str], place: str) -> None:
    for key in section:
        if key not in known:
            raise ConfigError(f"unknown key {key!r} in {place}; its keys are {', '.join(known)}")
