"""What a `data_prep/<dataset>.py` defines: where the raw records are and how one becomes a problem."""

import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from verl_coder.data.difficulty import normalise_difficulty
from verl_coder.data.python_code import class_names, defined_names, function_head
from verl_coder.data.record import RawRecord
from verl_coder.docstring_examples import as_stub
from verl_coder.errors import DataError
from verl_coder.grading.usage import is_library_name
from verl_coder.paths import repository_root
from verl_coder.problems import AssertTests, CheckTests, Problem, PytestTests, TestSuite
from verl_coder.prompts import build_prompt
from verl_coder.protocols import Language, find_protocol
from verl_coder.words import did_you_mean

Main = Callable[..., None]
"""The command of a data_prep/ file that makes its problems itself."""


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
    """`train`, `validation` or `test` where the dataset says so; None = by the hash of the group or the id."""
    difficulty: str = "unknown"
    """In the dataset's own words; see `normalise_difficulty`."""
    entry_point: str = ""
    starter_code: str = ""
    examples: tuple[str, ...] = ()
    tool_prelude: str = ""
    tags: tuple[str, ...] = ()
    date: str = ""
    """Of publication; what begins with YYYY-MM-DD."""
    group: str = ""
    """The same for records that pose one problem in several ways: they share a split, and repeat each other."""

    def encodable(self) -> "Draft":
        """The draft with its texts as UTF-8 can hold them: a lone surrogate is the replacement character."""
        texts = {name: _encodable(value) for name, value in vars(self).items() if name != "tests"}
        return replace(self, **texts)

    def as_stub(self) -> "Draft | None":
        """Posed as the head of its function with a docstring, as HumanEval's problems are; None where it cannot be."""
        if self.starter_code or not self.references:
            return None
        head = function_head(self.references[0], self.entry_point)
        stub = as_stub(head, self.statement, self.examples) if head else None
        return stub and replace(self, statement=stub.statement, starter_code=stub.code, examples=())

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
                group=self.group,
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
    has_training_rows: bool = True
    """Whether some of its records may be in the split `train`: `--train-time-limit` is about those."""
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
        has = f"data_prep has {', '.join(files)}, or give a path to a .py file"
        raise DataError(f"no dataset {name!r}; {did_you_mean(name, files, has)}")
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
