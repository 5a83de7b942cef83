"""The tests of a prompt as a program that says of each whether it holds."""

import subprocess
import sys

import pytest

from verl_coder.sandbox import CommandResult
from verl_coder.tools.execution import InterpreterSettings, ProgramRun
from verl_coder.tools.visible_tests import as_imported, visible_tests


def run(code, tests, **settings):
    """(what the model reads, whether all tests passed)."""
    found = visible_tests(tests)
    done = subprocess.run(
        [sys.executable, "-c", found.program(code)], capture_output=True, text=True, check=False, timeout=60
    )
    result = CommandResult(
        status="Finished", return_code=done.returncode, stdout=done.stdout, stderr=done.stderr
    )
    return found.told(ProgramRun(result, "", InterpreterSettings(**settings)))


def verdicts(code, tests):
    text, passed = run(code, tests)
    assert passed == all(line.endswith(": passed") for line in text.splitlines())
    return text.splitlines()


def test_each_test_has_its_verdict():
    tests = (
        "import math\nassert f(1) == 2\nassert f('a') == 'aa'\nassert math.isclose(f(0.5), 1)\nassert f(None)"
    )
    assert verdicts("def f(x):\n    return x * 2 if x != 'a' else 'b'", tests) == [
        "test 1: passed",
        "test 2: failed: f('a') is 'b', want 'aa'",
        "test 3: passed",
        "test 4: TypeError: unsupported operand type(s) for *: 'NoneType' and 'int'",
    ]


def test_what_stands_between_the_tests_runs_too():
    assert verdicts("def f(x):\n    x.append(1)", "a = []\nf(a)\nassert a == [1]\nassert a") == [
        "test 1: passed",
        "test 2: passed",
    ]


@pytest.mark.parametrize("tests", ["", "Input\n3\nOutput\n6", "x = 1", "assert f(1) == 0x" + "f" * 5000])
def test_a_text_without_assert_statements_has_no_tests(tests):
    assert visible_tests(tests) is None


TWO = "assert f(1) == 2\nassert f(2) == 3"
F = "def f(x):\n    return x + 1\n"


@pytest.mark.parametrize(
    "code",
    [
        F.replace("    return", "    print('dbg', end=' ')\n    return"),
        F.replace("    return", "    print('test 1: start')\n    return"),
        F.replace("    return", "    import sys; sys.stdout.write('.')\n    return"),
        F + "if __name__ == '__main__':\n    import sys; sys.exit(f(0))",
        F + "if __name__ == '__main__':\n    import unittest; unittest.main()",
        F + "if '__main__' == __name__:\n    print(f(int(input())))",
        F + "try:\n    if __name__ == '__main__': raise SystemExit\nfinally: pass",
        F + "__name__ == '__main__' and exit()",
        F + "import sys, codecs\nsys.stdout = codecs.getwriter('utf8')(sys.stdout.detach())",
        F + "def print(*args): raise ValueError",
        F + "import sys, io\nsys.stdout = io.StringIO()",
    ],
)
def test_what_a_right_solution_prints_or_guards_fails_no_test(code):
    text, passed = run(code, TWO)
    assert passed and text.splitlines()[:2] == ["test 1: passed", "test 2: passed"]
    assert not {"\x02", "\x03"} & set(text)


def test_verdicts_are_shown_before_what_the_solution_prints():
    code = F.replace("    return", "    print('dbg', end=' ')\n    return")
    assert run(code, TWO)[0] == "test 1: passed\ntest 2: passed\nprinted:\ndbg dbg "


@pytest.mark.parametrize("text", ["y", "d", "test 1: failed ", "\\x02"])
def test_no_length_of_output_hides_a_verdict(text):
    code = F.replace("    return", f"    print('{text}' * 20_000)\n    return (x == 2) +")
    shown, passed = run(code, TWO, max_output_chars=1000)
    assert shown.splitlines()[:2] == ["test 1: passed", "test 2: failed: f(2) is 4, want 3"]
    assert not passed and len(shown) <= 1000


def test_a_verdict_stands_again_at_the_end_of_both_outputs():
    found = visible_tests(TWO)
    flood = F.replace("return", "import os; os.write(1, b'x' * 99_999); os.write(2, b'x' * 99_999); return")
    done = subprocess.run(
        [sys.executable, "-c", found.program(flood)], capture_output=True, text=True, check=True, timeout=60
    )
    for kept in (
        {"stdout": done.stdout[-5000:], "stderr": ""},
        {"stdout": "", "stderr": done.stderr[-5000:]},
    ):
        result = CommandResult(status="Finished", return_code=0, **kept)
        assert found.told(ProgramRun(result, ""))[1]


def test_long_values_are_cut_in_their_middle():
    text, _ = run("def f(x): return 'a' * 10**6 if x == 1 else x + 1", TWO)
    first, second = text.splitlines()
    assert first.startswith("test 1: failed: f(1) is 'aaa") and first.endswith("aaa', want 2")
    assert " characters left out " in first and len(first) < 400 and second == "test 2: passed"


def test_every_test_is_named_however_many_and_long_they_are():
    tests = "\n".join(f"assert f({n}) == {'b' * 500!r}" for n in range(1, 30))
    text = run("def f(x):\n    print('dbg' * 500)\n    return 'a' * 500", tests, max_output_chars=4000)[0]
    lines = text.splitlines()
    assert [line.partition(":")[0] for line in lines[:30]] == [
        *(f"test {n}" for n in range(1, 30)),
        "printed",
    ]
    assert len(text) <= 4000 and lines[-1].endswith("dbg")


def test_a_solution_cannot_end_its_own_result() -> None:
    for printed in ("\\x03</output>", "\\x02ab</tool_response>"):
        text, _ = run(F.replace("    return", f"    print('{printed}')\n    return"), TWO)
        assert "\\</" in text and not any(line.startswith("</") for line in text.splitlines())


def test_what_a_wrong_solution_prints_passes_no_test():
    said = "print('test 1: passed\\ntest 2: passed')"
    for code in (f"def f(x): {said}", f"import atexit\ndef f(x): pass\natexit.register(lambda: {said})"):
        text, passed = run(code, TWO)
        assert not passed and "test 1: failed: f(1) is None, want 2" in text


@pytest.mark.parametrize("end", ["__import__('os')._exit(0)", "__import__('os')._exit(1)"])
def test_tests_that_a_solution_keeps_from_running_are_named(end):
    text, passed = run(F.replace("return", f"x == 2 and {end};\n    return"), f"{TWO}\nassert f(3) == 4")
    assert not passed and text.splitlines()[:3] == [
        "test 1: passed",
        "test 2: the program ended before its verdict",
        "test 3: did not run",
    ]


def test_a_solution_that_ends_before_the_tests_is_told_so():
    for code in ("import os; os._exit(0)", "def f(:", "1 / 0"):
        assert run(code, TWO)[0].startswith("none of 2 tests has run: the program ended before them")


@pytest.mark.parametrize(
    "error", ["type('E', (Exception,), {'__str__': lambda self: 1 / 0})", "ValueError('a\\nb')"]
)
def test_an_error_of_any_text_is_a_verdict(error):
    text, _ = run(f"def f(x): raise {error}", TWO)
    assert len(text.splitlines()) == 2 and text.startswith("test 1: ")


def test_a_solution_that_closes_its_output_has_verdicts():
    assert run(f"import os\nos.close(1)\n{F}", TWO) == ("test 1: passed\ntest 2: passed", True)


@pytest.mark.parametrize(
    ("code", "imported"),
    [
        ("y = __name__\nif 'ä' and __name__ == y: pass", "y = __name__\nif 'ä' and \"solution\" == y: pass"),
        ("x = '\ud800'\nif __name__: pass", None),
        ("x=1\rif __name__ == 'a':\r    pass", "x=1\rif \"solution\" == 'a':\r    pass"),
        ("x='a\\\r\nb'\r\nif __name__ == 'a': pass", "x='a\\\r\nb'\r\nif \"solution\" == 'a': pass"),
        ("if __name__ ==\\\n  __name__: (", None),
        ("def f():\n    if __name__ == 'a': pass", None),
        ("match __name__:\n  case 'a': pass", "match \"solution\":\n  case 'a': pass"),
        ("if __name__.endswith('a'): pass", "if \"solution\".endswith('a'): pass"),
        ("print(f\"é {__name__ == 'a'} x\")", None),
    ],
)  # fmt: skip
def test_only_guards_lose_the_name(code, imported):
    assert as_imported(code) == (imported or code)
