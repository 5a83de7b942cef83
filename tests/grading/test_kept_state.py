"""Style `stdio`, many tests in one process: each finds the process as a plain run would."""

# ruff: noqa: E501 - tables of programs

import ast

import pytest
from plain_python import run_plain

from verl_coder.grading import grade
from verl_coder.grading.alone import FEW_TESTS
from verl_coder.grading.programs.kept_state import leaves_state
from verl_coder.problems import StdioCase, StdioTests

INPUTS = [f"{n}\n" for n in (40, 5, 30, 6, 7)]
PROGRAMS = {
    "a decimal context": "from decimal import *\nn = int(input())\nif n > 28: getcontext().prec = n\nprint(Decimal(1) / 3)",
    "a recursion limit": "import sys\nn = int(input())\nif n > 28: sys.setrecursionlimit(5000)\nprint(sys.getrecursionlimit())",
    "digits of integers": "import sys\nn = int(input())\nif n > 28: sys.set_int_max_str_digits(0)\nprint(sys.get_int_max_str_digits())",
    "the environment": "import os\nn = int(input())\nprint(os.environ.get('MODE', 'none'))\nif n > 28: os.environ['MODE'] = 'large'",
    "a replaced function": "import math\nn = int(input())\nif n > 28: math.sqrt = lambda x: 0\nprint(math.sqrt(n))",
    "an attribute of a class": "import fractions\nn = int(input())\nF = fractions.Fraction\nprint(getattr(F, 'mark', 0))\nsetattr(fractions.Fraction, 'mark', n)",
    "the working folder": "import os\nn = int(input())\nprint(os.path.basename(os.getcwd()) == 'tmp')\nif n > 28: os.chdir('/')",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_nothing_of_one_test_reaches_the_next(name, with_pair_client):
    code = PROGRAMS[name]
    ended = [run_plain(code, text) for text in INPUTS]
    assert len(INPUTS) > FEW_TESTS and all(end.status == 0 for end in ended)
    cases = tuple(StdioCase(input=text, output=end.stdout) for text, end in zip(INPUTS, ended, strict=True))
    if name == "the working folder":
        cases = tuple(StdioCase(input=text, output="False\n") for text in INPUTS)
        code = code.replace("os.path.basename(os.getcwd()) == 'tmp'", "os.getcwd() == '/'")
    report = with_pair_client(lambda client: grade(code, StdioTests(tests=cases), client))
    assert report.outcome == "passed", report.explain()


def test_a_deep_recursion_that_fails_alone_fails_behind_a_test_that_raised_the_limit(with_pair_client):
    code = "import sys\nn = int(input())\nif n > 28: sys.setrecursionlimit(9000)\ndef f(k): return k and 1 + f(k - 1)\nprint(f(2000))"
    tests = StdioTests(tests=tuple(StdioCase(input=text, output="2000\n") for text in INPUTS))
    report = with_pair_client(lambda client: grade(code, tests, client))
    assert report.passed == sum(int(text) > 28 for text in INPUTS), report.explain()


@pytest.mark.parametrize(
    "code",
    [
        "import sys\ninput = sys.stdin.readline\nsys.setrecursionlimit(10**6)\nx = [0]\nx[0] = 1",
        "import sys, io\nsys.stdin = io.StringIO('1')\nsys.stdout = io.StringIO()",
        "from collections import defaultdict\nd = defaultdict(list)\nd[1].append(2)\nclass A: pass\na = A()\na.x = 1",
    ],
)
def test_ordinary_programs_leave_nothing(code):
    assert not leaves_state(ast.parse(code))
