"""LiveCodeBench (https://arxiv.org/abs/2403.07974), for evaluation and decontamination; it has no references.

python data_prep/livecodebench.py --source test6.jsonl --out outputs/data/livecodebench
"""

import base64
import io
import pickle
import re
import zlib
from typing import Any

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
    parse_record,
    parse_value,
    run_script,
)
from verl_coder.problems import FunctionCase, FunctionTests, StdioCase, StdioTests, TestSuite


class LiveCodeBenchRecord(Record):
    """`private_test_cases` is JSON, or base64(zlib(pickle(JSON))); `metadata` holds `func_name`."""

    question_id: str
    question_content: str
    starter_code: str = ""
    difficulty: Label = "unknown"
    platform: Label = ""
    contest_date: Label = ""
    public_test_cases: Any = None
    private_test_cases: Any = None
    metadata: Any = None


_METHOD = re.compile(r"^class Solution\b.*?^\s+def\s+([a-zA-Z]\w*)\s*\(\s*self\b", re.MULTILINE | re.DOTALL)


class _NoClasses(pickle.Unpickler):
    """Unpickles strings: a pickle that asks for a class is no test case and could run code."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"the pickle asks for {module}.{name}")


def to_draft(raw: RawRecord, split: str, options: LoadOptions) -> Draft:
    """One record; the public cases are in the question, and graded with the private ones."""
    record = parse_record(LiveCodeBenchRecord, raw)
    private = _cases("private_test_cases", record)
    if not private:
        raise RowError(
            "column 'private_test_cases' holds no tests: the public ones are shown", code="no_tests"
        )
    cases = [*_cases("public_test_cases", record), *private]
    name = _function_name(record, cases)
    try:
        if any(case["input"] is None or case["output"] is None for case in cases):
            raise ValueError("null")
        tests = _function_tests(name, record, cases) if name else _stdio_tests(cases)
    except (KeyError, TypeError, ValueError) as error:
        raise RowError(f"a test case lacks 'input' or 'output', or they are not JSON ({error})") from error
    return Draft(
        problem_id=f"livecodebench/{record.question_id}",
        statement=record.question_content,
        tests=(tests,),
        split="test",
        difficulty=record.difficulty,
        entry_point=name,
        starter_code=record.starter_code,
        tags=(record.platform,) if record.platform else (),
        date=record.contest_date,
    )


def _function_name(record: LiveCodeBenchRecord, cases: list[dict[str, Any]]) -> str:
    """The function that the cases call: of `metadata`, else the method of the starter code; empty for programs."""
    metadata = parse_json("metadata", record.metadata)
    name = str(metadata.get("func_name") or "") if isinstance(metadata, dict) else ""
    if name or any(case.get("testtype") == "stdin" for case in cases):
        return name
    method = _METHOD.search(record.starter_code)
    return method[1] if method else ""


def _stdio_tests(cases: list[dict[str, Any]]) -> TestSuite:
    return StdioTests(
        tests=tuple(StdioCase(input=str(case["input"]), output=str(case["output"])) for case in cases)
    )


def _function_tests(name: str, record: LiveCodeBenchRecord, cases: list[dict[str, str]]) -> TestSuite:
    """Arguments are values in JSON, one a line; some copies write them as Python does."""
    return FunctionTests(
        entry_point=name,
        class_name="Solution" if "class Solution" in record.starter_code else None,
        tests=tuple(
            FunctionCase(
                # Only "\n" ends a line: a JSON string may hold other line ends of Unicode as they are.
                args=tuple(parse_value(line) for line in case["input"].split("\n") if line.strip()),
                expected=parse_value(case["output"]),
            )
            for case in cases
        ),
    )


def _cases(column: str, record: LiveCodeBenchRecord) -> list[dict[str, Any]]:
    value = getattr(record, column)
    try:
        if isinstance(value, str) and value.strip() and value.lstrip()[:1] not in ("[", "{", '"'):
            value = _unpack(value)
    except (ValueError, zlib.error, pickle.UnpicklingError, EOFError, LookupError, TypeError) as error:
        raise RowError(f"column {column!r} is neither JSON nor base64(zlib(pickle)) ({error})") from error
    cases = parse_json(column, value) or []
    if not isinstance(cases, list) or not all(isinstance(case, dict) for case in cases):
        raise RowError(f"column {column!r} must hold a list of test cases")
    return cases


def _unpack(text: str) -> Any:
    """What is packed: JSON as a rule, in text or in bytes, or the cases themselves."""
    data = zlib.decompress(base64.b64decode(text))
    value = data if data.lstrip()[:1] in (b"[", b"{") else _NoClasses(io.BytesIO(data)).load()
    return value.decode() if isinstance(value, bytes) else value


DATASET = Dataset(
    name="livecodebench",
    license="CC-BY-4.0",
    sources={"all": HubSource(repo="livecodebench/code_generation_lite", patterns=("test*.jsonl",))},
    to_draft=to_draft,
    has_references=False,
    has_training_rows=False,
    example_records={
        "all": {
            "question_title": "Double",
            "question_id": "abc_1",
            "question_content": "Read n and print 2n.",
            "starter_code": "",
            "difficulty": "easy",
            "platform": "atcoder",
            "contest_date": "2024-11-02T00:00:00",
            "public_test_cases": '[{"input": "1\\n", "output": "2\\n", "testtype": "stdin"}]',
            "private_test_cases": '[{"input": "5\\n", "output": "10\\n", "testtype": "stdin"}]',
            "metadata": "{}",
        },
    },
)

if __name__ == "__main__":
    run_script(DATASET)
