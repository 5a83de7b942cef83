"""APPS (https://arxiv.org/abs/2105.09938): programs on stdin/stdout, and functions called by name.

python data_prep/apps.py --source train.jsonl --difficulty interview --out outputs/data/apps
"""

import contextlib
import hashlib
from collections.abc import Iterator
from itertools import islice
from typing import Any

from pydantic import AliasChoices, Field

from verl_coder.data import (
    Dataset,
    Draft,
    HubSource,
    Label,
    LoadOptions,
    RawRecord,
    Record,
    RowError,
    parse_json,
    parse_python,
    parse_record,
    parse_value,
    run_script,
    without_fence,
)
from verl_coder.problems import FunctionCase, FunctionTests, StdioCase, StdioTests, TestSuite

MAX_REFERENCES = 6
"""A row has up to hundreds of solutions; verification keeps the first of these that passes."""


class AppsRecord(Record):
    """`solutions` and `input_output` are JSON in a string, or empty; some copies hold the values themselves.

    The number is `problem_id`, or `id` in the hub's own files; a record without one gets an id by its question.
    """

    problem_id: str = Field(default="", validation_alias=AliasChoices("problem_id", "id"))
    question: str
    solutions: Any
    input_output: Any
    difficulty: Label = "unknown"
    starter_code: str = ""


def to_draft(raw: RawRecord, split: str, options: LoadOptions) -> Draft:
    """One APPS record; its visible examples are in the question."""
    record = parse_record(AppsRecord, raw)
    spec = parse_json("input_output", record.input_output) or {}
    references = _references(record.solutions)
    if not isinstance(spec, dict):
        raise RowError("column 'input_output' must hold an object")
    inputs, outputs = (spec.get(name) or [] for name in ("inputs", "outputs"))
    inputs, outputs = (list(part) if isinstance(part, tuple) else part for part in (inputs, outputs))
    if not isinstance(inputs, list) or not isinstance(outputs, list) or len(inputs) != len(outputs):
        raise RowError("column 'input_output': 'inputs' and 'outputs' must be lists of one length")
    if not inputs:
        raise RowError("column 'input_output' holds no tests", code="no_tests")
    name = str(spec.get("fn_name") or "")
    is_class = "class Solution" in record.starter_code
    return Draft(
        problem_id=f"apps/{split}/{_identifier(record)}",
        statement=record.question,
        tests=_function_tests(name, is_class, inputs, outputs) if name else _stdio_tests(inputs, outputs),
        references=references,
        split="test" if split == "test" else None,
        difficulty=record.difficulty,
        entry_point=name,
        starter_code=record.starter_code,
    )


def _stdio_tests(inputs: list[Any], outputs: list[Any]) -> tuple[TestSuite, ...]:
    cases = tuple(StdioCase(input=_text(i), output=_text(o)) for i, o in zip(inputs, outputs, strict=True))
    return (StdioTests(tests=cases),)


def _function_tests(
    name: str, is_class: bool, inputs: list[Any], outputs: list[Any]
) -> tuple[TestSuite, ...]:
    """The readings of what a call takes and returns, the likeliest first."""
    return tuple(
        FunctionTests(
            entry_point=name,
            class_name="Solution" if is_class else None,
            tests=tuple(FunctionCase(args=args, expected=e) for args, e in zip(calls, expected, strict=True)),
        )
        for calls, results in _calls(inputs, outputs)
        for expected in _results(results)
    )


def _calls(inputs: list[Any], outputs: list[Any]) -> Iterator[tuple[list[tuple[Any, ...]], list[Any]]]:
    """(arguments of every call, results): a text may hold the arguments as JSON, one a line, or be the only one."""
    if all(isinstance(value, str) for value in inputs):
        try:
            calls = [tuple(parse_value(line) for line in v.split("\n") if line.strip()) for v in inputs]
            results = [parse_value(value) if isinstance(value, str) else value for value in outputs]
        except ValueError:
            pass
        else:
            yield calls, results
    yield [tuple(args) if isinstance(args, list) else (args,) for args in inputs], outputs


def _results(outputs: list[Any]) -> list[list[Any]]:
    """Two readings where every output is a list of one: the result may be in that list, or be that list."""
    if all(isinstance(output, list) and len(output) == 1 for output in outputs):
        return [[output[0] for output in outputs], outputs]
    return [outputs]


def _references(column: Any) -> tuple[str, ...]:
    """The first solutions that are code of this Python, or the very first; a text may be the only solution."""
    try:
        solutions = parse_json("solutions", column) or []
    except RowError:
        with contextlib.suppress(ValueError):
            column = parse_value(column)  # a text in quotation marks
        if parse_python(without_fence(column)) is None:
            raise
        solutions = [column]
    if not isinstance(solutions, list):
        raise RowError("column 'solutions' must hold a list")
    codes = [without_fence(code) for code in solutions if isinstance(code, str) and code.strip()]
    return tuple(islice(filter(parse_python, codes), MAX_REFERENCES)) or tuple(codes[:1])


def _identifier(record: AppsRecord) -> str:
    number = record.problem_id.removesuffix(".0").strip()
    return (number and number.zfill(4)) or hashlib.sha256(record.question.encode()).hexdigest()[:12]


def _text(value: Any) -> str:
    """A few rows hold a list of lines instead of a text."""
    if value is None:
        raise RowError("column 'input_output': an input or an output is null")
    return "\n".join(map(str, value)) if isinstance(value, list) else str(value)


DATASET = Dataset(
    name="apps",
    license="MIT",
    sources={"all": HubSource(repo="codeparrot/apps", patterns=("train.jsonl", "test.jsonl"))},
    to_draft=to_draft,
    example_records={
        "all": {
            "problem_id": 12,
            "question": "Read n and print 2n.\n\n-----Input-----\n3\n\n-----Output-----\n6",
            "solutions": '["print(2 * int(input()))"]',
            "input_output": '{"inputs": ["5\\n", "0\\n"], "outputs": ["10\\n", "0\\n"]}',
            "difficulty": "introductory",
            "url": "https://example.com/12",
            "starter_code": "",
        },
        "call-based": {
            "problem_id": 13,
            "question": "Double a number.",
            "solutions": '["class Solution:\\n    def double(self, n):\\n        return 2 * n"]',
            "input_output": '{"fn_name": "double", "inputs": [[5], [0]], "outputs": [[10], [0]]}',
            "difficulty": "interview",
            "url": "https://example.com/13",
            "starter_code": "class Solution:\n    def double(self, n: int) -> int:\n        ",
        },
    },
)

if __name__ == "__main__":
    run_script(DATASET)
