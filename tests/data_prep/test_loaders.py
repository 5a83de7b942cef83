"""What each loader makes of the peculiarities of its dataset."""

import base64
import json
import pickle
import zlib
from typing import Any

import pytest

from verl_coder.data import RowError
from verl_coder.data.dataset import Draft, LoadOptions, load_dataset_file
from verl_coder.problems import AssertTests, CheckTests, FunctionTests, PytestTests, StdioTests
from verl_coder.prompts import visible_tests_of


def draft(
    name: str, example: str, split: str = "train", visible_tests: int | None = None, **changes: Any
) -> Draft:
    dataset = load_dataset_file(name)
    record = {**dataset.example_records[example], **changes}
    return dataset.to_draft(record, split, LoadOptions(variant=example, visible_tests=visible_tests))


def test_mbpp_holds_out_the_papers_test_ids() -> None:
    splits = {number: draft("mbpp", "full", task_id=number).split for number in (10, 11, 510, 511, 974)}
    assert splits == {10: None, 11: "test", 510: "test", 511: None, 974: None}


def test_mbpp_set_up_runs_after_the_solution_and_line_ends_are_unix() -> None:
    made = draft("mbpp", "full", test_setup_code="root = Node(1)\r\n", code="class Node:\r\n  pass\r\n")
    [tests] = made.tests
    assert isinstance(tests, AssertTests) and tests.setup == "root = Node(1)"
    assert made.references == ("class Node:\n  pass\n",)


def test_records_that_pose_one_problem_in_several_ways_are_of_one_group() -> None:
    styles = [draft("kodcode", "light-rl-10k", question_id=f"Prefill_1_{style}") for style in "ICO"]
    assert [made.group for made in styles] == ["kodcode/Prefill_1_I"] * 3
    assert len({made.problem_id for made in styles}) == 3
    assert draft("kodcode", "light-rl-10k", question_id="Prefill_12").group == "kodcode/Prefill_12"
    assert draft("mbpp", "plus").group == draft("mbpp", "full", task_id=603).problem_id
    assert evalplus().group == "mbpp/3"
    assert draft("humaneval", "plus", task_id="HumanEval/0").group == draft("humaneval", "all").problem_id


def test_mbpp_shows_its_three_asserts_or_as_many_as_asked() -> None:
    assert len(draft("mbpp", "full").examples) == 3
    assert len(draft("mbpp", "full", visible_tests=1).examples) == 1
    assert len(draft("mbpp", "full", visible_tests=1).tests[0]) == 3


def test_mbpp_visible_tests_stand_behind_what_they_need() -> None:
    setup = "root = Node(1)\r\nroot.left = Node(2)"
    made = draft("mbpp", "full", test_setup_code=setup, visible_tests=2)
    assert made.examples == ("root = Node(1)\nroot.left = Node(2)", *made.tests[0].tests[:2])  # type: ignore[attr-defined]
    assert made.tool_prelude == "" and made.as_stub() is None
    assert draft("mbpp", "full", test_setup_code=setup, visible_tests=0).examples == ()
    [tests] = draft("mbpp", "sanitized").tests
    assert draft("mbpp", "sanitized").tool_prelude == tests.setup == "import math"  # type: ignore[attr-defined]
    assert (
        draft("mbpp", "plus", test_imports=["import math", "import re"]).tool_prelude
        == "import math\nimport re"
    )
    released = {
        "task_id": "Mbpp/603",
        "prompt": "Double it.",
        "entry_point": "double",
        "plus_input": [],
        "canonical_solution": "def double(n):\n    return 2 * n\n",
        "base_input": [[2]],
        "atol": 0,
        "assertion": "import math\nassert math.isclose(double(2), 4)",
    }
    made = draft("mbpp", "plus", **released)
    assert (made.tool_prelude, made.examples) == ("import math", ("assert math.isclose(double(2), 4)",))
    assert draft("mbpp", "plus", **{**released, "assertion": made.examples[0]}).tool_prelude == "import math"


def test_mbpp_plus_script_runs_on_the_candidate_it_is_given() -> None:
    [tests] = draft("mbpp", "plus").tests
    assert isinstance(tests, CheckTests)
    namespace: dict[str, Any] = {}
    exec(tests.check, namespace)
    namespace["check"](lambda n: 2 * n)
    with pytest.raises(AssertionError):
        namespace["check"](lambda n: n + 2)


def evalplus(**changes: Any) -> Draft:
    record = {
        "task_id": "Mbpp/3",
        "prompt": '"""\nWrite a function to halve a number.\n"""',
        "entry_point": "halve",
        "canonical_solution": "def halve(n):\n    return n / 2",
        "base_input": [[4]],
        "plus_input": [[5], ["text"]],
        "atol": 0,
        "assertion": "assert halve(4) == 2",
        **changes,
    }
    return load_dataset_file("mbpp").to_draft(record, "train", LoadOptions(variant="plus"))


def test_evalplus_own_file_compares_with_the_canonical_solution() -> None:
    made = evalplus()
    [tests] = made.tests
    assert made.statement == "Write a function to halve a number." and isinstance(tests, CheckTests)
    namespace: dict[str, Any] = {}
    exec(tests.check, namespace)
    namespace["check"](lambda n: n * 0.5)
    with pytest.raises(AssertionError, match=r"halve\(\*\[5\]\) is 2, expected 2\.5"):
        namespace["check"](lambda n: n // 2)


def test_apps_difficulty_and_test_split() -> None:
    assert draft("apps", "all", split="test").split == "test"
    assert draft("apps", "all", split="train").split is None
    assert draft("apps", "all", split="test").problem_id != draft("apps", "all", split="train").problem_id


def test_apps_programs_and_functions() -> None:
    [program] = draft("apps", "all").tests
    assert isinstance(program, StdioTests) and program.tests[0].output == "10\n"
    first, second = draft("apps", "call-based").tests
    assert isinstance(first, FunctionTests) and isinstance(second, FunctionTests)
    assert (first.class_name, first.entry_point) == ("Solution", "double")
    assert (first.tests[0].args, first.tests[0].expected, second.tests[0].expected) == ((5,), 10, [10])


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"input_output": ""}, "no_tests", "holds no tests"),
        ({"input_output": '{"inputs": [], "outputs": []}'}, "no_tests", "holds no tests"),
        ({"input_output": '{"inputs": ["1"'}, "bad_row", "'input_output' is not JSON"),
        ({"input_output": '{"inputs": ["1"], "outputs": []}'}, "bad_row", "lists of one length"),
        ({"solutions": "[oops"}, "bad_row", "'solutions' is not JSON"),
        ({"input_output": {"inputs": [None], "outputs": ["1"]}}, "bad_row", "an input or an output is null"),
        ({"input_output": {"inputs": ["1"], "outputs": [None]}}, "bad_row", "an input or an output is null"),
    ],
)
def test_apps_bad_columns_are_named(changes: dict[str, str], code: str, message: str) -> None:
    with pytest.raises(RowError, match=message) as caught:
        draft("apps", "all", **changes)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("changes", "problem_id"),
    [
        ({"problem_id": "0012"}, "apps/train/0012"),
        ({"problem_id": 12.0}, "apps/train/0012"),
        ({"problem_id": None, "id": 12}, "apps/train/0012"),
        ({"id": 7}, "apps/train/0012"),
    ],
)
def test_apps_number_is_in_one_of_two_columns(changes: dict[str, Any], problem_id: str) -> None:
    assert draft("apps", "all", **changes).problem_id == problem_id


def test_apps_without_a_number_has_an_id_by_its_question() -> None:
    first, again = draft("apps", "all", problem_id=None), draft("apps", "all", problem_id=None)
    other = draft("apps", "all", problem_id=None, question="Another.")
    assert first.problem_id == again.problem_id != other.problem_id


def test_apps_arguments_may_be_lines_of_json_or_one_text() -> None:
    spec = {"fn_name": "f", "inputs": ["[1, 2]\n3"], "outputs": ["6"]}
    readings = draft("apps", "all", input_output=spec).tests
    cases = [reading.tests[0] for reading in readings]  # type: ignore[attr-defined]
    assert [(case.args, case.expected) for case in cases] == [(([1, 2], 3), 6), (("[1, 2]\n3",), "6")]
    [only] = draft("apps", "all", input_output={**spec, "inputs": ["a b"]}).tests
    assert only.tests[0].args == ("a b",)  # type: ignore[attr-defined]


def test_apps_columns_may_be_pythons_repr() -> None:
    spec = {"inputs": ["5\n"], "outputs": ["10\n"]}
    made = draft("apps", "all", input_output=repr(spec), solutions=repr(["print(10)"]))
    assert made.references == ("print(10)",) and len(made.tests[0]) == 1


@pytest.mark.parametrize(
    "stored", ["x = 1\nprint(x)", "```python\nx = 1\nprint(x)\n```", '"x = 1\\nprint(x)"']
)
def test_apps_only_solution_may_be_a_text(stored: str) -> None:
    [code] = draft("apps", "all", solutions=stored).references
    assert code.strip() == "x = 1\nprint(x)"


def test_apps_solutions_of_another_python_are_passed_over() -> None:
    others = [f"print {number}" for number in range(20)]
    assert draft("apps", "all", solutions=[*others, "print(1)"]).references == ("print(1)",)
    assert draft("apps", "all", solutions=others).references == ("print 0",)
    assert draft("apps", "all", solutions=["", None, "print(1)"]).references == ("print(1)",)


def test_mbpp_without_tests_is_left_out() -> None:
    for stored in ([], "", "[]", ["# nothing"]):
        with pytest.raises(RowError) as caught:
            draft("mbpp", "full", test_list=stored)
        assert caught.value.code == "no_tests"


def test_mbpp_whose_tests_assert_nothing_is_left_out() -> None:
    with pytest.raises(RowError, match="'test_list' asserts nothing") as caught:
        draft("mbpp", "full", test_list=["double(2)", "print(double(3))"])
    assert caught.value.code == "no_tests"
    helper = "def same(a, b):\n    assert a == b"
    assert draft("mbpp", "full", test_list=["same(double(2), 4)"], test_setup_code=helper).tests


def test_kodcode_entry_that_names_a_method_is_passed_over() -> None:
    made = draft(
        "kodcode",
        "light-rl-10k",
        solution="class Stack:\n    def push(self, x): ...\n",
        test="def test_it():\n    assert Stack().push(1) is None",
        test_info={"function_name": "push", "function_declaration": "def push(self, x):"},
    )
    assert made.tests[0].test.startswith("from solution import Stack\n")  # type: ignore[attr-defined]
    assert (made.entry_point, made.starter_code) == ("Stack", "")


def test_humaneval_solution_may_be_the_whole_function_in_a_fence() -> None:
    prompt = 'import math\ndef f(x):\n    """Do it."""\n'
    code = f"```python\n{prompt}    return math.pi\n```"
    made = draft("humaneval", "all", prompt=prompt, entry_point="f", canonical_solution=code)
    assert made.references == (f"import math\n{prompt}    return math.pi\n",) and made.statement == "Do it."


def test_humaneval_check_may_raise_without_assert() -> None:
    test = "def check(candidate):\n    if candidate(2) != 4:\n        raise Exception"
    assert draft("humaneval", "all", test=test).tests
    with pytest.raises(RowError, match="asserts nothing"):
        draft("humaneval", "all", test="def check(candidate):\n    candidate(2)")


def test_apps_without_solutions_still_loads_for_evaluation() -> None:
    assert draft("apps", "all", solutions="").references == ()


@pytest.mark.parametrize("version", ["v0.2.0", "v2"])
def test_leetcode_old_and_new_columns_say_the_same(version: str) -> None:
    new, old = draft("leetcode", "v0.3.1"), draft("leetcode", version)
    assert new.statement.strip() == old.statement.strip()
    assert new.starter_code.strip() == old.starter_code.strip()
    assert new.tests == old.tests and new.difficulty == old.difficulty == "Easy"
    assert old.references == new.references and old.tool_prelude == "from typing import *\n"


def test_leetcode_v2_rows_say_which_split_they_are_of() -> None:
    assert draft("leetcode", "v2").split == "test"


def test_leetcode_own_test_file_is_held_out() -> None:
    assert draft("leetcode", "v0.3.1", split="test").split == "test"


def test_leetcode_without_a_statement_is_left_out() -> None:
    text = "English description is not available for the problem. Please switch to Chinese."
    with pytest.raises(RowError) as caught:
        draft("leetcode", "v0.3.1", problem_description=text)
    assert caught.value.code == "no_statement"


def test_kodcode_tests_get_the_import_that_they_lack_and_only_then() -> None:
    [tests] = draft("kodcode", "light-rl-10k").tests
    assert isinstance(tests, PytestTests) and tests.test.startswith("from solution import double\n")
    own = "from solution import double\n\ndef test_it():\n    assert double(1) == 2"
    [tests] = draft("kodcode", "light-rl-10k", test=own).tests
    assert isinstance(tests, PytestTests) and tests.test == own


def test_kodcode_without_test_info_imports_what_the_tests_use() -> None:
    made = draft("kodcode", "light-rl-10k", test_info=None)
    assert made.tests[0].test.startswith("from solution import double\n")  # type: ignore[attr-defined]
    assert made.entry_point == "double"


def test_humaneval_gives_what_the_prompt_gives_before_the_function() -> None:
    prompt = 'import math\ndef half(x):\n    return x / 2\ndef f(x):\n    """Do it."""\n'
    [tests] = draft(
        "humaneval", "all", prompt=prompt, entry_point="f", canonical_solution="    return x\n"
    ).tests
    assert isinstance(tests, CheckTests)
    assert tests.prelude == "import math\ndef half(x):\n    return x / 2"


def test_humaneval_statement_is_the_docstring() -> None:
    made = draft("humaneval", "all")
    assert made.statement.startswith("Return twice n.") and "def double" not in made.statement
    assert made.split == "test"


def test_livecodebench_private_cases_may_be_packed() -> None:
    cases = [{"input": "3\n", "output": "6\n", "testtype": "stdin"}]
    packed = base64.b64encode(zlib.compress(pickle.dumps(json.dumps(cases)))).decode()
    [tests] = draft("livecodebench", "all", private_test_cases=packed).tests
    assert isinstance(tests, StdioTests) and [case.output for case in tests.tests] == ["2\n", "6\n"]


@pytest.mark.parametrize("private", [None, "", "[]", []])
def test_livecodebench_without_private_cases_is_left_out(private: Any) -> None:
    with pytest.raises(RowError, match="'private_test_cases' holds no tests") as caught:
        draft("livecodebench", "all", private_test_cases=private)
    assert caught.value.code == "no_tests"


def test_livecodebench_functions_take_one_json_value_a_line() -> None:
    cases = json.dumps([{"input": "[1, 2]\n3", "output": "true", "testtype": "functional"}])
    [tests] = draft(
        "livecodebench",
        "all",
        public_test_cases="[]",
        private_test_cases=cases,
        metadata='{"func_name": "f"}',
        starter_code="class Solution:\n    def f(self, xs, k):",
    ).tests
    assert isinstance(tests, FunctionTests) and tests.tests[0].args == ([1, 2], 3)
    assert tests.tests[0].expected is True and tests.class_name == "Solution"


@pytest.mark.parametrize(
    ("testtype", "style"), [("functional", "function"), (None, "function"), ("stdin", "stdio")]
)
def test_livecodebench_method_of_the_starter_code_is_called(testtype: str | None, style: str) -> None:
    case = {"input": "1", "output": "True"} | ({"testtype": testtype} if testtype else {})
    made = draft(
        "livecodebench",
        "all",
        public_test_cases=[],
        private_test_cases=[case],
        starter_code="class Solution:\n    def _own(self): ...\n    def g(self, n: int) -> bool:\n        ",
    )
    assert made.tests[0].style == style
    if style == "function":
        assert made.entry_point == "g" and made.tests[0].tests[0].expected is True  # type: ignore[attr-defined]


def test_livecodebench_pickle_that_asks_for_code_is_refused() -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return print, ("ran",)

    packed = base64.b64encode(zlib.compress(pickle.dumps(Evil()))).decode()
    with pytest.raises(RowError, match=r"asks for builtins\.print"):
        draft("livecodebench", "all", private_test_cases=packed)


def test_humaneval_gives_its_tools_what_stands_before_the_function_as_it_gives_the_tests() -> None:
    prompt = 'from typing import List\n\n\ndef double(n: List[int]):\n    """Twice n."""\n'
    made = draft("humaneval", "all", prompt=prompt)
    [tests] = made.tests
    assert isinstance(tests, CheckTests) and made.tool_prelude == tests.prelude == "from typing import List"


def test_a_problem_with_asserts_may_be_posed_as_the_head_of_its_function() -> None:
    code = "def helper(n):\n    return n\n\n@cache\ndef double(n: int, times=1) -> int:\n    'Other.'\n    return 2 * n"
    made = draft("mbpp", "full", code=code).as_stub()
    assert made is not None
    assert made.starter_code == (
        "def double(n: int, times=1) -> int:\n"
        '    """ Write a function to double a number.\n'
        "    >>> double(2)\n    4\n    >>> double(0)\n    0\n    >>> double(-3)\n    -6\n"
        '    """\n'
    )
    assert made.tests == draft("mbpp", "full", code=code).tests
    problem = made.problems(data_source="mbpp", split="train", options=LoadOptions(variant="full"))[0]
    humaneval = draft("humaneval", "all")
    other = humaneval.problems(data_source="humaneval", split="test", options=LoadOptions(variant="all"))[0]
    assert visible_tests_of(problem.prompt) == "\n".join(draft("mbpp", "full").examples)
    assert visible_tests_of(other.prompt) == "assert double(2) == 4"
    text, starter = (one.prompt[1]["content"] for one in (problem, other))
    assert text.startswith(made.statement + "\n\nComplete this code:\n```python\ndef double(")
    assert starter.startswith(humaneval.statement + "\n\nComplete this code:\n```python\ndef double(")
    assert made.as_stub() is None  # it is one


@pytest.mark.parametrize(
    "changes",
    [
        {"code": "double = lambda n: 2 * n"},
        {"code": "class double:\n    def double(self, n):\n        return 2 * n"},
        {"test_list": ["assert math.isclose(double(2), 4)"]},
    ],
)
def test_what_has_no_head_or_other_tests_than_values_stays_as_it_is(changes: dict[str, Any]) -> None:
    assert draft("mbpp", "full", **changes).as_stub() is None
