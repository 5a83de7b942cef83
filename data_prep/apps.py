"""APPS (https://arxiv.org/abs/2105.09938): programs on stdin/stdout, and functions called by name.

python data_prep/apps.py --source train.jsonl --difficulty interview --out outputs/data/apps
"""

from typing import Any

from verl_coder.data import (
    Dataset,
    Draft,
    HubSource,
    LoadOptions,
    RawRecord,
    Record,
    RowError,
    parse_json,
    parse_record,
    run_script,
)
from verl_coder.problems import FunctionCase, FunctionTests, StdioCase, StdioTests, TestSuite

MAX_REFERENCES = 3
"""A row has up to hundreds of solutions; verification keeps the first of these that passes."""


class AppsRecord(Record):
    """`solutions` and `input_output` are JSON in a string, or empty; some copies hold the values themselves."""

    problem_id: int
    question: str
    solutions: Any
    input_output: Any
    difficulty: str = "unknown"
    starter_code: str = ""


def to_draft(raw: RawRecord, split: str, options: LoadOptions) -> Draft:
    """One APPS record; its visible examples are in the question."""
    record = parse_record(AppsRecord, raw)
    spec = parse_json("input_output", record.input_output) or {}
    references = parse_json("solutions", record.solutions) or []
    if not isinstance(spec, dict) or not isinstance(references, list):
        raise RowError("column 'input_output' must hold an object and 'solutions' a list")
    inputs, outputs = spec.get("inputs") or [], spec.get("outputs") or []
    if not isinstance(inputs, list) or not isinstance(outputs, list) or len(inputs) != len(outputs):
        raise RowError("column 'input_output': 'inputs' and 'outputs' must be lists of one length")
    if not inputs:
        raise RowError("column 'input_output' holds no tests", code="no_tests")
    name = str(spec.get("fn_name") or "")
    is_class = "class Solution" in record.starter_code
    return Draft(
        problem_id=f"apps/{split}/{record.problem_id:04d}",
        statement=record.question,
        tests=_function_tests(name, is_class, inputs, outputs) if name else _stdio_tests(inputs, outputs),
        references=tuple(str(code) for code in references[:MAX_REFERENCES]),
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
    """Two readings where every output is a list of one: the result may be in that list, or be that list."""
    readings = [outputs]
    if all(isinstance(output, list) and len(output) == 1 for output in outputs):
        readings.insert(0, [output[0] for output in outputs])
    return tuple(
        FunctionTests(
            entry_point=name,
            class_name="Solution" if is_class else None,
            tests=tuple(
                FunctionCase(args=tuple(args) if isinstance(args, list) else (args,), expected=expected)
                for args, expected in zip(inputs, reading, strict=True)
            ),
        )
        for reading in readings
    )


def _text(value: Any) -> str:
    """A few rows hold a list of lines instead of a text."""
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
