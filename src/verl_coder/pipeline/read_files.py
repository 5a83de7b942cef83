"""What a stage reads beside the files that its options name: YAML of config/ and tool_config/, and the user's Python.

Modules are looked for by their names, in the folders that Python would look in. None of them is imported.
"""

import ast
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from importlib.util import find_spec, resolve_name
from pathlib import Path
from typing import Any

import yaml

from verl_coder.paths import repository_root
from verl_coder.pipeline.fingerprint import LIBRARIES, PACKAGE
from verl_coder.protocols import PROTOCOLS

_CLASS_KEYS = ("class_name", "_target_", "optimizer_impl")
"""Last part of the keys whose value is a class or a module by its dotted name."""
_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_COUNTED_OTHERWISE = {*sys.stdlib_module_names, *LIBRARIES, PACKAGE.name}


def loop_files() -> dict[str, Path]:
    """Of the agent loops of an evaluation, which composes no recipe."""
    folder = repository_root() / "config"
    return {"config/base.yaml": folder / "base.yaml", "agent loops": folder / "agent_loops.yaml"}


def default_tool_files(protocols: Iterable[str] = tuple(PROTOCOLS)) -> dict[str, Path]:
    """The YAML files of tool_config/ among which a command chooses by the rows' protocol where it is given none."""
    names = {tools for name in protocols if name in PROTOCOLS and (tools := PROTOCOLS[name].tools)}
    files = {f"tool_config/{name}": repository_root() / "tool_config" / name for name in sorted(names)}
    return {name: path for name, path in files.items() if path.is_file()}


def with_modules(inputs: Mapping[str, Path], settings: Mapping[str, Any]) -> dict[str, Path]:
    """The inputs, and the files of the modules that their Python imports, or that their YAML and settings name.

    An installed library counts by the file that is imported alone; Python's own modules, this package and the
    libraries that count by their version are left out.
    """
    found: dict[str, Path] = {}
    waiting = [*_named_classes(settings)]
    for path in inputs.values():
        if path.suffix == ".py":
            waiting += _imports(path, "")
        elif path.suffix in (".yaml", ".yml") and path.is_file():
            waiting += _classes_of_yaml(path)
    asked: set[str] = set()
    while waiting:
        dotted = waiting.pop()
        if dotted in asked or dotted.partition(".")[0] in _COUNTED_OTHERWISE:
            continue
        asked.add(dotted)
        for name, path in _files_of(dotted):
            if f"module {name}" not in found:
                found[f"module {name}"] = path
                if not _is_installed(path):
                    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
                    waiting += _imports(path, package)
    known = set(inputs.values())
    return dict(inputs) | {name: path for name, path in sorted(found.items()) if path not in known}


def _classes_of_yaml(path: Path) -> Iterator[str]:
    with suppress(
        OSError, ValueError, yaml.YAMLError
    ):  # who reads it for its sense says what is wrong with it
        yield from _named_classes(yaml.safe_load(path.read_text(encoding="utf-8")))


def _named_classes(values: Any, key: str = "") -> Iterator[str]:
    if isinstance(values, Mapping):
        for name, value in values.items():
            yield from _named_classes(value, str(name))
    elif isinstance(values, list | tuple):
        for value in values:
            yield from _named_classes(value, key)
    elif key.rpartition(".")[2] in _CLASS_KEYS and isinstance(values, str) and _DOTTED.fullmatch(values):
        yield values


def _imports(path: Path, package: str) -> set[str]:
    """Dotted names that a file imports, wherever the import stands; a name of a module's own is among them, too."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):  # the command that runs it says so
        return set()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            with suppress(ImportError):  # a relative import of a file that is in no package
                module = resolve_name("." * node.level + (node.module or ""), package)
                names |= {module, *(f"{module}.{alias.name}" for alias in node.names)}
    return names


def _files_of(dotted: str) -> Iterator[tuple[str, Path]]:
    """(module, file) of every module that importing `dotted` runs, from the outermost package in."""
    first, *rest = dotted.split(".")
    file, folders = _top_module(first)
    name = first
    while True:
        if file is not None:
            yield name, file
        if not rest or not folders:
            return
        file, folders = _module_in(folders, rest[0])
        name = f"{name}.{rest.pop(0)}"


def _top_module(name: str) -> tuple[Path | None, list[Path]]:
    # A task's command has the working folder before all others.
    file, folders = _module_in([Path.cwd(), *map(Path, sys.path)], name)
    if file is None and not folders:
        with suppress(ImportError, ValueError):  # of a checkout that is installed by a finder of its own
            spec = find_spec(name)
            origin = Path(spec.origin) if spec and spec.has_location and spec.origin else None
            return origin, [Path(folder) for folder in (spec and spec.submodule_search_locations) or ()]
    return file, folders


def _module_in(folders: Iterable[Path], name: str) -> tuple[Path | None, list[Path]]:
    """The file of a module, and the folders of what is below it; a folder without __init__.py comes last."""
    bare = []
    for folder in folders:
        if (file := folder / name / "__init__.py").is_file():
            return file, [folder / name]
        if (file := folder / f"{name}.py").is_file():
            return file, []
        if (folder / name).is_dir():
            bare.append(folder / name)
    return None, bare


def _is_installed(path: Path) -> bool:
    return any(path.is_relative_to(sysconfig.get_path(kind)) for kind in ("purelib", "platlib", "stdlib"))
