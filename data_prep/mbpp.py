"""MBPP (https://arxiv.org/abs/2108.07732): full, sanitized, and MBPP+ with EvalPlus's many more tests.

python data_prep/mbpp.py --source mbpp.jsonl --out outputs/data/mbpp
"""

import json
from collections.abc import Sequence

from pydantic import AliasChoices, Field

from verl_coder.data import (
    Code,
    Dataset,
    Draft,
    HubSource,
    LoadOptions,
    Number,
    RawRecord,
    Record,
    RowError,
    Statements,
    can_fail,
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

    task_id: Number
    statement: str = Field(validation_alias=AliasChoices("text", "prompt"))
    code: Code
    test_list: Statements
    test_setup_code: str = ""
    test_imports: Statements = Field(default_factory=list)


class MbppPlusRecord(Record):
    """evalplus/mbppplus: `test` is a self-contained script."""

    task_id: Number
    prompt: str
    code: Code
    test_imports: Statements = Field(default_factory=list)
    test_list: Statements
    test: Code


class EvalPlusRecord(Record):
    """EvalPlus's own release file: inputs only, the expected results come from the canonical solution."""

    task_id: Number
    prompt: str
    entry_point: str
    canonical_solution: Code
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
    imports = "\n".join(record.test_imports).strip()
    after = record.test_setup_code.replace("\r\n", "\n").strip()
    setup = f"{imports}\n{after}".strip()
    tests = tuple(test.strip() for test in record.test_list)
    if not tests:
        raise RowError("column 'test_list' holds no tests", code="no_tests")
    if not can_fail("\n".join([setup, *tests])):
        raise RowError("column 'test_list' asserts nothing", code="no_tests")
    entry_point = tested_name(code, "\n".join(tests))
    return Draft(
        problem_id=f"mbpp/{record.task_id}",
        statement=record.statement,
        tests=(AssertTests(tests=tests, setup=setup, entry_point=entry_point),),
        references=(code,),
        split=_split(record.task_id),
        difficulty="easy",
        entry_point=entry_point,
        examples=_shown(tests, options, setup=after),
        tool_prelude=imports,
    )


def _shown(tests: Sequence[str], options: LoadOptions, *, setup: str = "") -> tuple[str, ...]:
    """The visible tests, behind the set-up without which no solution passes them."""
    shown = tuple(tests[: options.visible_tests])
    return (setup, *shown) if setup and shown else shown


def _plus(record: MbppPlusRecord, options: LoadOptions) -> Draft:
    if not can_fail(record.test):
        raise RowError("column 'test' asserts nothing", code="no_tests")
    entry_point = tested_name(record.code, "\n".join(record.test_list))
    # The script calls the function by its name; it is a string so that its own indentation stays.
    check = (
        f"SCRIPT = {record.test!r}\n\n\n"
        f"def check(candidate):\n    exec(compile(SCRIPT, 'test', 'exec'), {{{entry_point!r}: candidate}})\n"
    )
    return Draft(
        problem_id=f"mbppplus/{record.task_id}",
        group=f"mbpp/{record.task_id}",
        statement=record.prompt,
        tests=(CheckTests(entry_point=entry_point, check=check, timeout_s=PLUS_TIMEOUT_S),),
        references=(record.code,),
        split=_split(record.task_id),
        difficulty="easy",
        entry_point=entry_point,
        examples=_shown(record.test_list, options),
        tool_prelude="\n".join(record.test_imports).strip(),
    )


_FORMS: dict[tuple[str, ...], tuple[int, ...]] = {
    ("t",): (
        *(2, 116, 132, 143, 222, 261, 273, 394, 399, 421, 424, 429),
        *(470, 560, 579, 596, 616, 630, 726, 740, 744, 809),
    ),
    ("lt",): (63, 64, 70, 94, 120, 237, 272, 299, 400, 409, 417, 438, 473, 614, 780),
    ("lt", ""): (75, 413, 444, 753),
    ("", "t"): (106, 750),
    ("ls",): (115,),
    ("f", "c"): (124,),
    ("t", ""): (250, 307, 405, 446, 617, 720, 763, 808),
    ("c",): (252,),
    ("tt",): (259, 278, 401, 445),
    ("T",): (580, 615, 791),
    ("dt", ""): (722,),
}
"""What JSON has made lists or texts of, argument by argument; the last goes for all that follow.

A letter a level: `l` list, `d` dict of, `t` tuple, `s` set (an empty one is a dict), `T` tuple with all that is below,
`f` float, `c` complex. What is no list stays as it is below `l`, `d`, `t`, `s` and `T`.
"""

_UNORDERED = {2, 7, 111, 140, 232, 249, 579, 769}
"""Results are compared as sets."""
_FOUND_OR_NOT = {737, 787, 794}
"""The canonical solution returns a match or None: only which of the two counts, and an answer may be a bool."""
_ALSO_RIGHT = {
    558: "def digit_distance_nums(a, b):\n"
    "    width = max(len(str(a)), len(str(b)))\n"
    "    return sum(abs(int(x) - int(y)) for x, y in zip(str(a).zfill(width), str(b).zfill(width)))\n",
    581: "def surface_Area(b, h):\n    return round(b * b + 2 * b * ((b / 2) ** 2 + h * h) ** 0.5)\n",
}
"""A second reading of the statement that EvalPlus accepts: digits that are aligned, the height of the pyramid."""

_EVALPLUS_CHECK = """
import json
import math

INPUTS = json.loads({inputs!r})
FORM = {form!r}
RULE = {rule!r}
ATOL = {atol!r}
CANONICAL = {{"math": math}}
exec(compile({solution!r}, "canonical", "exec"), CANONICAL)
ALSO = {{}}
exec(compile({also!r}, "also", "exec"), ALSO)


def same_number(got, expected):
    try:
        return abs(got - expected) <= (ATOL or 1e-6) + 1e-7 * abs(expected)
    except (TypeError, OverflowError):
        return False


def same(got, expected):
    if RULE == "found or not":
        return (got if isinstance(got, bool) else got is not None) == (expected is not None)
    if RULE == "unordered":
        try:
            return set(got) == set(expected)
        except TypeError:
            return False
    if got == expected:
        return True
    if isinstance(expected, (list, tuple)) and type(got) is type(expected):
        return len(got) == len(expected) and all(map(same, got, expected))
    return bool(isinstance(expected, float) or ATOL) and same_number(got, expected)


def read(value, form):
    # A copy as a literal builds it: a list that JSON has read takes more memory, and one solution asks how much.
    kind, below = form[:1], form[1:]
    if kind in ("f", "c"):
        return float(value) if kind == "f" else complex(value)
    if isinstance(value, dict):
        return {{key: read(item, below) for key, item in value.items()}}
    if not isinstance(value, list):
        return value
    items = [read(item, form if kind == "T" else below) for item in value][:]
    if kind == "s":
        return set(items) if items else {{}}
    return tuple(items) if kind in ("t", "T") else items


def arguments(values):
    return [read(value, FORM[min(place, len(FORM) - 1)]) for place, value in enumerate(values)]


def check(candidate):
    try:
        exec({assertion!r}, dict(CANONICAL))
    except AssertionError:
        raise ValueError("the canonical solution fails the record's own asserts")
    except Exception:
        pass
    compared, reason = 0, None
    for values in INPUTS:
        try:
            expected = CANONICAL[{entry_point!r}](*arguments(values))
        except Exception as error:
            reason = error
            continue
        compared += 1
        got = candidate(*arguments(values))
        if {entry_point!r} in ALSO and not same(got, expected):
            expected = ALSO[{entry_point!r}](*arguments(values))
        assert same(got, expected), f"{entry_point}(*{{values!r}}) is {{got!r}}, expected {{expected!r}}"
    if compared * 2 < len(INPUTS):
        raise ValueError(f"the canonical solution has results for {{compared}} of {{len(INPUTS)}} inputs: {{reason!r}}")
"""


def _evalplus(record: EvalPlusRecord, options: LoadOptions) -> Draft:
    number = record.task_id
    inputs = record.base_input + record.plus_input
    if not inputs:
        raise RowError("columns 'base_input' and 'plus_input' hold no inputs", code="no_tests")
    check = _EVALPLUS_CHECK.format(
        inputs=json.dumps(inputs),
        form=next((form for form, numbers in _FORMS.items() if number in numbers), ("",)),
        rule="unordered" if number in _UNORDERED else "found or not" if number in _FOUND_OR_NOT else "equal",
        atol=record.atol,
        solution=record.canonical_solution,
        also=_ALSO_RIGHT.get(number, ""),
        assertion=record.assertion,
        entry_point=record.entry_point,
    )
    lines = record.assertion.strip().splitlines()
    examples = [line for line in lines if line.startswith("assert")]
    imports = [line for line in lines if line.startswith(("import ", "from "))]
    if "math." in record.assertion and "import math" not in imports:
        imports.append("import math")  # which EvalPlus gives to all
    return Draft(
        problem_id=f"mbppplus/{number}",
        group=f"mbpp/{number}",
        statement=record.prompt.strip().strip("'\"").strip(),
        tests=(CheckTests(entry_point=record.entry_point, check=check.lstrip(), timeout_s=PLUS_TIMEOUT_S),),
        references=(record.canonical_solution,),
        split=_split(number),
        difficulty="easy",
        entry_point=record.entry_point,
        examples=_shown(examples, options),
        tool_prelude="\n".join(imports),
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
