"""How a debugger shows what is wrong with an attempt: the commands to give, and what is worth saying of its answer."""

import ast
import re

from verl_coder.syntax import parsed
from verl_coder.teacher.attempts import Attempt
from verl_coder.teacher.checks import OK, WRONG, equality

_MAX_CONDITION = 80
_MAX_VALUE = 80
_RETURNS = re.compile(r"about to return(?: (?P<value>.+))?")
_BY_ERROR = re.compile(r"^(?:raised|leaving by) ")
_STANDS = re.compile(r"(?P<why>.+) at line (?P<line>\d+) in (?P<function>\w+)")
_VALUE = re.compile(r"(?P<name>[A-Za-z_]\w*) = (?P<value>.*)")


def commands_for(attempt: Attempt, tests: str) -> str:
    """One a line; empty where a debugger shows nothing that its run has not shown.

    An error or a loop without end is where the program stands by itself. A wrong value is looked at where the function
    returns it, in the call of the first example that is wrong.
    """
    code = parsed(attempt.code)
    if code is None:
        return ""
    if not attempt.run.succeeded:
        return "run"
    example = _first_wrong(attempt.run.text, tests)
    if example is None:
        return ""
    number, calls = example
    functions = {node.name: node for node in code.body if isinstance(node, ast.FunctionDef)}
    called = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id in functions]
    if len(called) != 1:
        return ""
    [call] = called
    assert isinstance(call.func, ast.Name)
    name = call.func.id
    condition = "" if number == 0 else _condition(call, functions[name])
    if condition is None:
        return ""
    return "\n".join([f"break {name}{condition}", "run", "return"])


def what_it_shows(told: str) -> str:
    """A sentence about the place where the program stands; empty where that is not in a function of the attempt."""
    last = re.split(r"^> .*\n", told, flags=re.M)[-1].splitlines()
    stands = next((found for line in last if (found := _STANDS.fullmatch(line))), None)
    if stands is None:
        return ""
    values = [found for line in last if (found := _VALUE.fullmatch(line))]
    seen = f"{values[-1]['name']} = {values[-1]['value']}" if values else ""
    place = f"line {stands['line']}"
    returns = _RETURNS.fullmatch(stands["why"])
    if returns:
        value = f" {returns['value']}" if returns["value"] and len(returns["value"]) <= _MAX_VALUE else ""
        return f"It returns{value} in {place}" + (f" with {seen}" if seen else "")
    if stands["why"] == "interrupted":
        return f"It is still in {place}" + (f" with {seen}" if seen else "")
    if stands["why"] in ("breakpoint", "stopped"):
        return ""
    error = _BY_ERROR.sub("", stands["why"]).partition(":")[0]
    return f"{error} in {place}" + (f" with {seen}" if seen else "")


def _first_wrong(printed: str, tests: str) -> tuple[int, list[ast.Call]] | None:
    """(number, calls on the left side) of the first example whose line says so.

    None where an assert is no plain equality: their lines stand in another order than they do.
    """
    asserts = [node for node in _body(tests) if isinstance(node, ast.Assert)]
    equalities = [pair for node in asserts if (pair := equality(node))]
    lines = [line for line in printed.splitlines() if line == OK or line.startswith(WRONG)]
    if not len(lines) == len(asserts) == len(equalities):
        return None
    number = next((place for place, line in enumerate(lines) if line != OK), None)
    if number is None:
        return None
    left, _ = equalities[number]
    return number, [node for node in ast.walk(left) if isinstance(node, ast.Call)]


def _condition(call: ast.Call, function: ast.FunctionDef) -> str | None:
    """` if a == 1 and ...`, true in this call alone; None where its arguments are not that simple."""
    names = [argument.arg for argument in [*function.args.posonlyargs, *function.args.args]]
    if call.keywords or not call.args or len(call.args) > len(names):
        return None
    if any(isinstance(argument, ast.Starred) for argument in call.args):
        return None
    equal = [f"{name} == {ast.unparse(argument)}" for name, argument in zip(names, call.args, strict=False)]
    condition = f" if {' and '.join(equal)}"
    return condition if len(condition) <= _MAX_CONDITION and "\n" not in condition else None


def _body(source: str) -> list[ast.stmt]:
    module = parsed(source)
    return module.body if module else []
