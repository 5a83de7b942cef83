"""MBPP (https://arxiv.org/abs/2108.07732): full, sanitized, and MBPP+ with EvalPlus's many more tests.

python data_prep/mbpp.py --source mbpp.jsonl --out outputs/data/mbpp
"""

import json

from pydantic import AliasChoices, Field

from verl_coder.data import (
    Dataset,
    Draft,
    HubSource,
    LoadOptions,
    RawRecord,
    Record,
    parse_record,
    run_script,
    tested_name,
)
from verl_coder.problems import AssertTests, CheckTests

TEST_IDS = range(11, 511)
"""The paper's test split; never trained on, in any variant."""

PLUS_TIMEOUT_S = 30.0
"""A whole MBPP+ script is one test, with about a hundred inputs."""


class MbppRecord(Record):
    """`full` and `sanitized`: the statement is `text` in one and `prompt` in the other."""

    task_id: int
    statement: str = Field(validation_alias=AliasChoices("text", "prompt"))
    code: str
    test_list: list[str]
    test_setup_code: str = ""
    test_imports: list[str] = Field(default_factory=list)


class MbppPlusRecord(Record):
    """evalplus/mbppplus: `test` is a self-contained script."""

    task_id: int
    prompt: str
    code: str
    test_list: list[str]
    test: str


class EvalPlusRecord(Record):
    """EvalPlus's own release file: inputs only, the expected results come from the canonical solution."""

    task_id: str
    prompt: str
    entry_point: str
    canonical_solution: str
    base_input: list[list[object]]
    plus_input: list[list[object]]
    atol: float = 0
    assertion: str


def to_draft(raw: RawRecord, split: str, options: LoadOptions) -> Draft:
    """One record of any of the three variants; which one is told by its columns."""
    if "plus_input" in raw:
        return _evalplus(parse_record(EvalPlusRecord, raw), options)
    if options.variant == "plus" or "test" in raw:
        return _plus(parse_record(MbppPlusRecord, raw), options)
    record = parse_record(MbppRecord, raw)
    code = record.code.replace("\r\n", "\n")
    # The set-up uses the solution's class, so it runs after the solution.
    setup = "\n".join([*record.test_imports, record.test_setup_code]).strip().replace("\r\n", "\n")
    tests = tuple(test.strip() for test in record.test_list)
    entry_point = tested_name(code, "\n".join(tests))
    return Draft(
        problem_id=f"mbpp/{record.task_id}",
        statement=record.statement,
        tests=(AssertTests(tests=tests, setup=setup, entry_point=entry_point),),
        references=(code,),
        split=_split(record.task_id),
        difficulty="easy",
        entry_point=entry_point,
        examples=tests[: options.visible_tests],
    )


def _plus(record: MbppPlusRecord, options: LoadOptions) -> Draft:
    entry_point = tested_name(record.code, "\n".join(record.test_list))
    # The script calls the function by its name; it is a string so that its own indentation stays.
    check = (
        f"SCRIPT = {record.test!r}\n\n\n"
        f"def check(candidate):\n    exec(compile(SCRIPT, 'test', 'exec'), {{{entry_point!r}: candidate}})\n"
    )
    return Draft(
        problem_id=f"mbppplus/{record.task_id}",
        statement=record.prompt,
        tests=(CheckTests(entry_point=entry_point, check=check, timeout_s=PLUS_TIMEOUT_S),),
        references=(record.code,),
        split=_split(record.task_id),
        difficulty="easy",
        entry_point=entry_point,
        examples=tuple(record.test_list[: options.visible_tests]),
    )


_EVALPLUS_CHECK = """
import json
import math

INPUTS = json.loads({inputs!r})
ATOL = {atol!r}
NAMESPACE = {{}}
exec(compile({solution!r}, "canonical", "exec"), NAMESPACE)


def same(got, expected):
    if isinstance(expected, float) or ATOL:
        try:
            return math.isclose(got, expected, rel_tol=1e-7, abs_tol=ATOL or 1e-6) or got == expected
        except TypeError:
            pass
    if isinstance(expected, (list, tuple)) and isinstance(got, (list, tuple)):
        return len(got) == len(expected) and all(map(same, got, expected))
    return got == expected


def fresh(value):
    # A copy as a literal builds it: a list that JSON has read takes more memory, and one solution asks how much.
    if isinstance(value, list):
        return [fresh(item) for item in value][:]
    return {{key: fresh(item) for key, item in value.items()}} if isinstance(value, dict) else value


def check(candidate):
    for args in INPUTS:
        try:
            expected = NAMESPACE[{entry_point!r}](*fresh(args))
        except Exception:
            continue  # JSON has lost a tuple or a set that this input needs
        got = candidate(*fresh(args))
        assert same(got, expected), f"{entry_point}(*{{args!r}}) is {{got!r}}, expected {{expected!r}}"
"""


def _evalplus(record: EvalPlusRecord, options: LoadOptions) -> Draft:
    number = int(record.task_id.removeprefix("Mbpp/"))
    check = _EVALPLUS_CHECK.format(
        inputs=json.dumps(record.base_input + record.plus_input),
        atol=record.atol,
        solution=record.canonical_solution,
        entry_point=record.entry_point,
    )
    examples = tuple(line for line in record.assertion.strip().splitlines() if line.startswith("assert"))
    return Draft(
        problem_id=f"mbppplus/{number}",
        statement=record.prompt.strip().strip("'\"").strip(),
        tests=(CheckTests(entry_point=record.entry_point, check=check.lstrip(), timeout_s=PLUS_TIMEOUT_S),),
        references=(record.canonical_solution,),
        split=_split(number),
        difficulty="easy",
        entry_point=record.entry_point,
        examples=examples[: options.visible_tests],
    )


def _split(task_id: int) -> str | None:
    return "test" if task_id in TEST_IDS else None


DATASET = Dataset(
    name="mbpp",
    license="CC-BY-4.0 (MBPP+: Apache-2.0)",
    sources={
        "full": HubSource(repo="google-research-datasets/mbpp", patterns=("full/*.parquet",)),
        "sanitized": HubSource(repo="google-research-datasets/mbpp", patterns=("sanitized/*.parquet",)),
        "plus": HubSource(repo="evalplus/mbppplus", patterns=("data/*.parquet",)),
    },
    to_draft=to_draft,
    shows_tests=True,
    has_difficulties=False,
    example_records={
        "full": {
            "task_id": 601,
            "text": "Write a function to double a number.",
            "code": "def double(n):\r\n  return 2 * n",
            "test_list": ["assert double(2) == 4", "assert double(0) == 0", "assert double(-3) == -6"],
            "test_setup_code": "",
            "challenge_test_list": [],
        },
        "sanitized": {
            "source_file": "a.ipynb",
            "task_id": 602,
            "prompt": "Write a function to double a number.",
            "code": "def double(n):\n  return 2 * n",
            "test_imports": ["import math"],
            "test_list": ["assert double(2) == 4", "assert math.isclose(double(0.5), 1)"],
        },
        "plus": {
            "task_id": 603,
            "prompt": "Write a function to double a number.",
            "code": "def double(n):\n  return 2 * n",
            "source_file": "a.ipynb",
            "test_imports": [],
            "test_list": ["assert double(2) == 4"],
            "test": "inputs = [[2], [5]]\nfor x in inputs:\n    assert double(*x) == 2 * x[0]",
        },
    },
)

if __name__ == "__main__":
    run_script(DATASET)
