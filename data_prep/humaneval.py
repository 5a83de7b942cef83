"""HumanEval (https://arxiv.org/abs/2107.03374) and HumanEval+, for evaluation and decontamination only.

python data_prep/humaneval.py --source HumanEval.jsonl.gz --out outputs/data/humaneval
"""

import ast

from verl_coder.data import (
    Code,
    Dataset,
    Draft,
    HubSource,
    LoadOptions,
    RawRecord,
    Record,
    RowError,
    can_fail,
    defined_names,
    parse_python,
    parse_record,
    run_script,
)
from verl_coder.problems import CheckTests

PLUS_TIMEOUT_S = 30.0
"""A whole HumanEval+ script is one test, with about a thousand inputs."""


class HumanEvalRecord(Record):
    """`prompt` is the head of a program: imports, helpers, and the function's signature and docstring."""

    task_id: str
    prompt: str
    canonical_solution: Code
    test: Code
    entry_point: str


def to_draft(raw: RawRecord, split: str, options: LoadOptions) -> Draft:
    """The docstring is the statement and the prompt the starter code; the reference is the two joined."""
    record = parse_record(HumanEvalRecord, raw)
    if not can_fail(record.test):
        raise RowError("column 'test' asserts nothing", code="no_tests")
    name, timeout_s = ("humanevalplus", PLUS_TIMEOUT_S) if options.variant == "plus" else ("humaneval", None)
    tests = CheckTests(
        entry_point=record.entry_point, check=record.test, prelude=_preamble(record), timeout_s=timeout_s
    )
    number = record.task_id.removeprefix("HumanEval/")
    return Draft(
        problem_id=f"{name}/{number}",
        group=f"humaneval/{number}",
        statement=_docstring(record) or record.prompt,
        tests=(tests,),
        references=(_program(record),),
        split="test",
        entry_point=record.entry_point,
        starter_code=record.prompt,
        tool_prelude=_preamble(record),
    )


def _preamble(record: HumanEvalRecord) -> str:
    """What the prompt gives before the function: an answer that is the function alone finds it, in tests and tools."""
    tree = parse_python(record.prompt)
    before = []
    for node in tree.body if tree else []:
        if isinstance(node, ast.FunctionDef) and node.name == record.entry_point:
            break
        before.append(ast.unparse(node))
    return "\n".join(before)


def _program(record: HumanEvalRecord) -> str:
    """The reference: the prompt and the body, or, in some copies, the whole function."""
    if record.entry_point in defined_names(record.canonical_solution):
        return f"{_preamble(record)}\n{record.canonical_solution}"
    return record.prompt + record.canonical_solution


def _docstring(record: HumanEvalRecord) -> str:
    tree = parse_python(f"{record.prompt}    pass\n") or parse_python(_program(record))
    for node in tree.body if tree else []:
        if isinstance(node, ast.FunctionDef) and node.name == record.entry_point:
            return ast.get_docstring(node) or ""
    return ""


DATASET = Dataset(
    name="humaneval",
    license="MIT",
    sources={
        "all": HubSource(repo="openai/openai_humaneval", patterns=("openai_humaneval/*.parquet",)),
        "plus": HubSource(repo="evalplus/humanevalplus", patterns=("data/*.parquet",)),
    },
    to_draft=to_draft,
    has_difficulties=False,
    has_training_rows=False,
    example_records={
        "all": {
            "task_id": "HumanEval/0",
            "prompt": 'def double(n: int) -> int:\n    """Return twice n.\n    >>> double(2)\n    4\n    """\n',
            "canonical_solution": "    return 2 * n\n",
            "test": "def check(candidate):\n    assert candidate(2) == 4\n    assert candidate(0) == 0\n",
            "entry_point": "double",
        },
        "plus": {
            "task_id": "HumanEval/1",
            "prompt": 'def triple(n: int) -> int:\n    """Return three times n.\n    >>> triple(2)\n    6\n    """\n',
            "canonical_solution": "    return 3 * n\n",
            "test": "def same(out, exp, atol):\n    assert abs(out - exp) <= atol\n\n"
            "def check(candidate):\n    inputs = [[2], [0]]\n    results = [6, 0]\n"
            "    for inp, exp in zip(inputs, results):\n        same(candidate(*inp), exp, 0)\n",
            "entry_point": "triple",
        },
    },
)

if __name__ == "__main__":
    run_script(DATASET)
