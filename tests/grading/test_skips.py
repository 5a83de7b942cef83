"""A test that its own text skips is left out; one that anything else skips does not pass."""

# ruff: noqa: E501 - tables of programs

import pytest

from verl_coder.grading import grade
from verl_coder.grading.skips import skipped_in_the_text
from verl_coder.problems import PytestTests

HEAD = "import os, platform, pytest, sys, unittest\nfrom solution import *\n"
OTHER = "def test_b(): assert f(2) == 2\n"
LEFT_OUT = [
    "@pytest.mark.skip(reason='slow')\ndef test_a(): assert f(1) == 1\n",
    "@pytest.mark.skip\ndef test_a(): assert f(1) == 1\n",
    "@pytest.mark.skipif(sys.version_info >= (3, 0), reason='x')\ndef test_a(): assert f(1) == 1\n",
    "@pytest.mark.skipif(not sys.platform.startswith('win') or platform.system() == 'Windows', reason='x')\ndef test_a(): pass\n",
    "@unittest.skip('later')\nclass TestA(unittest.TestCase):\n    def test_x(self): self.fail()\n",
    "class TestA(unittest.TestCase):\n    @unittest.skipIf(os.name == 'posix', 'x')\n    def test_x(self): self.fail()\n",
    "class TestA:\n    @pytest.mark.skip\n    @pytest.mark.parametrize('n', [1, 2])\n    def test_x(self, n): assert f(n) == n\n",
    "@pytest.mark.parametrize('n', [1, pytest.param(2, marks=pytest.mark.skip)])\ndef test_a(n): assert f(n) == n\n",
]
NOT_LEFT_OUT = [
    "@pytest.mark.skipif(f(1) != 1, reason='x')\ndef test_a(): assert f(1) == 1\n",
    "@pytest.mark.skipif('f(1) != 1', reason='x')\ndef test_a(): assert f(1) == 1\n",
    "@pytest.mark.skipif('f(1)' + '!= 1', reason='x')\ndef test_a(): assert f(1) == 1\n",
    "OFF = f(1) != 1\n@pytest.mark.skipif(OFF, reason='x')\ndef test_a(): assert f(1) == 1\n",
    "sys = f\n@pytest.mark.skipif(sys(1) != 1, reason='x')\ndef test_a(): assert f(1) == 1\n",
    "@pytest.mark.skipif(os.path.exists('made'), reason='x')\ndef test_a(): assert f(1) == 1\n",
    "@pytest.mark.skipif('numpy' in sys.modules, reason='x')\ndef test_a(): assert f(1) == 1\n",
    "class TestA(unittest.TestCase):\n    @unittest.skipIf(f(1) != 1, 'x')\n    def test_x(self): assert f(1) == 1\n",
    "def test_a():\n    if f(1) != 1: pytest.skip()\n    assert f(1) == 1\n",
    "def test_a():\n    pytest.importorskip('no_such_module')\n    assert f(1) == 1\n",
    "@f\n@pytest.mark.skip\ndef test_a(): assert f(1) == 1\n",
    "from solution import patch\n@patch\n@pytest.mark.skip\ndef test_a(): assert f(1) == 1\n",
]


def _grade(run, code, test):
    return run(lambda client: grade(code, PytestTests(test=HEAD + test), client))


@pytest.mark.parametrize("test", LEFT_OUT)
def test_the_rest_of_the_suite_decides(test, with_pair_client):
    assert _grade(with_pair_client, "def f(x): return x\n", test + OTHER).outcome == "passed"
    assert _grade(with_pair_client, "def f(x): return x + 1\n", test + OTHER).outcome == "failed"


@pytest.mark.parametrize("test", NOT_LEFT_OUT)
def test_a_skip_that_the_solution_may_decide_does_not_pass(test, with_pair_client):
    assert skipped_in_the_text(HEAD + test) == []
    code = "open('made', 'w').close()\nimport numpy\ndef patch(g): return g\ndef f(x): return 2 if x == 1 else x\n"
    assert _grade(with_pair_client, code, test + OTHER).outcome != "passed"


@pytest.mark.parametrize("test", LEFT_OUT[:3])
def test_a_suite_that_skips_all_does_not_pass(test, with_pair_client):
    assert _grade(with_pair_client, "def f(x): return x\n", test).outcome != "passed"


def test_a_skip_whose_condition_does_not_hold_runs(with_pair_client):
    test = "@pytest.mark.skipif(sys.platform == 'win32', reason='x')\ndef test_a(): assert f(1) == 1\n"
    report = _grade(with_pair_client, "def f(x): return x\n", test + OTHER)
    assert (report.outcome, report.total) == ("passed", 2)
    assert _grade(with_pair_client, "def f(x): return x if x == 2 else 0\n", test + OTHER).outcome == "failed"


def test_tests_after_a_lost_worker_are_counted_as_before(with_pair_client):
    test = LEFT_OUT[0] + "def test_c(): assert f(7) == 7\n" + OTHER
    report = _grade(with_pair_client, "import os\ndef f(x): return os._exit(1) if x == 7 else x\n", test)
    assert [one.status for one in report.tests] == ["error", "passed"]


FAIL = "def test_a(): assert f(1) == 1\n"
XFAILED = [
    "def test_a():\n    if f(1) != 1: pytest.xfail('no')\n    assert f(1) == 1\n",
    "def test_a():\n    try: r = f(1)\n    except Exception as e: pytest.xfail(str(e))\n    assert r == 1\n",
    "@pytest.fixture\ndef r(request):\n    request.applymarker(pytest.mark.xfail)\n    return f(1)\ndef test_a(r): assert r == 1\n",
    "@pytest.mark.xfail(f(1) != 1, reason='x')\n" + FAIL,
    "@pytest.mark.xfail('f(1) != 1', reason='x')\n" + FAIL,
    "@pytest.mark.xfail(strict=f(1) == 0)\n" + FAIL,
    "@pytest.mark.xfail(raises=ZeroDivisionError)\ndef test_a():\n    if f(1) != 1: pytest.xfail('no')\n    assert f(1) == 1\n",
    "class TestA(unittest.TestCase):\n    def test_x(self):\n        if f(1) != 1: pytest.xfail('no')\n",
]
EXPECTED_TO_FAIL = [
    "@pytest.mark.xfail(reason='known')\ndef test_a(): assert f(1) == 7\n",
    "@pytest.mark.xfail(raises=ZeroDivisionError)\ndef test_a(): f(2) // 0\n",
    "@pytest.mark.xfail(sys.version_info >= (3, 0), reason='x', strict=True)\ndef test_a(): assert f(1) == 7\n",
    "class TestA(unittest.TestCase):\n    @unittest.expectedFailure\n    def test_x(self): self.assertEqual(f(1), 7)\n",
]


@pytest.mark.parametrize("test", XFAILED)
def test_a_test_that_is_let_fail_by_what_runs_does_not_pass(test, with_pair_client):
    wrong = "def f(x):\n    if x == 1: raise KeyError\n    return x\n"
    for code in (wrong, "def f(x): return 0 if x == 1 else x\n"):
        assert _grade(with_pair_client, code, test + OTHER).outcome != "passed"


@pytest.mark.parametrize("test", [XFAILED[number] for number in (0, 1, 3, 7)])
def test_what_lets_a_test_fail_does_not_fail_it(test, with_pair_client):
    assert _grade(with_pair_client, "def f(x): return x\n", test + OTHER).outcome == "passed"


@pytest.mark.parametrize("test", EXPECTED_TO_FAIL)
def test_a_test_that_its_decorator_lets_fail_does_not_decide(test, with_pair_client):
    assert _grade(with_pair_client, "def f(x): return x\n", test + OTHER).outcome == "passed"
    assert _grade(with_pair_client, "def f(x): return 0\n", test + OTHER).outcome == "failed"
    assert _grade(with_pair_client, "def f(x): return x\n", test).outcome != "passed"
