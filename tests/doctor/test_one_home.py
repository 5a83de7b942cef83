"""One home for a check: what is looked at before a run is looked at by the doctor, by the same functions."""

import ast
from collections.abc import Iterator
from pathlib import Path

from verl_coder.paths import repository_root

PACKAGE = repository_root() / "src" / "verl_coder"
BEFORE_A_RUN = PACKAGE / "launch" / "preflight" / "run.py"


def called(node: ast.AST) -> Iterator[str]:
    """Names of the functions `check_*` that are called in it, and of methods."""
    for call in ast.walk(node):
        if isinstance(call, ast.Call):
            name = getattr(call.func, "id", None) or getattr(call.func, "attr", "")
            if name.startswith("check_"):
                yield name


def functions() -> dict[str, tuple[ast.AST, ast.Module]]:
    """Name -> a function of the preflight, and its module."""
    found = {}
    for path in [*BEFORE_A_RUN.parent.glob("*.py"), *(PACKAGE / "launch").glob("*.py")]:
        module = ast.parse(path.read_text())
        found |= {node.name: (node, module) for node in module.body if isinstance(node, ast.FunctionDef)}
    return found


def parts(name: str, known: dict[str, tuple[ast.AST, ast.Module]]) -> set[str]:
    """What a check is made of: the checks that it calls, itself or by the private functions of its module."""
    node, module = known[name]
    private = {f.name: f for f in module.body if isinstance(f, ast.FunctionDef) and f.name.startswith("_")}
    nodes, names = [node], set()
    for seen in nodes:
        names |= set(called(seen))
        used = {inner.id for inner in ast.walk(seen) if isinstance(inner, ast.Name)}
        nodes += [private[other] for other in used & private.keys() if private[other] not in nodes]
    return names - {name}


def unknown(names: set[str], doctor: str) -> set[str]:
    """Those of `names` that the sources of the doctor do not name, nor all that they are made of."""
    known, missing = functions(), set()
    for name in names:
        if f"{name}(" in doctor:
            continue
        made_of = parts(name, known) if name in known else set()
        missing |= unknown(made_of, doctor) if made_of else {name}
    return missing


def sources(folder: Path) -> str:
    return "\n".join(path.read_text() for path in folder.glob("*.py"))


def test_the_doctor_calls_every_check_of_a_start() -> None:
    names = set(called(ast.parse(BEFORE_A_RUN.read_text())))
    assert len(names) > 15
    assert unknown(names, sources(PACKAGE / "doctor")) == set()


def test_a_check_that_it_does_not_call_is_named() -> None:
    doctor = sources(PACKAGE / "doctor").replace("check_window(", "").replace("check_out(", "")
    names = set(called(ast.parse(BEFORE_A_RUN.read_text())))
    assert unknown(names, doctor) == {"check_window", "check_out"}
