"""An exception is the same on both sides: class, arguments, fields, notes, what it came of, constants of its class."""

# ruff: noqa: E501 - tables of programs

import pytest

from verl_coder.grading import grade
from verl_coder.grading.programs.raised import fields, fresh, set_class_values
from verl_coder.problems import AssertTests


def caught(call: str, kind: str, claim: str) -> str:
    return f"try:\n    {call}\n    found = None\nexcept {kind} as error:\n    found = error\n    assert {claim}\nassert found is not None"


OF_THE_SOLUTION = {
    "a place in bytes": ("def f(): b'a\\xff'.decode()", caught("f()", "UnicodeDecodeError", "(error.start, error.end, error.reason, error.object) == (1, 2, 'invalid start byte', b'a\\xff')")),
    "a place in text": ("def f(): 'a\\xff'.encode('ascii')", caught("f()", "UnicodeEncodeError", "error.start == 1 and error.encoding == 'ascii' and 'ordinal' in str(error)")),
    "a module": ("def f(): import nowhere_at_all", caught("f()", "ImportError", "error.name == 'nowhere_at_all' and type(error) is ModuleNotFoundError")),
    "an attribute": ("def f(): return (1).zz", caught("f()", "AttributeError", "error.name == 'zz' and len(error.args) == 1")),
    "a name": ("def f(): return zz", caught("f()", "NameError", "error.name == 'zz'")),
    "a line": ("def f(): compile('x y', 'q', 'exec')", caught("f()", "SyntaxError", "(error.lineno, error.filename) == (1, 'q') and 'invalid' in error.msg and error.args[1][0] == 'q'")),
    "a file": ("def f(): open('/nowhere/x')", caught("f()", "FileNotFoundError", "error.filename == '/nowhere/x' and error.errno == 2 and len(error.args) == 2")),
    "an exit status": ("import sys\ndef f(): sys.exit(3)", caught("f()", "SystemExit", "error.code == 3")),
    "notes": ("def f():\n    e = ValueError('x')\n    e.add_note('one')\n    raise e", caught("f()", "ValueError", "error.__notes__ == ['one']")),
    "what it came of": ("def f():\n    try: {}['k']\n    except KeyError: raise ValueError('x')", caught("f()", "ValueError", "error.__context__.args == ('k',) and error.__cause__ is None and not error.__suppress_context__")),
    "from None": ("def f():\n    try: {}['k']\n    except KeyError: raise ValueError('x') from None", caught("f()", "ValueError", "error.__suppress_context__ and error.__cause__ is None and isinstance(error.__context__, KeyError)")),
    "from another": ("def f():\n    try: {}['k']\n    except KeyError as e: raise ValueError('x') from e", caught("f()", "ValueError", "error.__suppress_context__ and error.__cause__ is error.__context__")),
    "constants of a class": ("class E(Exception):\n    code = 404\n    kinds = ('a', 'b')\nclass F(E):\n    code = 405\ndef f(): raise F('x')", caught("f()", "E", "(error.code, error.kinds, E.code, F.code, F.kinds) == (405, ('a', 'b'), 404, 405, ('a', 'b'))")),
    "constants of a class that the tests do not name": ("class E(ValueError):\n    code = 404\nclass F(E):\n    code = 405\ndef f(): raise F('x')", caught("f()", "ValueError", "error.code == 405")),
    "a constant that changes": ("class E(Exception):\n    count = 0\n    def __init__(self, *a):\n        super().__init__(*a)\n        E.count += 1\ndef f(): raise E('x')", "assert E.count == 0\n" + caught("f()", "E", "E.count == 1") + "\n" + caught("f()", "E", "error.count == 2")),
    "the value of a generator": ("def f():\n    yield 1\n    return 5", "def w():\n    got = yield from f()\n    yield got\nassert list(w()) == [1, 5]"),
    "a class derived from StopIteration": ("class Done(StopIteration): pass\nclass It:\n    def __iter__(self): return self\n    def __next__(self): raise Done(7)\ndef f(): return It()", "def w():\n    got = yield from f()\n    yield got\nassert list(w()) == [7]"),
}  # fmt: skip
WRONG = {
    "a place in bytes": ("def f(): b'aa\\xff'.decode()", "a place in bytes"),
    "a file": ("def f(): open('/nowhere/y')", "a file"),
    "an exit status": ("import sys\ndef f(): sys.exit(4)", "an exit status"),
    "what it came of": ("def f(): raise ValueError('x')", "what it came of"),
    "from None": ("def f():\n    try: {}['k']\n    except KeyError: raise ValueError('x')", "from None"),
    "constants of a class": ("class E(Exception):\n    code = 404\n    kinds = ('a', 'b')\nclass F(E): pass\ndef f(): raise F('x')", "constants of a class"),
    "a constant that changes": ("class E(Exception):\n    count = 0\ndef f(): raise E('x')", "a constant that changes"),
    "the value of a generator": ("def f():\n    yield 1\n    return 6", "the value of a generator"),
}  # fmt: skip


def outcome(code, test, run):
    report = run(lambda client: grade(code, AssertTests(tests=(test,)), client))
    return report.outcome, report.explain()


@pytest.mark.parametrize("name", OF_THE_SOLUTION)
def test_the_tests_find_all_of_what_the_solution_raised(name, with_client):
    found, words = outcome(*OF_THE_SOLUTION[name], with_client)
    assert found == "passed", words


@pytest.mark.parametrize("name", WRONG)
def test_another_exception_does_not_pass(name, with_pair_client):
    code, like = WRONG[name]
    found, words = outcome(code, OF_THE_SOLUTION[like][1], with_pair_client)
    assert found in ("failed", "error"), words


TELLS = "def f(g):\n    try:\n        return g()\n    except {0} as e:\n        return {1}\n"
OF_THE_TESTS = {
    "a key": (TELLS.format("KeyError", "e.args[0], str(e)"), "def g(): return {}['k']\nassert f(g) == ('k', \"'k'\")"),
    "a number of the system": (TELLS.format("OSError", "e.errno, e.filename, type(e).__name__"), "def g(): raise OSError(2, 'x', 'name')\nassert f(g) == (2, 'name', 'FileNotFoundError')"),
    "several arguments": (TELLS.format("Exception", "type(e).__name__, e.args"), "class Own(Exception): pass\ndef g(): raise Own('x', 1)\nassert f(g) == ('Own', ('x', 1))"),
    "a class of the tests by its base": (TELLS.format("ValueError", "e.code"), "class Own(ValueError):\n    def __init__(self, code): self.code = code\ndef g(): raise Own(7)\nassert f(g) == 7"),
    "a class of the tests is no RuntimeError": (TELLS.format("RuntimeError", "1") , "class Own(Exception): pass\ndef g(): raise Own('x')\ntry:\n    f(g)\n    found = None\nexcept Own as error:\n    found = error\nassert found.args == ('x',)"),
    "a class of the solution's": ("class Bad(Exception):\n    def __init__(self, n):\n        super().__init__(n)\n        self.n = n\n" + TELLS.format("Bad", "e.n"), "def g(): raise Bad(3)\nassert f(g) == 3"),
    "the end of an iterator": ("def f(it):\n    got = yield from it\n    yield got\n", "def g():\n    yield 1\n    return 'end'\nassert list(f(g())) == [1, 'end']"),
}  # fmt: skip


@pytest.mark.parametrize("name", OF_THE_TESTS)
def test_the_solution_finds_what_the_tests_raised(name, with_client):
    found, words = outcome(*OF_THE_TESTS[name], with_client)
    assert found == "passed", words


def test_an_exception_of_the_tests_that_is_told_otherwise_does_not_pass(with_pair_client):
    code = TELLS.format("KeyError", "str(e), e.args[0]")
    found, words = outcome(code, OF_THE_TESTS["a key"][1], with_pair_client)
    assert found == "failed", words


@pytest.mark.parametrize(
    "name, value", [("start", -8), ("end", -1), ("start", 1 << 62), ("object", "text"), ("reason", b"")]
)
def test_a_field_that_no_such_exception_has_is_not_set(name, value):
    given = {"encoding": "utf-8", "object": b"a", "start": 0, "end": 1, "reason": "x", name: value}
    error = fresh(UnicodeDecodeError, ("utf-8", b"a", -8, -7, "x"), tuple(given.items()))
    assert dict(fields(error)).get(name) != value
    str(error)


def test_a_constant_hides_no_method_of_an_exception():
    copy = type("E", (OSError,), {})
    left = set_class_values(
        {"E": copy},
        [("E", "args", 1), ("E", "errno", 1), ("E", "__eq__", 1), ("E", "remote", 1), ("E", "n", [1])],
    )
    assert (
        left == ()
        and not {"args", "errno", "remote", "n"} & set(vars(copy))
        and copy.__eq__ is OSError.__eq__
    )
