"""Problem, test suites and the Parquet row: the only owner of the schema.

A row is verl's: `data_source, agent_name, prompt, ability, reward_model, extra_info`. The tests travel as a
JSON string in `reward_model.ground_truth`, so that every dataset has one Arrow type and files concatenate.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal, get_args

import pyarrow as pa

from verl_coder import json_text
from verl_coder.errors import DataError
from verl_coder.sandbox.validate import MAX_MEMORY_MB, MAX_TIMEOUT_S

Style = Literal["assert", "stdio", "function", "check", "pytest"]
Difficulty = Literal["easy", "medium", "hard", "unknown"]
DIFFICULTIES: tuple[str, ...] = get_args(Difficulty)
"""In the order in which they are shown."""
Message = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class TestSuite:
    """The hidden tests of one problem; one subclass per style. None = the grader's default limit."""

    __test__ = False  # not a pytest class
    style: ClassVar[Style]
    timeout_s: float | None = None
    """Wall time of a test."""
    load_timeout_s: float | None = None
    """Wall time until the solution is loaded: an answer that calls itself at its end may hang there."""
    memory_mb: int | None = None
    classes: tuple[str, ...] | None = None
    """Names that are classes in the reference solution; None: there is none, and how the tests use a name tells."""
    defines: tuple[str, ...] | None = None
    """Names that a library has, too, of functions and variables of the reference solution (`cache`, `count`)."""

    def __len__(self) -> int:
        """Number of tests that a report counts."""
        raise NotImplementedError

    def to_json(self) -> str:
        """The `ground_truth` string of a row: its fields by their names, what is in a test in its own order."""
        fields = {k: v for k, v in asdict(self).items() if v is not None or k == "class_name"}
        content = dict(sorted({"style": self.style, **fields}.items()))
        text = json_text.dumps(content, ensure_ascii=False)
        # A lone surrogate stays what it is, but no file could hold it unless it is escaped.
        return json_text.dumps(content) if _LONE_SURROGATE.search(text) else text


_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True, kw_only=True)
class AssertTests(TestSuite):
    """Statements such as `assert f(1) == 2`, run after the solution; `setup` runs between the two (MBPP)."""

    style = "assert"
    tests: tuple[str, ...]
    setup: str = ""
    entry_point: str = ""

    def __len__(self) -> int:
        return len(self.tests)


@dataclass(frozen=True, kw_only=True)
class StdioCase:
    """One run of a program: the text on its stdin and the text expected on its stdout."""

    input: str
    output: str


@dataclass(frozen=True, kw_only=True)
class StdioTests(TestSuite):
    """A whole program, fed on stdin and compared on stdout (APPS, competitions)."""

    style = "stdio"
    tests: tuple[StdioCase, ...]

    def __len__(self) -> int:
        return len(self.tests)


@dataclass(frozen=True, kw_only=True)
class FunctionCase:
    """One call: positional arguments and the expected result, as JSON values."""

    args: tuple[Any, ...]
    expected: Any


@dataclass(frozen=True, kw_only=True)
class FunctionTests(TestSuite):
    """Calls of `entry_point`, or of `class_name().entry_point` (APPS call-based, the sample problems)."""

    style = "function"
    entry_point: str
    tests: tuple[FunctionCase, ...]
    class_name: str | None = None

    def __len__(self) -> int:
        return len(self.tests)


@dataclass(frozen=True, kw_only=True)
class CheckTests(TestSuite):
    """`check(candidate)` source, called on the expression `entry_point` (LeetCodeDataset, HumanEval)."""

    style = "check"
    entry_point: str
    check: str
    prelude: str = ""

    def __len__(self) -> int:
        return 1


@dataclass(frozen=True, kw_only=True)
class PytestTests(TestSuite):
    """A pytest module that imports from `solution` (KodCode)."""

    style = "pytest"
    test: str

    def __len__(self) -> int:
        return 1


_SUITES: dict[str, type[TestSuite]] = {
    cls.style: cls for cls in (AssertTests, StdioTests, FunctionTests, CheckTests, PytestTests)
}


def parse_test_suite(ground_truth: str | Mapping[str, Any]) -> TestSuite:
    """The suite in a row's `ground_truth` (a JSON string or its object); DataError says what is wrong."""
    try:
        spec = json_text.loads(ground_truth) if isinstance(ground_truth, str) else ground_truth
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataError(f"ground_truth is not JSON ({error}): {str(ground_truth)[:80]!r}") from error
    style = spec.get("style") if isinstance(spec, Mapping) else spec
    if not isinstance(style, str) or style not in _SUITES:
        raise DataError(f"ground_truth.style is {style!r}; it must be one of {', '.join(_SUITES)}")
    cls = _SUITES[style]
    # A null is what is not said, as a column of structs has it.
    spec = {name: value for name, value in spec.items() if name != "style" and value is not None}
    if isinstance(spec.get("tests"), str | Mapping):
        raise DataError(f"ground_truth of style {style!r}: tests is {spec['tests']!r:.80}; give a list")
    try:
        if cls is StdioTests:
            spec["tests"] = tuple(StdioCase(input=t["input"], output=t["output"]) for t in spec["tests"])
        elif cls is FunctionTests:
            spec["tests"] = tuple(_function_case(test) for test in spec["tests"])
        elif cls is AssertTests:
            spec["tests"] = tuple(spec["tests"])
        for field_name in ("classes", "defines"):
            if spec.get(field_name) is not None:
                spec[field_name] = tuple(map(str, spec[field_name]))
        suite = cls(**spec)
    except (KeyError, TypeError) as error:
        raise DataError(f"ground_truth of style {cls.style!r} lacks or has a wrong field: {error}") from error
    if len(suite) == 0:
        raise DataError(f"ground_truth of style {cls.style!r} has no tests")
    _check_kinds(suite)
    return suite


def _function_case(test: Mapping[str, Any]) -> FunctionCase:
    if isinstance(test["args"], str | Mapping):
        raise TypeError(f"args is {test['args']!r:.80}, no list")
    return FunctionCase(args=tuple(test["args"]), expected=test["expected"])


def _check_kinds(suite: TestSuite) -> None:
    """DataError for the first value of another kind than its field's: JSON holds any."""
    place = f"ground_truth of style {suite.style!r}"
    texts = {
        name: getattr(suite, name)
        for name in ("entry_point", "class_name", "setup", "prelude", "check", "test")
        if getattr(suite, name, None) is not None
    }
    if isinstance(suite, AssertTests):
        texts |= {f"tests[{index}]": test for index, test in enumerate(suite.tests)}
    elif isinstance(suite, StdioTests):
        texts |= {f"tests[{index}].input": case.input for index, case in enumerate(suite.tests)}
        texts |= {f"tests[{index}].output": case.output for index, case in enumerate(suite.tests)}
    for name, text in texts.items():
        if not isinstance(text, str):
            raise DataError(f"{place}: {name} is {text!r:.80}; give a text")
    for name, (most, kind) in _LIMITS.items():
        limit = getattr(suite, name)
        if limit is None:
            continue
        good = json_text.is_number(limit) and 0 < limit <= most and (kind == "number" or limit % 1 == 0)
        if not good:
            raise DataError(
                f"{place}: {name} is {limit!r:.80}; give a {kind} above 0, at most {most:.0f}, or null"
            )


_LIMITS = {
    "timeout_s": (MAX_TIMEOUT_S / 3, "number"),
    "load_timeout_s": (MAX_TIMEOUT_S / 3, "number"),
    "memory_mb": (MAX_MEMORY_MB, "whole number"),
}
"""Most that a sandbox takes, which gives loading and a test one time together, and what may follow them."""


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One programming problem, with everything that a row holds."""

    data_source: str
    problem_id: str
    prompt: tuple[Message, ...]
    tests: TestSuite
    split: str
    index: int = 0
    difficulty: Difficulty = "unknown"
    pass_rate: float | None = None
    """Measured difficulty: share of a given model's samples that passed, in [0, 1]; None = not measured."""
    entry_point: str = ""
    starter_code: str = ""
    reference_solution: str = ""
    agent_name: str = "tool_agent"
    tool_prelude: str = field(default="")
    """Code that the tools run before the model's (helpers, the visible example as `check`)."""
    tags: tuple[str, ...] = ()
    """Topics or origin, in the dataset's own words; evaluations are told apart by them."""
    date: str = ""
    """Day of publication, YYYY-MM-DD; empty where the dataset does not say."""
    group: str = ""
    """Name of the one problem that several rows pose (`mbpp/601` of MBPP and of MBPP+); empty: the row's own id."""

    def to_row(self) -> dict[str, Any]:
        """The Parquet row."""
        return {
            "data_source": self.data_source,
            "agent_name": self.agent_name,
            "prompt": [dict(message) for message in self.prompt],
            "ability": "code",
            "reward_model": {"style": "rule", "ground_truth": self.tests.to_json()},
            "extra_info": {
                "split": self.split,
                "index": self.index,
                "problem_id": self.problem_id,
                "difficulty": self.difficulty,
                "pass_rate": self.pass_rate,
                "entry_point": self.entry_point,
                "starter_code": self.starter_code,
                "reference_solution": self.reference_solution,
                "tools_kwargs": {"prelude": self.tool_prelude},
                "need_tools_kwargs": True,
                "tags": list(self.tags),
                "date": self.date,
                "group": self.group,
            },
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> "Problem":
        """The problem in a Parquet row; DataError names the column that is missing or wrong."""
        try:
            info = row["extra_info"]
            if not isinstance(info["problem_id"], str) or not info["problem_id"]:
                raise DataError(f"extra_info.problem_id is {info['problem_id']!r}; give it a text")
            _check_texts(row)
            rate = info.get("pass_rate")
            return cls(
                data_source=row["data_source"],
                agent_name=row.get("agent_name") or "tool_agent",
                prompt=tuple(dict(message) for message in row["prompt"]),
                tests=parse_test_suite(row["reward_model"]["ground_truth"]),
                split=info["split"],
                index=int(info["index"]),
                problem_id=info["problem_id"],
                difficulty=info["difficulty"] or "unknown",
                pass_rate=None if rate != rate else rate,  # NaN is not measured, too
                entry_point=info["entry_point"] or "",
                starter_code=info["starter_code"] or "",
                reference_solution=info["reference_solution"] or "",
                tool_prelude=(info.get("tools_kwargs") or {}).get("prelude") or "",
                tags=tuple(str(tag) for tag in info.get("tags") or ()),
                date=str(info.get("date") or ""),
                group=str(info.get("group") or ""),
            )
        except KeyError as error:
            raise DataError(f"row lacks {error}; its columns are {', '.join(row)}") from error
        except (TypeError, ValueError, AttributeError) as error:
            raise DataError(f"a column has another type than `data prepare` writes ({error})") from error


def _check_texts(row: Mapping[str, Any]) -> None:
    """DataError for the first text of a row that is none, where nothing can stand for it."""
    texts = {"data_source": row["data_source"], "extra_info.split": row["extra_info"]["split"]}
    for place, message in enumerate(row["prompt"]):
        texts |= {f"prompt[{place}].{name}": message.get(name) for name in ("role", "content")}
    for name, text in texts.items():
        if not isinstance(text, str):
            raise DataError(f"{name} is {text!r:.80}; give it a text")


ROW_SCHEMA = pa.schema(
    [
        ("data_source", pa.string()),
        ("agent_name", pa.string()),
        ("prompt", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ("ability", pa.string()),
        ("reward_model", pa.struct([("style", pa.string()), ("ground_truth", pa.string())])),
        (
            "extra_info",
            pa.struct(
                [
                    ("split", pa.string()),
                    ("index", pa.int64()),
                    ("problem_id", pa.string()),
                    ("difficulty", pa.string()),
                    ("pass_rate", pa.float64()),
                    ("entry_point", pa.string()),
                    ("starter_code", pa.string()),
                    ("reference_solution", pa.string()),
                    ("tools_kwargs", pa.struct([("prelude", pa.string())])),
                    ("need_tools_kwargs", pa.bool_()),
                    ("tags", pa.list_(pa.string())),
                    ("date", pa.string()),
                    ("group", pa.string()),
                ]
            ),
        ),
    ]
)
"""Arrow type of a row, the same for every dataset."""
