"""The house: what may import what. Imports inside functions and under TYPE_CHECKING count, too."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from verl_coder.paths import repository_root

ROOT = repository_root()
SOURCE = ROOT / "src"
CONTENT = ("recipes", "config", "tool_config", "data_prep", "rewards", "losses", "run_scripts", "benchmarks")
MOST_IMPORTS = 12

FORBIDDEN = {
    "run": ("verl_coder.trainer", "verl_coder.launch", "verl", "ray", "torch", "transfer_queue"),
    "trainer": ("verl_coder.launch",),
    "grading": ("verl_coder.run", "verl_coder.trainer", "verl_coder.launch", "verl", "ray", "torch"),
    "sandbox": ("verl_coder.run", "verl_coder.trainer", "verl_coder.launch", "verl", "ray", "torch"),
    "data": ("verl_coder.run", "verl_coder.trainer", "verl_coder.launch", "verl", "torch"),
    "sft": ("verl_coder.trainer",),
    "teacher": ("verl_coder.trainer", "verl_coder.launch"),
    "tools": ("verl_coder.trainer", "verl_coder.launch"),
    "agent_loops": ("verl_coder.trainer", "verl_coder.launch"),
    "doctor": ("verl_coder.trainer", "verl_coder.report", "verl_coder.evaluation"),
    "report": ("verl_coder.trainer", "verl", "ray", "torch", "vllm", "transformers"),
    "evaluation": ("verl_coder.trainer", "verl_coder.launch", "ray"),
    "platform": ("verl_coder.run", "verl_coder.trainer", "verl_coder.launch"),
    "pipeline": ("verl_coder.trainer", "verl", "ray", "torch", "vllm", "transformers"),
    "rewards": ("verl_coder.run", "verl_coder.trainer", "verl_coder.launch", "verl", "ray", "torch"),
    "chains": ("verl_coder.run", "verl_coder.trainer", "verl_coder.launch", "verl", "ray", "torch"),
    "upgrade": ("verl", "ray", "torch", "vllm", "transformers", "transfer_queue"),
}
"""Package of verl_coder -> what none of its modules imports. The arrow: launch -> trainer -> run."""
BROUGHT = {
    **dict.fromkeys(("annotated_types", "pydantic_core"), "pydantic"),
    **dict.fromkeys(("hydra", "safetensors", "tokenizers", "jinja2"), "verl and transformers"),
    **dict.fromkeys(("openai", "zmq"), "vllm"),
}
"""Imported, and brought by a dependency that is imported for itself."""
ALLOWED = {"evaluation": ("verl_coder.launch.export",)}
"""Exceptions: a checkpoint becomes a model in one place."""


def module_name(path: Path) -> str:
    """`verl_coder.run.settings` of a file below src/."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def modules() -> dict[str, Path]:
    return {module_name(path): path for path in sorted((SOURCE / "verl_coder").rglob("*.py"))}


@cache
def imported(path: Path) -> frozenset[str]:
    """Dotted names that a file imports, wherever the import stands; of a `from`, the module and module.name."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{path}: a relative import"
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(names)


def own_imports(name: str) -> set[str]:
    """Modules of this project that the module `name` imports; of a package only its modules, not its face."""
    found = {other for other in imported(modules()[name]) if other in modules()} - {name}
    return {other for other in found if not any(inner.startswith(f"{other}.") for inner in found)}


def circles() -> Iterator[list[str]]:
    """Each circle once, as the modules along it."""
    done: set[str] = set()
    for start in modules():
        path: list[str] = []

        def visit(name: str, path: list[str] = path) -> Iterator[list[str]]:
            if name in path:
                yield [*path[path.index(name) :], name]
            elif name not in done:
                path.append(name)
                for other in sorted(own_imports(name)):
                    yield from visit(other)
                path.pop()
                done.add(name)

        yield from visit(start)


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert [" -> ".join(circle) for circle in circles()] == []


@pytest.mark.parametrize("package", FORBIDDEN)
def test_no_package_imports_what_stands_above_it(package: str) -> None:
    for name, path in modules().items():
        if f"{name}.".startswith(f"verl_coder.{package}."):
            for other in imported(path):
                if any(f"{other}.".startswith(f"{allowed}.") for allowed in ALLOWED.get(package, ())):
                    continue
                for forbidden in FORBIDDEN[package]:
                    assert not f"{other}.".startswith(f"{forbidden}."), f"{name} imports {other}"


@pytest.mark.parametrize(
    ("package", "importers"),
    [("pipeline", {"verl_coder.settings_reference"}), ("doctor", set()), ("upgrade", set())],
)
def test_a_package_above_all_others_is_imported_by_none(package: str, importers: set[str]) -> None:
    own = f"verl_coder.{package}"
    for name, path in modules().items():
        if not f"{name}.".startswith(f"{own}.") and name not in importers:
            assert not any(f"{other}.".startswith(f"{own}.") for other in imported(path)), name


def test_no_module_imports_more_than_a_dozen_of_the_projects_own() -> None:
    counts = {name: len(own_imports(name)) for name in modules()}
    assert {name: count for name, count in counts.items() if count > MOST_IMPORTS} == {}


def test_content_folders_import_the_package_and_not_each_other() -> None:
    for folder in CONTENT:
        for path in (ROOT / folder).rglob("*.py"):
            beside = {other.stem for other in path.parent.glob("*.py")}
            elsewhere = {
                other.stem for name in CONTENT if name != folder for other in (ROOT / name).rglob("*.py")
            }
            for name in imported(path):
                assert name.partition(".")[0] not in elsewhere - beside, f"{path} imports {name}"


def test_every_package_of_others_that_is_imported_is_a_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    declared = {_distribution(re.split(r"[^\w.-]", name)[0]) for name in wanted}
    found = packages_distributions()
    tops = {name.partition(".")[0] for path in modules().values() for name in imported(path)}
    for top in tops - sys.stdlib_module_names - {"verl_coder", *BROUGHT}:
        assert {_distribution(name) for name in found.get(top, [top])} & declared, top


def _distribution(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_package_imports_no_content_folder() -> None:
    for name, path in modules().items():
        for other in imported(path):
            assert other.partition(".")[0] not in CONTENT, f"{name} imports {other}"


def test_no_two_public_classes_have_one_name() -> None:
    places: dict[str, list[str]] = {}
    for name, path in modules().items():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(name)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_no_file_is_longer_than_an_idea_and_no_function_longer_than_a_screen() -> None:
    for path in modules().values():
        text = path.read_text()
        assert len(text.splitlines()) <= 400, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert (node.end_lineno or 0) - node.lineno < 50, f"{path}: {node.name}"


def test_no_address_of_a_package_index_stands_in_the_repository() -> None:
    found = subprocess.run(
        ["git", "grep", "-nIE", r"(pypi|pytorch)\.org/(simple|whl)|index-url[ =]https?:"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert [line for line in found.stdout.splitlines() if "test_architecture.py" not in line] == []
