"""What a `data_prep/<dataset>.py` defines: where the raw records are and how one becomes a problem."""

import contextlib
import datetime
import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import AliasChoices, BaseModel, ConfigDict, ValidationError, model_validator

from verl_coder import json_text
from verl_coder.data.difficulty import normalise_difficulty
from verl_coder.data.python_code import class_names, defined_names
from verl_coder.errors import DataError
from verl_coder.grading.usage import is_library_name
from verl_coder.paths import repository_root
from verl_coder.problems import AssertTests, CheckTests, Problem, PytestTests, TestSuite
from verl_coder.prompts import build_prompt
from verl_coder.protocols import Language, find_protocol

RawRecord = Mapping[str, Any]
Main = Callable[..., None]
"""The command of a data_prep/ file that makes its problems itself."""
RecordModel = TypeVar("RecordModel", bound="Record")


class RowError(DataError):
    """One raw record cannot become a problem; `code` is the reason in `rejected.parquet`."""

    def __init__(self, message: str, *, code: str = "bad_row") -> None:
        super().__init__(message)
        self.code = code


class Record(BaseModel):
    """Base of a dataset's raw columns: unknown columns are ignored, known ones must have their type.

    Copies of a dataset differ in how they store a column: an empty one as null or NaN, text as bytes, a number as
    text or the other way round, a list or an object as JSON in a string.
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
            for column in alias.choices if isinstance(alias, AliasChoices) else [name]:
                value = values.get(str(column), "")
                is_text = about.annotation is str
                if not about.is_required() and (value is None or (value == "" and not is_text)):
                    values.pop(str(column), None)
                elif isinstance(value, str) and not is_text and value.lstrip()[:1] in ("[", "{"):
                    with contextlib.suppress(ValueError, RecursionError):
                        values[str(column)] = json_text.loads(value)
        return values


def _text_of(value: Any) -> Any:
    """A column without its disguise: bytes and dates are text, NaN is nothing."""
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, bytes):
        with contextlib.suppress(UnicodeDecodeError):
            return value.decode()
    return None if isinstance(value, float) and value != value else value


@dataclass(frozen=True, kw_only=True)
class HubSource:
    """Files of a dataset on the Hugging Face hub; the same patterns find them in a local copy of it."""

    repo: str
    patterns: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class LoadOptions:
    """What a user chooses about the rows; the same for every dataset."""

    variant: str
    language: Language = "en"
    protocol: str = "tool"
    visible_tests: int | None = None
    """Number of tests shown in the prompt, of datasets whose tests may be shown; None = as the paper does."""


@dataclass(frozen=True, kw_only=True)
class Draft:
    """What a raw record says, before prompt and split are added.

    `tests` and `references` may each hold several readings, the likeliest first: verification keeps the first
    pair that passes, and without verification the first is taken.
    """

    problem_id: str
    statement: str
    tests: tuple[TestSuite, ...]
    references: tuple[str, ...] = ()
    split: str | None = None
    """`train`, `validation` or `test` where the dataset says so; None = by the hash of the id."""
    difficulty: str = "unknown"
    """In the dataset's own words; see `normalise_difficulty`."""
    entry_point: str = ""
    starter_code: str = ""
    examples: tuple[str, ...] = ()
    tool_prelude: str = ""
    tags: tuple[str, ...] = ()
    date: str = ""
    """Of publication; what begins with YYYY-MM-DD."""

    def encodable(self) -> "Draft":
        """The draft with its texts as UTF-8 can hold them: a lone surrogate is the replacement character."""
        texts = {name: _encodable(value) for name, value in vars(self).items() if name != "tests"}
        return replace(self, **texts)

    def problems(self, *, data_source: str, split: str, options: LoadOptions) -> list[Problem]:
        """The readings of this draft, the likeliest first."""
        prompt = build_prompt(
            self.statement,
            style=self.tests[0].style,
            language=options.language,
            protocol=options.protocol,
            examples=self.examples,
            starter_code=self.starter_code,
            entry_point=self.entry_point,
        )
        return [
            Problem(
                data_source=data_source,
                problem_id=self.problem_id,
                prompt=prompt,
                tests=_with_names(tests, reference),
                split=split,
                difficulty=normalise_difficulty(self.difficulty),
                entry_point=self.entry_point,
                starter_code=self.starter_code,
                reference_solution=reference,
                agent_name=find_protocol(options.protocol).agent_name,
                tool_prelude=self.tool_prelude,
                tags=self.tags,
                date=self.date[:10],
            )
            for reference in self.references or ("",)
            for tests in self.tests
        ]


def _encodable(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_encodable, value))
    if not isinstance(value, str) or value.isascii():
        return value
    return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _with_names(tests: TestSuite, reference: str) -> TestSuite:
    """What is a class in the reference is one in a solution, too, and what it calls as a library does is its own."""
    if not reference or not isinstance(tests, (AssertTests, CheckTests, PytestTests)):
        return tests
    classes = class_names(reference)
    others = [
        name for name in defined_names(reference) if is_library_name(name) and name not in (classes or ())
    ]
    return replace(tests, classes=classes, defines=tuple(others) or None)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """One dataset: `to_draft(raw record, name of its split, options)` raises RowError for a bad record."""

    name: str
    license: str
    sources: Mapping[str, HubSource]
    """By variant; the first is the default."""
    to_draft: Callable[[RawRecord, str, LoadOptions], Draft]
    shows_tests: bool = False
    """Whether some of the tests may be in the prompt: `--visible-tests` says how many."""
    has_difficulties: bool = True
    """Whether its records differ in difficulty: `--difficulty` chooses one."""
    has_references: bool = True
    """Whether its records have reference solutions, which verification runs."""
    example_records: Mapping[str, RawRecord] = field(default_factory=dict)
    """A small record per variant, in the hub's columns: documents them, and the contract test loads it."""

    @property
    def default_variant(self) -> str:
        return next(iter(self.sources))

    def source(self, variant: str) -> HubSource:
        """Where `variant` is; DataError lists the variants there are."""
        if variant not in self.sources:
            raise DataError(
                f"{self.name}: variant is {variant!r}; it must be one of {', '.join(self.sources)}"
            )
        return self.sources[variant]


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


def parse_json(column: str, value: Any) -> Any:
    """The value of a column that holds JSON in a string, None where it is empty; RowError names the column.

    Where a copy of the dataset holds the value itself, or JSON of a string that is JSON, it is that value.
    """
    for _ in range(2):
        if not isinstance(value, str):
            break
        if not value.strip():
            return None
        try:
            value = json_text.loads(value)
        except (ValueError, RecursionError) as error:
            raise RowError(f"column {column!r} is not JSON ({error}): {value[:60]!r}") from error
    return value


def dataset_files() -> dict[str, Path]:
    """The dataset files of the repository, by name."""
    return {path.stem: path for path in sorted((repository_root() / "data_prep").glob("*.py"))}


def load_dataset_file(name: str) -> Dataset | Main:
    """The `DATASET` of `data_prep/<name>.py` or of a path to such a file, or the `main` of one without records.

    DataError lists what there is, or says that the file defines neither.
    """
    files = dataset_files()
    path = files.get(name) or (Path(name) if name.endswith(".py") else None)
    if path is None or not path.is_file():
        raise DataError(
            f"no dataset {name!r}: data_prep has {', '.join(files)}, or give a path to a .py file"
        )
    module_name = f"data_prep_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    spec.loader.exec_module(module)
    script = getattr(module, "DATASET", None) or getattr(module, "main", None)
    if not isinstance(script, Dataset) and not callable(script):
        raise DataError(f"{path} defines neither a DATASET (a verl_coder.data.Dataset) nor a function main")
    return script
