"""Our own source as text: what each name of a file is bound to, and which classes there are."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from verl_coder.upgrade.foreign import dotted
from verl_coder.upgrade.packages import PACKAGES

FOLDERS = ("src", "rewards", "losses", "data_prep", "benchmarks")
_RAY_CLASS = ".__ray_metadata__.modified_class"
"""How the class under Ray's decorator is reached."""
_MAY_TOUCH = re.compile(
    rf"\b(?:{'|'.join(PACKAGES)})\b|\b(?:config|cfg)\.|\b(?:VERL|VLLM|RAY|WANDB|TRANSFORMERS)_"
    r"|^ *class \w+\([\w., ]*(?:Mixin|Trainer|Worker|Loop|Tool|Parser|Dataset|Extension|Platform|Policy)\b",
    re.MULTILINE,
)
"""A file without any of these is not parsed, which takes most of the time."""


@dataclass(frozen=True, kw_only=True)
class SelfUse:
    """`self.name` or `super().name` in a method."""

    name: str
    line: int
    method: str
    stored: bool
    further: str = ""
    """A private name that is taken of it: `self.name._private`."""


@dataclass(kw_only=True)
class OwnClass:
    """A class of ours; `bases` are dotted names, of ours or foreign."""

    name: str
    file: str
    line: int
    bases: list[str]
    methods: dict[str, ast.FunctionDef | ast.AsyncFunctionDef] = field(default_factory=dict)
    values: set[str] = field(default_factory=set)
    uses: list[SelfUse] = field(default_factory=list)

    def goes_on(self, method: str) -> bool:
        """Whether the method calls, or hands on, what it overrides."""
        for node in ast.walk(self.methods[method]):
            if isinstance(node, ast.Attribute) and node.attr == method and dotted(node.value) != "self":
                return True
        return False


@dataclass(frozen=True, kw_only=True)
class OwnFile:
    """A Python file with what its names are bound to: `tq` -> `transfer_queue`."""

    path: Path
    file: str
    """From the root of the repository."""
    module: str
    tree: ast.Module
    bound: dict[str, str]
    imports: tuple[tuple[str, int], ...]

    def resolve(self, node: ast.AST | None) -> str:
        """The full dotted name of a chain, "" where its first name is no import of this file."""
        text = dotted(node)
        head, _, rest = text.partition(".")
        if head not in self.bound:
            return ""
        return f"{self.bound[head]}.{rest}" if rest else self.bound[head]


def source_files(root: Path) -> Iterator[OwnFile]:
    """All Python files of the package and the content folders, but this part's own."""
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            if "verl_coder/upgrade/" not in path.as_posix() and _MAY_TOUCH.search(path.read_text()):
                yield read_source(path, root)


def read_source(path: Path, root: Path) -> OwnFile:
    """One file; names that a module binds to a foreign or own name count as that name."""
    tree = ast.parse(path.read_text())
    parts = (
        path.relative_to(root / "src" if path.is_relative_to(root / "src") else root).with_suffix("").parts
    )
    bound: dict[str, str] = {}
    imports: list[tuple[str, int]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                imports.append((alias.name, node.lineno))
                name = alias.name if alias.asname else alias.name.partition(".")[0]
                bound[alias.asname or name] = name
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                imports.append((f"{node.module}.{alias.name}", node.lineno))
                bound[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    source = OwnFile(
        path=path,
        file=path.relative_to(root).as_posix(),
        module=".".join(parts),
        tree=tree,
        bound=bound,
        imports=tuple(imports),
    )
    for statement in tree.body:
        for name, value in _pairs(statement):
            full = source.resolve(value)
            if full:
                bound.setdefault(name, full.removesuffix(_RAY_CLASS))
    return source


def _pairs(node: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    """(name, value) of an assignment, of `a, b = x, y` both."""
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None:
        yield node.target.id, node.value
    elif isinstance(node, ast.Assign) and len(node.targets) == 1:
        target, value = node.targets[0], node.value
        if isinstance(target, ast.Name):
            yield target.id, value
        elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            for one, its in zip(target.elts, value.elts, strict=False):
                if isinstance(one, ast.Name):
                    yield one.id, its


def own_classes(source: OwnFile) -> Iterator[OwnClass]:
    """Every class of the file with its methods, class-level values and uses of `self`."""
    local = {node.name for node in source.tree.body if isinstance(node, ast.ClassDef)}
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.ClassDef):
            continue
        bases = []
        for base in node.bases:
            plain = base.value if isinstance(base, ast.Subscript) else base
            name = f"{source.module}.{plain.id}" if isinstance(plain, ast.Name) and plain.id in local else ""
            bases += [name or source.resolve(plain)]
        found = OwnClass(
            name=f"{source.module}.{node.name}",
            file=source.file,
            line=node.lineno,
            bases=[base for base in bases if base],
        )
        for inner in node.body:
            if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                found.methods[inner.name] = inner
                found.uses += _self_uses(inner)
            else:
                targets = inner.targets if isinstance(inner, ast.Assign) else [getattr(inner, "target", None)]
                found.values |= {one.id for one in targets if isinstance(one, ast.Name)}
        yield found


def _self_uses(method: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[SelfUse]:
    further = {}
    for node in ast.walk(method):
        if not (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Attribute)):
            continue
        if node.attr.startswith("_") and not node.attr.startswith("__"):
            further[id(node.value)] = node.attr
    for node in ast.walk(method):
        if isinstance(node, ast.Attribute) and _is_self(node.value):
            yield SelfUse(
                name=node.attr,
                line=node.lineno,
                method=method.name,
                stored=isinstance(node.ctx, ast.Store),
                further=further.get(id(node), ""),
            )


def _is_self(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id == "super"
    return isinstance(node, ast.Name) and node.id in ("self", "cls")
