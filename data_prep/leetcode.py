"""LeetCodeDataset (https://arxiv.org/abs/2504.14655), v0.1 to v0.3.1: about 100 tests a problem.

python data_prep/leetcode.py --source LeetCodeDataset-v0.3.1-test.jsonl.gz --out outputs/data/leetcode
"""

from pydantic import Field

from verl_coder.data import (
    Code,
    Dataset,
    Draft,
    HubSource,
    Label,
    Labels,
    LoadOptions,
    RawRecord,
    Record,
    RowError,
    can_fail,
    parse_record,
    run_script,
)
from verl_coder.problems import CheckTests

TIMEOUT_S = 20.0
"""Two reference solutions of the v0.3.1 test file need more than 8 s."""

_NOT_TRANSLATED = "English description is not available"
_OLD_QUERY_MARK = "Please complete the following python code precisely:"


class Meta(Record):
    """What v0.3.1 has in columns: `lang_code` is the starter code. `query` and `split` are v1's and v2's."""

    difficulty: Label = "unknown"
    lang_code: str = ""
    query: str = ""
    split: str = ""


class LeetCodeRecord(Record):
    """`prompt` is code: imports and helpers. `input_output` is never read: some of its outputs are errors."""

    task_id: str
    prompt: str
    completion: Code
    entry_point: str
    test: Code
    query: str = ""
    problem_description: str = ""
    starter_code: str = ""
    difficulty: Label = ""
    tags: Labels = Field(default_factory=list)
    estimated_date: Label = ""
    meta: Meta = Field(default_factory=Meta)


def to_draft(raw: RawRecord, split: str, options: LoadOptions) -> Draft:
    """One record of any version.

    v0.3.1's statement shows its examples, which are few of its about 100 tests. Before v0.3 the examples are
    all the tests there are, so the statement is the one without them, from `query`.
    """
    record = parse_record(LeetCodeRecord, raw)
    statement, starter_code = record.problem_description, record.starter_code or record.meta.lang_code
    if not statement:
        statement, mark, rest = (record.query or record.meta.query).partition(_OLD_QUERY_MARK)
        if not mark:
            raise RowError(f"'problem_description' is missing, and {_OLD_QUERY_MARK!r} in 'query' or 'meta'")
        starter_code = rest.strip().removeprefix("```python").removesuffix("```").strip("\n")
    if statement.startswith(_NOT_TRANSLATED):
        raise RowError(f"the statement is {statement.strip()!r}", code="no_statement")
    if not can_fail(record.test):
        raise RowError("column 'test' asserts nothing", code="no_tests")
    return Draft(
        problem_id=f"leetcode/{record.task_id}",
        statement=statement.replace("\xa0", " "),
        tests=(
            CheckTests(
                prelude=record.prompt,
                entry_point=record.entry_point,
                check=record.test,
                timeout_s=TIMEOUT_S,
            ),
        ),
        references=(record.completion,),
        split="test" if "test" in (split, record.meta.split) else None,
        difficulty=record.difficulty or record.meta.difficulty,
        entry_point=record.entry_point,
        starter_code=starter_code,
        tool_prelude=record.prompt,
        tags=tuple(record.tags),
        date=record.estimated_date,
    )


_EXAMPLE = {
    "task_id": "double",
    "prompt": "from typing import *\n",
    "completion": "class Solution:\n    def double(self, nums: List[int]) -> List[int]:\n        return nums * 2\n",
    "entry_point": "Solution().double",
    "test": "def check(candidate):\n"
    "    assert candidate(nums = [1]) == [1, 1]\n    assert candidate(nums = []) == []\n",
    "input_output": [{"input": "nums = [1]", "output": "Error: never graded from"}],
    "response": "",
}

DATASET = Dataset(
    name="leetcode",
    license="Apache-2.0",
    sources={
        "all": HubSource(
            repo="newfacade/LeetCodeDataset",
            patterns=(
                "LeetCodeDataset*train.jsonl*",
                "LeetCodeDataset*test.jsonl*",
                "LeetCodeDataset-v[12]-*-problems.jsonl*",
            ),
        )
    },
    to_draft=to_draft,
    example_records={
        "v0.3.1": {
            **_EXAMPLE,
            "question_id": 1,
            "difficulty": "Easy",
            "tags": ["Array"],
            "problem_description": "Repeat the list once.",
            "starter_code": "class Solution:\n    def double(self, nums: List[int]) -> List[int]:\n        ",
            "estimated_date": "2024-08-04",
            "query": "",
        },
        "v0.2.0": {
            **_EXAMPLE,
            "query": f"Repeat the list once.\n{_OLD_QUERY_MARK}\n```python\n"
            "class Solution:\n    def double(self, nums: List[int]) -> List[int]:\n```",
            "meta": {"question_id": "1", "difficulty": "Easy", "question_title": "Double", "lang_code": ""},
        },
        "v2": {
            **{
                column: value
                for column, value in _EXAMPLE.items()
                if column not in ("input_output", "response")
            },
            "examples": _EXAMPLE["input_output"],
            "meta": {
                "question_id": 1,
                "difficulty": "Easy",
                "lang_code": "class Solution:\n    def double(self, nums: List[int]) -> List[int]:",
                "question_title": "Repeat the list once.",
                "query": f"Repeat the list once.\n{_OLD_QUERY_MARK}\n```python\n"
                "class Solution:\n    def double(self, nums: List[int]) -> List[int]:\n```",
                "response": "",
                "split": "test",
            },
        },
    },
)

if __name__ == "__main__":
    run_script(DATASET)
