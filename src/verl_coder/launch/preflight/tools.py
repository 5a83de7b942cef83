"""Check of a tool YAML before a run: verl reads it in the agent loop's workers, minutes later."""

import contextlib
import io
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from verl.tools.schemas import OpenAIFunctionSchema, OpenAIFunctionToolSchema

from verl_coder.errors import ConfigError
from verl_coder.importing import load_class

_TOOL_KEYS = ("class_name", "config", "tool_schema")


def check_tools(path: str | None) -> None:
    """ConfigError of one line unless each tool of the YAML can be made: class, settings, schema, no unknown key."""
    if not path:
        return
    if not Path(path).is_file():
        raise ConfigError(f"TOOLS: no file {path}")
    try:
        entries = yaml.safe_load(Path(path).read_text())["tools"]
        names = [_check_tool(entry) for entry in entries]
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


def _check_tool(entry: Mapping[str, Any]) -> str:
    """Make the tool as verl's registry does; returns the name that the model calls it by."""
    _refuse_unknown(entry, _TOOL_KEYS, "a tool")
    schema, config = entry["tool_schema"], entry["config"]
    name = str(schema["function"]["name"])
    _refuse_unknown(schema, OpenAIFunctionToolSchema.model_fields, "tool_schema")
    _refuse_unknown(schema["function"], OpenAIFunctionSchema.model_fields, "tool_schema.function")
    if config.get("type") != "native":
        raise ConfigError(f"config.type={config.get('type')!r}: verl has 'native' only")
    tool_class = load_class(str(entry["class_name"]))
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


def _refuse_unknown(section: Mapping[str, Any], known: Collection[str], place: str) -> None:
    for key in section:
        if key not in known:
            raise ConfigError(f"unknown key {key!r} in {place}; its keys are {', '.join(known)}")
