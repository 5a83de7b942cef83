"""Tests that run text: what comes from the solution must not run in the judge; only arithmetic and known names do."""

import ast
import builtins
import re
import sys
import types
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from verl_coder.grading.programs.failures import TEST_FILES, Unsplittable
from verl_coder.grading.programs.guards import guard_pytest
from verl_coder.grading.programs.looks import look_through_stand_ins
from verl_coder.grading.programs.proxies import Remote

_PLAIN = (
    ast.Expression,
    ast.Constant,
    ast.BinOp,
    ast.UnaryOp,
    ast.BoolOp,
    ast.Compare,
    ast.List,
    ast.Tuple,
    ast.Dict,
    ast.Set,
    ast.Name,
    ast.Call,
    ast.keyword,
    ast.operator,
    ast.unaryop,
    ast.boolop,
    ast.cmpop,
    ast.expr_context,
)
_PURE: dict[str, Any] = {
    kind.__name__: kind
    for kind in (abs, bool, dict, float, int, len, list, max, min, round, set, str, sum, tuple)
}
_EVAL, _EXEC, _COMPILE = eval, exec, compile
_RUNS_TEXT = re.compile(r"(?<!re\.)\b(?:eval|exec|compile)\b")
_TEXT = "<text of the tests>"
_TEXT_RUNNERS = {
    "pickle": ("loads", "load", "Unpickler"),
    "marshal": ("loads", "load"),
    "shelve": ("open",),
    "doctest": ("testmod", "run_docstring_examples", "DocTestRunner", "DocTestFinder"),
    "runpy": ("run_path", "run_module"),
}


def guard_text_runners(names: dict[str, Any], text: str, note: Callable[[str], Any]) -> None:
    """Keep tests of this `text` from running text of the solution; `names` are the globals of the tests.

    `note(words)` remembers a refusal, which a test may swallow by `except:`. Where the text mentions them, modules lose
    what runs data as text, and `eval`, `exec` and `compile` look at their text under whatever name they are called, by
    the tests or by what calls for them (`map`, `sorted`). What stands in the tests as a literal is their own and runs
    as ever, as does what a library itself runs.
    """
    for module, functions in _TEXT_RUNNERS.items():
        if module in text:
            found = __import__(module)
            for name in functions:
                setattr(found, name, _refuse(f"{module}.{name}", note))
    if "approx" in text and "pytest" in text:
        guard_pytest()
    if "yaml" in text:
        _keep_yaml_plain(note)
    look_through_stand_ins(text)
    if not _RUNS_TEXT.search(text):
        return

    def is_free(source: Any, name: str) -> bool:
        caller = sys._getframe(2).f_code
        if caller.co_filename not in TEST_FILES and name in caller.co_names:
            return True
        # Code objects do not travel, so one that is here was made here.
        return isinstance(source, types.CodeType) or source in _literals(text)

    def evaluate(source: Any, globals: Any = None, locals: Any = None, /) -> Any:
        if is_free(source, "eval"):
            return _EVAL(_of_the_tests(source, "eval"), *_places(globals, locals))
        return _calculate(source, {**_PURE, **names, **(globals or {}), **(locals or {})}, note)

    def execute(source: Any, globals: Any = None, locals: Any = None, /, *, closure: Any = None) -> None:
        if not is_free(source, "exec"):
            _refuse("exec", note)()
        more = {"closure": closure} if closure is not None else {}
        _EXEC(_of_the_tests(source, "exec"), *_places(globals, locals), **more)

    def compile_own(source: Any, filename: Any, mode: str, *args: Any, **kwargs: Any) -> Any:
        if not is_free(source, "compile"):
            _refuse("compile", note)()
        if sys._getframe(1).f_code.co_filename in TEST_FILES:
            TEST_FILES.add(str(filename))
        return _COMPILE(source, filename, mode, *args, **kwargs)

    for name, function in (("eval", evaluate), ("exec", execute), ("compile", compile_own)):
        function.__name__, function.__module__ = name, "builtins"
        setattr(builtins, name, function)


def _keep_yaml_plain(note: Callable[[str], Any]) -> None:
    """Tags that name functions and classes of Python are refused; plain data are read as ever."""
    try:
        from yaml import constructor
    except ImportError:
        return
    for owner in ("FullConstructor", "UnsafeConstructor"):
        for name in ("find_python_module", "find_python_name", "make_python_instance"):
            setattr(getattr(constructor, owner), name, _refuse(f"yaml's {name}", note))


def _of_the_tests(source: Any, mode: str) -> Any:
    """What runs a literal of the tests: code that is known as theirs, so that what it runs is looked at, too."""
    if sys._getframe(2).f_code.co_filename not in TEST_FILES or isinstance(source, types.CodeType):
        return source
    TEST_FILES.add(_TEXT)
    return _COMPILE(source.strip() if mode == "eval" else source, _TEXT, mode)


def _places(globals: Any, locals: Any) -> tuple[Any, Any]:
    """Where text runs: in what is given, else where the caller stands."""
    frame = sys._getframe(2)
    where = frame.f_globals if globals is None else globals
    return where, (frame.f_locals if globals is None else globals) if locals is None else locals


@lru_cache(maxsize=1)
def _literals(text: str) -> frozenset[Any]:
    tree = ast.parse(text)
    values = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return frozenset(value for value in values if isinstance(value, (str, bytes)))


def _calculate(source: Any, known: dict[str, Any], note: Callable[[str], Any]) -> Any:
    if not isinstance(source, str):
        _refuse("eval", note)()
    tree = ast.parse(source.strip(), mode="eval")
    for node in ast.walk(tree):
        if not isinstance(node, _PLAIN) or (isinstance(node, ast.Call) and not _may_call(node.func, known)):
            _refuse("eval", note)()
    return _EVAL(_COMPILE(tree, "<text>", "eval"), {"__builtins__": {}, **known})


def _may_call(node: ast.expr, known: dict[str, Any]) -> bool:
    if not isinstance(node, ast.Name):
        return False
    return node.id in known and (known[node.id] is _PURE.get(node.id) or isinstance(known[node.id], Remote))


def _refuse(name: str, note: Callable[[str], Any]) -> Any:
    words = f"the tests run text or data by {name}, which may be the solution's"

    def refuse(*args: Any, **kwargs: Any) -> Any:
        note(words)
        raise Unsplittable(words)

    return refuse
