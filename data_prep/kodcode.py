"""KodCode (https://arxiv.org/abs/2503.02951): synthetic problems whose tests are pytest modules.

python data_prep/kodcode.py --source KodCode-Light-RL-10K --out outputs/data/kodcode
"""

import re

from pydantic import AliasChoices, Field

from verl_coder.data import (
    Code,
    Dataset,
    Draft,
    Entries,
    HubSource,
    Label,
    LoadOptions,
    RawRecord,
    Record,
    RowError,
    can_fail,
    defined_names,
    import_from_solution,
    parse_record,
    run_script,
    tested_name,
)
from verl_coder.problems import PytestTests

_STYLE = re.compile(r"_[ICO]$")
"""The last letter of an id: the same problem as an instruction, as code to complete, as of an online judge.

A group has the name of the first: so it is dealt to a split as that one would be alone.
"""


class KodCodeRecord(Record):
    """The tests are in `test`, or in `test_code` in the demo's files; `test_info` may be null."""

    question_id: str
    question: str
    solution: Code
    test: Code = Field(validation_alias=AliasChoices("test", "test_code"))
    test_info: Entries = Field(default_factory=list)
    gpt_difficulty: Label = "unknown"


def to_draft(raw: RawRecord, split: str, options: LoadOptions) -> Draft:
    """One record; about a quarter of the tests lack the import from `solution`, which is put first."""
    record = parse_record(KodCodeRecord, raw)
    if not can_fail(record.test):
        raise RowError("column 'test' asserts nothing", code="no_tests")
    defined = defined_names(record.solution)
    # An entry may name a method of the solution's class, or what the solution does not have.
    info = [entry for entry in record.test_info if entry.get("function_name") in defined]
    declarations = [str(entry.get("function_declaration") or "").rstrip() for entry in info]
    starter_code = "\n\n".join(f"{line}\n    ..." for line in declarations if line.startswith("def "))
    names = [str(entry["function_name"]) for entry in info]
    entry_point = names[0] if names else tested_name(record.solution, record.test)
    test = import_from_solution(record.test, record.solution, names)
    return Draft(
        problem_id=f"kodcode/{record.question_id}",
        group=f"kodcode/{_STYLE.sub('_I', record.question_id)}",
        statement=record.question,
        tests=(PytestTests(test=test),),
        references=(record.solution,),
        difficulty=record.gpt_difficulty,
        entry_point=entry_point,
        starter_code=starter_code,
    )


DATASET = Dataset(
    name="kodcode",
    license="CC-BY-NC-4.0",
    sources={
        "light-rl-10k": HubSource(repo="KodCode/KodCode-Light-RL-10K", patterns=("data/*.parquet",)),
        "v1": HubSource(repo="KodCode/KodCode-V1", patterns=("data/*.parquet",)),
    },
    to_draft=to_draft,
    example_records={
        "light-rl-10k": {
            "style": "instruct",
            "subset": "Prefill",
            "question_id": "Prefill_1_I",
            "question": "Write a function that doubles a number.",
            "solution": "def double(n):\n    return 2 * n",
            "test": "def test_double():\n    assert double(2) == 4\n    assert double(0) == 0",
            "test_info": [{"function_name": "double", "function_declaration": "def double(n):"}],
            "gpt_difficulty": "easy",
        },
    },
)

if __name__ == "__main__":
    run_script(DATASET)
