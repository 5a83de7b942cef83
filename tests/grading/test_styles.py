"""Each style, both strengths: right passes, wrong fails, and one bad test does not lose the others."""

# ruff: noqa: E501 - tables of cases

import asyncio
from dataclasses import replace

import pytest

from verl_coder.errors import DataError
from verl_coder.grading import grade
from verl_coder.problems import (
    AssertTests,
    CheckTests,
    FunctionCase,
    FunctionTests,
    PytestTests,
    StdioCase,
    StdioTests,
)


def function_tests(*pairs, **fields):
    cases = tuple(FunctionCase(args=args, expected=expected) for args, expected in pairs)
    return FunctionTests(**{"entry_point": "f", "tests": cases, "timeout_s": 5.0, **fields})


def letters(report):
    return "".join(test.status[0] for test in report.tests)


def test_a_time_out_and_a_crash_cost_only_their_own_test(with_client):
    code = """
import os
def f(n):
    if n == 2:
        while True: pass
    if n == 4:
        os._exit(0)
    if n == 5:
        raise ValueError("five")
    return n
"""
    suite = function_tests(*(((n,), n) for n in range(8)), timeout_s=1.0)
    report = with_client(lambda client: grade(code, suite, client))
    assert (letters(report), report.passed, report.total) == ("pptpeepp", 5, 8)
    assert "five" in report.tests[5].message


def test_statements_go_on_after_a_time_out_too(with_client):
    suite = AssertTests(
        tests=("x = f(1)\nassert x == 1", "x = f(2)\nassert x == 2", "x = f(3)\nassert x == 3"),
        entry_point="f",
        timeout_s=1.0,
    )
    report = with_client(
        lambda client: grade("def f(n):\n    while n == 2: pass\n    return n", suite, client)
    )
    assert letters(report) == "ptp"


def test_after_three_time_outs_the_rest_is_not_run(with_pair_client):
    suite = function_tests(*(((n,), n) for n in range(20)), timeout_s=0.2)
    report = with_pair_client(lambda client: grade("def f(n):\n    while True: pass", suite, client))
    assert (report.outcome, letters(report)) == ("timeout", "ttt" + "n" * 17)


def test_early_stop_runs_nothing_after_the_first_failure(with_client):
    suite = function_tests(((1,), 1), ((2,), 3), ((3,), 3))
    report = with_client(lambda client: grade("def f(n): return n", suite, client, stop_early=True))
    assert (report.outcome, letters(report)) == ("failed", "pfn")


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("", "no_code"),
        ("def f(n) return n", "error"),
        ("def g(n): return n", "error"),
        ("raise SystemExit", "error"),
        ("while True: pass", "timeout"),
    ],
)
def test_a_solution_that_cannot_be_loaded_says_why(code, outcome, with_pair_client, monkeypatch):
    monkeypatch.setattr("verl_coder.grading.plan.LOAD_TIMEOUT_S", 0.5)
    report = with_pair_client(lambda client: grade(code, function_tests(((1,), 1)), client))
    assert (report.outcome, report.passed, report.total) == (outcome, 0, 1)
    assert report.message


def test_a_suite_says_how_long_loading_may_take(with_pair_client):
    tests = replace(function_tests(((1,), 1)), load_timeout_s=0.5)
    report = with_pair_client(lambda client: grade("while True: pass", tests, client))
    assert (report.outcome, report.message) == ("timeout", "the solution was not loaded within 0.5 s")


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ("(1, 2)", [1, 2]),
        ("[(1, 'a'), (2, 'b')]", [[1, "a"], [2, "b"]]),
        ("0.1 + 0.2", 0.3),
        ("[1e9 + 1e-4, float('inf')]", [1e9, float("inf")]),
        ("{1: (2,), 3: []}", {"1": [2], "3": []}),
        ("True", True),
        ("None", None),
        ("2 ** 5000", 2**5000),
        ("'\\ud800 \\x00 é'", "\ud800 \x00 é"),
        ("__import__('collections').Counter('aab')", {"a": 2, "b": 1}),
    ],
)
def test_function_results_compare_as_apps_compares(result, expected, with_pair_client):
    code = f"def f():\n    return {result}"
    report = with_pair_client(
        lambda client: grade(code, function_tests(((), expected), ((), expected)), client)
    )
    assert report.outcome == "passed", report.explain()


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ("[1, 2]", [2, 1]),
        ("{1, 2}", [1, 2]),
        ("'1'", 1),
        ("1.001", 1.0),
        ("[1]", 1),
        ("None", False),
        ("iter([1])", [1]),
    ],
)
def test_function_results_that_differ_fail(result, expected, with_pair_client):
    code = f"def f():\n    return {result}"
    report = with_pair_client(
        lambda client: grade(code, function_tests(((), expected), ((), expected)), client)
    )
    assert report.outcome == "failed", report.explain()


def test_a_wrapped_expected_value_counts_only_where_the_whole_dataset_row_is_wrapped(with_pair_client):
    async def work(client):
        wrapped = await grade("def f(n): return n", function_tests(((1,), [1]), ((2,), [2])), client)
        mixed = await grade("def f(n): return n", function_tests(((1,), [1]), ((2,), 2)), client)
        return wrapped.passed, mixed.passed

    assert with_pair_client(work) == (2, 1)


def test_class_solution_with_typing_names_in_its_signature(with_pair_client):
    code = "class Solution:\n    def f(self, xs: List[int]) -> Optional[int]:\n        return max(xs, default=None)"
    suite = function_tests((([1, 3, 2],), 3), (([],), None), class_name="Solution")
    assert with_pair_client(lambda client: grade(code, suite, client)).outcome == "passed"


@pytest.mark.parametrize("asked", ["Solution", None])
def test_a_class_without_the_method_does_not_hide_the_function(asked, with_pair_client):
    helper = "class Solution:\n    def g(self, x): return x + 1\n\ndef f(x): return Solution().g(x)"
    suite = function_tests(((1,), 2), ((2,), 3), class_name=asked)
    assert with_pair_client(lambda client: grade(helper, suite, client)).outcome == "passed"
    nothing = "class Solution:\n    def g(self, x): return x + 1"
    report = with_pair_client(lambda client: grade(nothing, suite, client))
    assert report.outcome != "passed" and report.message


CHECKS = {
    "a form feed in a comment": (
        "def check(c):\n    assert c(0) == 1 # a\x0cb\n    assert c(1) == 1\n    assert c(2) == 4\n",
        3,
        2,
    ),
    "a line separator in a text": (
        "X = 'a\u2028b'\ndef check(c):\n    assert c(0) == 1\n    assert c(2) == 4\n",
        2,
        1,
    ),
    "two definitions": ("def check(c):\n    assert c(2) == 1\ndef check(c):\n    assert c(2) == 4\n", 1, 0),
    "a call of its own": ("def check(c):\n    assert c(2) == 4\ncheck(f)\n", 1, 0),
    "a further parameter": ("def check(c, n=4):\n    assert c(2) == n\n", 1, 0),
    "a name of a helper": (
        "y = 4\ndef g(): return y\ndef check(c):\n    y = 1\n    assert c(2) == g()\n",
        1,
        0,
    ),
    "another import of one name": (
        "import math as m\ndef g(): return m.sqrt(16)\ndef check(c):\n    import cmath as m\n    assert c(2) == g()\n",
        1,
        0,
    ),
    "a builtin of a helper": (
        "def g(xs): return sum(xs)\ndef check(c):\n    sum = 3\n    assert c(2) == g([1, 3])\n",
        1,
        0,
    ),
    "a parameter of a helper": (
        "def g(n=3): return n\ndef check(c):\n    n = 4\n    assert c(0) == 1\n    assert c(2) == n\n",
        2,
        1,
    ),
    "its own name": ("def check(check):\n    assert check(0) == 1\n    assert check(2) == 4\n", 2, 1),
    "an import of both": (
        "import math\ndef check(c):\n    import math\n    assert c(0) == 1\n    assert c(2) == math.sqrt(16)\n",
        2,
        1,
    ),
}


@pytest.mark.parametrize("what", CHECKS)
def test_a_check_means_what_it_means_in_python(what, with_pair_client):
    text, total, passed = CHECKS[what]
    suite = CheckTests(entry_point="f", check=text, timeout_s=5.0)
    wrong = with_pair_client(lambda client: grade("def f(x): return 1", suite, client))
    assert (wrong.total, wrong.passed) == (total, passed) and wrong.outcome != "passed"
    right = with_pair_client(lambda client: grade("def f(x): return x * x if x else 1", suite, client))
    assert right.outcome == "passed", right.explain()


@pytest.mark.parametrize("test", ["f(1) == pytest.approx(5.0)", "pytest.approx([5.0]) == f(1)"])
def test_an_array_without_elements_approximates_nothing_in_any_style(test, with_pair_client):
    code = "import numpy as np\ndef f(x): return np.array([])"
    for suite in (
        AssertTests(setup="import pytest", tests=(f"assert {test}",)),
        CheckTests(entry_point="f", check=f"import pytest\ndef check(f):\n    assert {test}\n"),
        PytestTests(test=f"import pytest\nfrom solution import f\ndef test_a():\n    assert {test}\n"),
    ):
        report = with_pair_client(lambda client, suite=suite: grade(code, suite, client))
        assert report.outcome != "passed", suite
    right = AssertTests(setup="import pytest", tests=("assert f(1) == pytest.approx(1.0)",))
    assert with_pair_client(lambda client: grade("def f(x): return 1.0", right, client)).outcome == "passed"


STAR = "from solution import *\ndef test_a():\n    assert f(1) == 2\n"
TAKEN = (
    "from typing import *",
    "from dataclasses import dataclass, field\nfrom functools import lru_cache, wraps",
    "from random import randint\nfrom time import sleep\nimport os.path as osp\nimport collections.abc as cabc",
    "from sys import setrecursionlimit\n__all__ = ['f', 'setrecursionlimit']",
)


@pytest.mark.parametrize("taken", TAKEN)
def test_a_star_import_asks_for_nothing_that_the_tests_do_not_name(taken, with_pair_client):
    code = f"{taken}\ndef f(x): return x + 1"
    report = with_pair_client(lambda client: grade(code, PytestTests(test=STAR), client))
    assert report.outcome == "passed", report.explain()


@pytest.mark.parametrize(
    ("name", "test", "right", "wrong"),
    [
        ("pow", "pow(2, 3) == 7", "def pow(a, b): return 7", "def pow(a, b): return 0"),
        (
            "filter",
            "filter([1, 2, 3], 1) == [2, 3]",
            "def filter(xs, n): return [x for x in xs if x > n]",
            "def filter(xs, n): return xs",
        ),
    ],
)
def test_a_star_import_brings_a_solution_that_is_named_like_a_builtin(
    name, test, right, wrong, with_pair_client
):
    suite = PytestTests(
        test=f"from solution import *\ndef test_a():\n    assert {test}\n", defines=(name,), classes=()
    )
    found = [
        with_pair_client(lambda client, code=code: grade(code, suite, client)).outcome
        for code in (right, wrong)
    ]
    assert found == ["passed", "failed"]


def test_a_module_of_plain_tests_knows_its_file(with_pair_client):
    head = "import os, sys\nsys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))\nfrom solution import f\n"
    suite = PytestTests(test=f"{head}def test_a():\n    assert f(1) == 2\n")
    report = with_pair_client(lambda client: grade("def f(x): return x + 1", suite, client))
    assert report.outcome == "passed", report.explain()


ASSERT_CASES = {
    "a lambda argument is called back": ("def f(g, x): return g(x) + 1", "assert f(lambda x: x * 2, 4) == 9"),
    "builtins as arguments": ("def f(g, xs): return list(map(g, xs))", "assert f(str, [1]) == ['1']"),
    "a builtin's name": ("def sum(a, b): return a + b", "assert sum(1, 2) == 3"),
    "sets and tuples": ("def f(x): return {x, (x,)}", "assert f(1) == {1, (1,)}"),
    "an argument changed in place": ("def f(x):\n    x.append(1)", "x = []\nf(x)\nassert x == [1]"),
    "another function of the solution": ("def f(x): return x\ndef g(x): return -x", "assert g(f(2)) == -2"),
    "a module that the solution imported": ("import math\ndef f(x): return x", "assert f(math.pi) == math.pi"),
    "an object of the solution": (
        "class P:\n    def __init__(s, x): s.x = x\n    def __eq__(s, o): return s.x == o.x\ndef f(x): return P(x)",
        "assert f(3) == P(3) and f(3).x == 3 and isinstance(f(1), P)",
    ),
    "a list of objects": ("class P:\n    v = 5\ndef f(): return [P(), P()]", "assert sum(p.v for p in f()) == 10"),
    "an exception": (
        "class Bad(ValueError): pass\ndef f(): raise Bad('no')",
        "try:\n    f()\n    assert False\nexcept Bad as error:\n    assert str(error) == 'no'",
    ),
    "a generator": ("def f():\n    n = 0\n    while True:\n        yield n\n        n += 1", "g = f()\nassert [next(g), next(g)] == [0, 1]"),
    "an async function": ("async def f(x): return x", "import asyncio\nassert asyncio.run(f(1)) == 1"),
}  # fmt: skip


@pytest.mark.parametrize("what", ASSERT_CASES)
def test_assert_style_reaches(what, with_pair_client):
    code, test = ASSERT_CASES[what]
    entry = "sum" if "sum" in code else "f"
    report = with_pair_client(
        lambda client: grade(code, AssertTests(tests=(test,), entry_point=entry, timeout_s=2), client)
    )
    assert report.outcome == "passed", report.explain()


def test_setup_runs_after_the_solution_and_may_use_its_classes(with_client):
    suite = AssertTests(
        setup="root = Node(1)\nroot.left = Node(2)",
        tests=("assert f(root) == 3", "assert f(None) == 0"),
        entry_point="f",
    )
    code = """
class Node:
    def __init__(self, v): self.v, self.left = v, None
def f(n): return n.v + f(n.left) if n else 0
"""
    assert with_client(lambda client: grade(code, suite, client)).outcome == "passed"


PRELUDE = """
class ListNode:
    def __init__(self, val=0, next=None):
        self.val, self.next = val, next
def list_node(values):
    head = None
    for value in reversed(values):
        head = ListNode(value, head)
    return head
def to_list(node):
    out = []
    while node:
        out.append(node.val)
        node = node.next
    return out
"""


def test_check_style_takes_linked_lists_apart_and_counts_each_assert(with_client):
    check = (
        "def check(candidate):\n    assert to_list(candidate(head = list_node([1, 2, 3]))) == [3, 2, 1]\n"
        "    assert candidate(head = None) == None\n    assert to_list(candidate(list_node(range(2000))))[0] == 1999\n"
    )
    right = """
class Solution:
    def reverse(self, head):
        last = None
        while head:
            head.next, last, head = last, head, head.next
        return last
"""
    suite = CheckTests(entry_point="Solution().reverse", check=check, prelude=PRELUDE)

    async def work(client):
        own_class = "class ListNode:\n    def __init__(self, val=0, next=None):\n        self.val, self.next = val, next\n"
        return await asyncio.gather(
            grade(right, suite, client),
            grade(own_class + right, suite, client),
            grade("class Solution:\n    def reverse(self, head): return head", suite, client),
        )

    passed, redefined, wrong = with_client(work)
    assert (passed.outcome, passed.total) == ("passed", 3)
    assert redefined.outcome == "passed", redefined.explain()
    assert letters(wrong) == "fpf"


def test_check_with_control_flow_is_one_test(with_pair_client):
    check = "def check(candidate):\n    for n in range(5):\n        assert candidate(n) == n\n"
    suite = CheckTests(entry_point="f", check=check)

    async def work(client):
        return await grade("def f(n): return n", suite, client), await grade(
            "def f(n): return 0", suite, client
        )

    right, wrong = with_pair_client(work)
    assert (right.outcome, right.total, wrong.outcome) == ("passed", 1, "failed")


PYTEST = """
import pytest
from solution import f, Account

@pytest.mark.parametrize("n", [1, 2])
def test_value(n):
    assert f(n) == n + 1

def test_error():
    with pytest.raises(ValueError, match="negative"):
        f(-1)

def test_close():
    assert f(0.1) == pytest.approx(1.1)

class TestAccount:
    def test_balance(self):
        account = Account()
        account.deposit(5)
        assert account.balance == 5
        assert len(account) == 1

def test_printed(capsys):
    f(3)
    assert capsys.readouterr().out == "3\\n"
"""
PYTEST_RIGHT = """
def f(n):
    if n < 0:
        raise ValueError("negative")
    print(n)
    return n + 1
class Account:
    def __init__(self): self.moves = []
    def deposit(self, amount): self.moves.append(amount)
    @property
    def balance(self): return sum(self.moves)
    def __len__(self): return len(self.moves)
"""


def test_pytest_style_runs_real_pytest_modules(with_client):
    suite = PytestTests(test=PYTEST, timeout_s=5)

    async def work(client):
        return await grade(PYTEST_RIGHT, suite, client), await grade(
            PYTEST_RIGHT.replace("n + 1", "n + 2"), suite, client
        )

    right, wrong = with_client(work)
    assert (right.outcome, right.total) == ("passed", 6), right.explain()
    assert (wrong.outcome, wrong.passed) == ("failed", 3), wrong.explain()


def test_pytest_goes_on_in_a_fresh_worker_after_a_crash(with_pair_client):
    test = "import pytest\nfrom solution import f\n" + "".join(
        f"def test_{n}():\n    assert f({n}) == {n}\n" for n in range(4)
    )
    code = "import os\ndef f(n):\n    if n == 1: os._exit(0)\n    return n"

    async def work(client):
        plain = PytestTests(test=test.replace("import pytest\n", ""))
        return await grade(code, PytestTests(test=test), client), await grade(code, plain, client)

    assert [letters(report) for report in with_pair_client(work)] == ["pepp", "pepp"]


STDIO = StdioTests(
    tests=tuple(StdioCase(input=f"{n}\n{n}", output=f"{n * 2}\n{n / 3}") for n in range(1, 5)), timeout_s=1.0
)


@pytest.mark.parametrize(
    ("code", "statuses"),
    [
        ("n = int(input())\nprint(n * 2)\nprint(n / 3)", "pppp"),
        ("import sys\nn = int(sys.stdin.read().split()[0])\nsys.stdout.write(f'{2 * n}  \\n{n / 3:.7f}\\n\\n')", "pppp"),
        ("def main():\n    n = int(input())\n    print(2 * n, n / 3, sep='\\n')\n\nif __name__ == '__main__':\n    main()\n    exit()", "pppp"),
        ("import os\nn = int(os.read(0, 99).split()[0])\nos.write(1, f'{2 * n}\\n{n / 3}'.encode())\nos._exit(0)", "pppp"),
        ("n = int(input())\nprint(n * 2)", "ffff"),
        ("n = int(input())\nprint(n * 2)\nprint(n / 3)\nraise SystemExit(3)", "eeee"),
        ("n = int(input())\nwhile n == 2: pass\nprint(n * 2)\nprint(n / 3)", "ptpp"),
        ("print(2 * int(input())", "nnnn"),
    ],
)  # fmt: skip
def test_stdio_programs(code, statuses, with_client):
    assert letters(with_client(lambda client: grade(code, STDIO, client))) == statuses


def test_a_large_output_arrives_whole(with_client):
    expected = "\n".join(map(str, range(200_000)))
    suite = StdioTests(tests=(StdioCase(input="200000", output=expected),), timeout_s=5)
    code = "for n in range(int(input())):\n    print(n)"
    assert with_client(lambda client: grade(code, suite, client)).outcome == "passed"


def test_tests_that_do_not_parse_are_a_data_error(with_pair_client):
    for suite in (
        AssertTests(tests=("assert f( == 1",)),
        CheckTests(entry_point="f", check="def test(candidate): pass"),
    ):
        with pytest.raises(DataError, match=suite.style):
            with_pair_client(lambda client, suite=suite: grade("x = 1", suite, client))


def test_what_cannot_be_split_is_counted_and_not_passed(with_pair_client):
    suite = AssertTests(tests=("class Mine(Base): pass\nassert f(1) == 1",), entry_point="f")
    code = "class Base: pass\ndef f(x): return x"
    report = with_pair_client(lambda client: grade(code, suite, client))
    assert (report.passed, report.unsplittable) == (0, 1)


def test_the_report_tells_its_strength_and_explains(with_client, request):
    suite = function_tests(((1, 2), 3), ((2, 2), 5))
    report = with_client(lambda client: grade("def f(a, b): return a + b", suite, client))
    assert report.strength in request.node.name
    assert (
        "f(2, 2)" in report.explain() and "expected: 5" in report.explain() and "got: 4" in report.explain()
    )
    assert report.to_dict()["pass_rate"] == 0.5


def test_the_solution_cannot_replace_what_the_checker_uses(with_client):
    fake = "class math:\n    isclose = staticmethod(lambda *args: True)\nisclose = lambda *args: True\nabs = len = isclose\n"
    code = fake + "def f(x): return -1"
    suites = (
        AssertTests(tests=("assert math.isclose(f(2), 4)",), entry_point="f"),
        AssertTests(tests=("assert abs(f(2) - 4) < 1",), entry_point="f"),
        AssertTests(setup="from math import *", tests=("assert isclose(f(2), 4)",), entry_point="f"),
        CheckTests(
            entry_point="f",
            prelude="from math import *\n",
            check="def check(candidate):\n    assert isclose(candidate(2), 4)\n",
        ),
    )

    async def work(client):
        right = "def f(x): return x + x"
        return (
            [(await grade(code, suite, client)).passed for suite in suites],
            [(await grade(right, suite, client)).passed for suite in suites],
        )

    assert with_client(work) == ([0, 0, 0, 0], [1, 1, 1, 1])
