"""A section of a YAML file as a pydantic model. An error is one line: the key, its value, what is allowed."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from verl_coder.errors import ConfigError
from verl_coder.words import did_you_mean

_TEXT = "text"
"""Kind of an error that has words of its own."""


class Section(BaseModel):
    """Base of all sections: no unknown key, no value of another kind, no change after it was read."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


def _number(value: Any) -> float:
    """`value` as a finite float; YAML reads 1e-3 as a string."""
    try:
        number = (
            float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
        )
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError("not a finite number")
    return number


def _printable(value: str) -> str:
    if not value.isprintable():
        raise PydanticCustomError(_TEXT, "use a text without line breaks and control characters")
    return value


def _of_known_user(value: str) -> str:
    """`value`, unless it begins with ~ and a name that no user of this machine has."""
    try:
        Path(value).expanduser()
    except RuntimeError:
        raise PydanticCustomError(_TEXT, "there is no such user: write the whole path") from None
    return value


NUMERIC = BeforeValidator(_number)
"""Beside the bounds of a float: `Annotated[float, Field(ge=0), NUMERIC]`."""
Share = Annotated[float, Field(ge=0, le=1), NUMERIC]
Positive = Annotated[float, Field(gt=0), NUMERIC]
NotNegative = Annotated[float, Field(ge=0), NUMERIC]
AnyText = Annotated[str, AfterValidator(_of_known_user)]
"""May be a file or folder, or anything else."""
Text = Annotated[AnyText, Field(min_length=1), AfterValidator(_printable)]
"""A name, a file or a folder: an empty one would be the working folder."""
Count = Annotated[int, Field(ge=0)]
PositiveCount = Annotated[int, Field(ge=1)]

Model = TypeVar("Model", bound=Section)


def read_section(model: type[Model], values: Mapping[str, Any], place: str) -> Model:
    """The section that stands at `place`, as `model`. ConfigError for the first thing that is wrong with it."""
    try:
        return model.model_validate({str(key): value for key, value in values.items()})
    except ValidationError as error:
        raise ConfigError(_sentence(error.errors()[0], model, values, place)) from None


def _sentence(error: Any, model: type[Section], values: Any, place: str) -> str:
    schema = model.model_json_schema()
    spec, siblings = schema, schema
    of_a_key = error["loc"][-1:] == ("[key]",)
    for key in error["loc"][: -2 if of_a_key else None]:
        siblings, spec = spec, _below(spec, key, schema)
        if (isinstance(values, Mapping) and key in values) or (
            isinstance(values, list) and isinstance(key, int)
        ):
            values = values[key]
            place += f"[{key}]" if isinstance(key, int) else f".{key}"
    if of_a_key:
        return f"{place}: {_shown(error['input'])} is no name: take it out, or write it in quotes where it is meant"
    if error["type"] == "extra_forbidden":
        known = list(siblings.get("properties", {}))
        none = "" if known else "the section has none"
        return f"{place}: no such setting; {did_you_mean(str(error['loc'][-1]), known, none)}"
    if error["type"] == "missing":
        return f"{place}.{error['loc'][-1]} is missing: give {allowed(spec)}"
    if error["type"] == "value_error" and "properties" in spec:
        return f"{place}: {error['ctx']['error']}"
    if error["type"] == _TEXT:
        return f"{place}={values!r}: {error['msg']}"
    return f"{place}={_shown(values)}: use {allowed(spec)}"


def _shown(value: Any) -> str:
    """`value` as one line, however long."""
    text = str(value)
    text = text if text and text.isprintable() else repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def _below(spec: dict[str, Any], key: str | int, schema: dict[str, Any]) -> dict[str, Any]:
    """The JSON schema of `key` in the section that `spec` describes; `nullable` where null is allowed, too."""
    others = spec.get("additionalProperties")
    found = spec.get("items") if isinstance(key, int) else spec.get("properties", {}).get(key, others)
    found = dict(found) if isinstance(found, Mapping) else {}
    choices = found.pop("anyOf", [])
    if choices:
        found |= {"nullable": True, **next(choice for choice in choices if choice.get("type") != "null")}
    if "$ref" in found:
        found |= schema["$defs"][found.pop("$ref").rpartition("/")[2]]
    return found


_KINDS = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "string": "a text",
    "array": "a list",
    "object": "a mapping",
}


def allowed(spec: dict[str, Any]) -> str:
    """What a JSON schema takes: `a whole number of 1 or more`, `a number in (0, 10]`, `one of a, b`, `null, or ...`."""
    words = _KINDS.get(spec.get("type", ""), "another value")
    if "enum" in spec:
        words = f"one of {', '.join(map(str, spec['enum']))}"
    elif spec.get("properties"):
        words += f" with {', '.join(spec['properties'])}"
    elif spec.get("minLength"):
        words += " that is not empty"
    elif spec.get("minItems"):
        words += f" of {spec['minItems']} or more"
    low, above = spec.get("minimum"), spec.get("exclusiveMinimum")
    high, below = spec.get("maximum"), spec.get("exclusiveMaximum")
    if (low, above) != (None, None) and (high, below) != (None, None):
        start = f"({above:.15g}" if low is None else f"[{low:.15g}"
        end = f"{below:.15g})" if high is None else f"{high:.15g}]"
        words += f" in {start}, {end}"
    elif low is not None:
        words += f" of {low:.15g} or more"
    elif above is not None:
        words += f" above {above:.15g}"
    return f"null, or {words}" if spec.get("nullable") else words
