"""How the columns of a raw record are read, whatever form a copy of the dataset stores them in."""

import contextlib
import datetime
import re
import types
from collections.abc import Mapping
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo

from verl_coder import json_text
from verl_coder.data.python_code import parse, statement_groups, without_fence
from verl_coder.errors import DataError
from verl_coder.syntax import literal_value

RawRecord = Mapping[str, Any]
RecordModel = TypeVar("RecordModel", bound="Record")
_LAST_NUMBER = re.compile(r"\s*(-?\d+)(?:\.0+)?\s*|.*?(\d+)(?:\.0+)?\s*", re.DOTALL)
_VALUE_STARTS = ("[", "{", "(")


class RowError(DataError):
    """One raw record cannot become a problem; `code` is the reason in `rejected.parquet`."""

    def __init__(self, message: str, *, code: str = "bad_row") -> None:
        super().__init__(message)
        self.code = code


class Record(BaseModel):
    """Base of a dataset's raw columns: unknown columns are ignored, known ones must have their type.

    Copies of a dataset differ in how they store a column: an empty one as null or NaN, text as bytes, a number as
    text or the other way round, a list or an object as JSON or as Python's repr in a string, a list of one object
    as that object.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, coerce_numbers_to_str=True)

    @model_validator(mode="before")
    @classmethod
    def _as_copies_store_it(cls, raw: Any) -> Any:
        if not isinstance(raw, Mapping):
            return raw
        values = {name: _text_of(value) for name, value in raw.items()}
        for name, about in cls.model_fields.items():
            alias = about.validation_alias
            columns = list(map(str, alias.choices)) if isinstance(alias, AliasChoices) else [name]
            has_another = any(values.get(column) not in (None, "") for column in columns)
            for column in columns:
                value = values.get(column, "")
                is_empty = value is None or (value == "" and about.annotation is not str)
                if (has_another and value in (None, "")) or (is_empty and not about.is_required()):
                    values.pop(column, None)
                elif about.annotation is not str and column in values:
                    values[column] = _value_of(value, about)
        return values


def _text_of(value: Any) -> Any:
    """A column without its disguise: bytes and dates are text, NaN is nothing."""
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, bytes):
        with contextlib.suppress(UnicodeDecodeError):
            return value.decode()
    return None if isinstance(value, float) and value != value else value


def _value_of(value: Any, about: FieldInfo) -> Any:
    """A list or an object that was stored as text, and a list that was stored as its only object or as an empty one."""
    if isinstance(value, str) and value.lstrip()[:1] in _VALUE_STARTS:
        with contextlib.suppress(ValueError):
            value = parse_value(value)
    if isinstance(value, Mapping) and _holds(about.annotation, list) and not _holds(about.annotation, dict):
        return [value] if value else []
    return list(value) if isinstance(value, tuple) else value


def _holds(annotation: Any, kind: type) -> bool:
    """Whether a value of the annotated type may be a `kind`."""
    if get_origin(annotation) in (Union, types.UnionType):
        return any(_holds(part, kind) for part in get_args(annotation))
    return annotation is kind or get_origin(annotation) is kind


def parse_record(model: type[RecordModel], raw: RawRecord) -> RecordModel:
    """Validate a raw record; RowError names the first column that is missing or of the wrong type."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        column = ".".join(str(part) for part in first["loc"])
        if first["type"] == "missing":
            columns = ", ".join(sorted(raw))
            raise RowError(f"column {column!r} is missing; the columns are {columns}") from error
        value = repr(first.get("input"))[:60]
        raise RowError(f"column {column!r}: {first['msg'].lower()}, got {value}") from error


def parse_value(text: str) -> Any:
    """The value that a text holds as JSON or as a Python literal; ValueError where it is neither."""
    try:
        return json_text.loads(text)
    except (ValueError, RecursionError) as error:
        reason = f"not JSON ({error})"
    try:
        return literal_value(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(reason) from error


def parse_json(column: str, value: Any) -> Any:
    """The value of a column that holds JSON in a string, None where it is empty; RowError names the column.

    Where a copy of the dataset holds the value itself, JSON of a string that is JSON, or the value as Python
    writes it, it is that value.
    """
    for _ in range(2):
        if not isinstance(value, str):
            break
        if not value.strip():
            return None
        try:
            value = parse_value(value)
        except ValueError as error:
            raise RowError(f"column {column!r} is {error}: {value[:60]!r}") from error
    return value


def _number(value: Any) -> Any:
    """The number of an id such as "Mbpp/601" or "mbpp-601": behind a name, - is no sign."""
    match = _LAST_NUMBER.fullmatch(value) if isinstance(value, str) else None
    return (match[1] or match[2]) if match else value


def _statements(value: Any) -> Any:
    """A list of tests; where it is one text, a test ends with an `assert` of it."""
    tests = statement_groups(value) if isinstance(value, str) else value
    return [test for test in tests if not _is_blank(test)] if isinstance(tests, list) else tests


def _is_blank(test: Any) -> bool:
    """Whether it does nothing: white space and comments."""
    if not isinstance(test, str):
        return False
    tree = parse(test)
    return not test.strip() if tree is None else not tree.body


def _labels(value: Any) -> Any:
    """Words in a list or in a text with commas; none where they cannot be read, as nothing depends on them."""
    if isinstance(value, str):
        value = re.split(r"[,;\n]", value)
    if not isinstance(value, list):
        return []
    return [text for text in (str(part).strip() for part in value if isinstance(part, (str, int))) if text]


def _label(value: Any) -> Any:
    return str(value) if isinstance(value, (str, int, float)) else ""


def _entries(value: Any) -> Any:
    return [entry for entry in value if isinstance(entry, Mapping)] if isinstance(value, list) else []


Number = Annotated[int, BeforeValidator(_number)]
"""An id that is a number, alone or behind the name of its dataset."""
Code = Annotated[str, AfterValidator(without_fence)]
"""Python source, alone or in a fenced block of Markdown."""
Statements = Annotated[list[str], BeforeValidator(_statements)]
"""Tests in a list, or one below the other in a text."""
Labels = Annotated[list[str], BeforeValidator(_labels)]
"""Words that describe a problem; what cannot be read is left out, and never costs the record."""
Label = Annotated[str, BeforeValidator(_label)]
"""A word that describes a problem; empty where it cannot be read."""
Entries = Annotated[list[dict[str, Any]], BeforeValidator(_entries)]
"""Objects that describe a problem, in a list or the only one; what is none is left out, and never costs the record."""
