"""Keys of verl's configuration: those that our YAML files set, and those that our code reads or overrides."""

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from verl_coder.launch.recipe import OPEN_MAPPINGS
from verl_coder.upgrade.own_source import OwnFile
from verl_coder.upgrade.text_touches import yaml_files
from verl_coder.upgrade.touch import Touch

_NOT_VERLS = ("verl_coder", "defaults", "hydra")
_METHODS = ("get", "items", "keys", "values", "update", "pop", "copy", "setdefault")
"""Of a mapping: a chain of attributes ends there."""


def config_touches(root: Path, files: Sequence[OwnFile]) -> Iterator[Touch]:
    """Touches named `verl:config:<dotted key>`; what verl hands on to another library does not count."""
    pages = [page for path in yaml_files(root) if (page := _page(path, root)) is not None]
    sections = {key for _, keys in pages for key, _ in keys}
    sections = {key.partition(".")[0] for key in sections}
    for file, keys in pages:
        for key, line in keys:
            yield from _touch(key, file, line)
    for source in files:
        reader = _KeyReader(sections)
        reader.visit(source.tree)
        for key, line in reader.found:
            yield from _touch(key, source.file, line)


def _touch(key: str, file: str, line: int) -> Iterator[Touch]:
    if not any(f"{key}.".startswith(f"{mapping}.") and key != mapping for mapping in OPEN_MAPPINGS):
        yield Touch(name=f"verl:config:{key}", kind="config", file=file, line=line)


def _page(path: Path, root: Path) -> tuple[str, list[tuple[str, int]]] | None:
    """The keys of a recipe or of what recipes are made of, with their lines."""
    relative = path.relative_to(root)
    text = path.read_text()
    is_part = relative.parts[0] == "config" and (len(relative.parts) == 2 or "@package _global_" in text)
    if not (is_part or path.name == "recipe.yaml"):
        return None
    node = yaml.compose(text)
    return (relative.as_posix(), list(_keys(node, ""))) if isinstance(node, yaml.MappingNode) else None


def _keys(node: yaml.MappingNode, prefix: str) -> Iterator[tuple[str, int]]:
    for name, value in node.value:
        key = f"{prefix}{name.value}"
        if key in _NOT_VERLS:
            continue
        if isinstance(value, yaml.MappingNode) and value.value:
            yield from _keys(value, f"{key}.")
        else:
            yield key, name.start_mark.line + 1


class _KeyReader(ast.NodeVisitor):
    """`config.trainer.v1.x`, `actor = config.actor_rollout_ref.actor; actor.x`, and texts like `+trainer.x=1`."""

    def __init__(self, sections: set[str]) -> None:
        self.sections = sections
        self.found: set[tuple[str, int]] = set()
        self.held: list[dict[str, str]] = [{}]
        choice = "|".join(map(re.escape, sorted(sections))) or "$."
        self.text = re.compile(rf"[+~]{{0,2}}((?:{choice})(?:\.[A-Za-z_]\w*)+)(?:=.*)?", re.S)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.held.append({})
        for inner in ast.walk(node):
            if isinstance(inner, ast.Assign) and len(inner.targets) == 1:
                self._hold(inner.targets[0], inner.value)
        self.generic_visit(node)
        self.held.pop()

    visit_AsyncFunctionDef = visit_FunctionDef

    def _hold(self, target: ast.expr, value: ast.expr) -> None:
        targets = target.elts if isinstance(target, ast.Tuple) else [target]
        values = value.elts if isinstance(value, ast.Tuple) else [value]
        for one, its in zip(targets, values, strict=False):
            key = self.key(its)
            if isinstance(one, ast.Name) and key:
                self.held[-1][one.id] = key

    def key(self, node: ast.AST) -> str:
        """The dotted key that the chain reads, "" where it is none."""
        parts: list[str] = []
        while True:
            if isinstance(node, ast.Attribute):
                parts.append(node.attr)
                node = node.value
            elif (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr == "get"
            ):
                first = node.args[0] if node.args else None
                if not (isinstance(first, ast.Constant) and isinstance(first.value, str)):
                    return ""
                parts.append(first.value)
                node = node.func.value
            else:
                break
        if not isinstance(node, ast.Name):
            return ""
        parts = parts[::-1]
        for held in reversed(self.held):
            if node.id in held:
                return self._cut([*held[node.id].split("."), *parts])
        names = [node.id, *parts]
        for at, name in enumerate(names[1:], 1):
            if name in self.sections and names[at - 1].endswith(("config", "cfg")):
                return self._cut(names[at:])
        return ""

    @staticmethod
    def _cut(parts: list[str]) -> str:
        end = next((at for at, part in enumerate(parts) if part in _METHODS), len(parts))
        return ".".join(parts[:end])

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._note(node)

    def visit_Call(self, node: ast.Call) -> None:
        self._note(node)

    def _note(self, node: ast.Attribute | ast.Call) -> None:
        key = self.key(node)
        if "." in key:
            self.found.add((key, node.lineno))
            for inner in ast.walk(node):
                if isinstance(inner, ast.Call):
                    for argument in (*inner.args, *inner.keywords):
                        self.visit(argument)
        else:
            self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        found = self.text.fullmatch(node.value) if isinstance(node.value, str) else None
        if found:
            self.found.add((found[1], node.lineno))
