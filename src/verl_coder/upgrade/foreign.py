"""Foreign packages read as text: what a dotted name is, its parameters and its body. Nothing is imported.

So a version can be looked at that is not installed. What a package makes at run time
(`setattr`, compiled modules, a decorator that changes parameters) is not seen: such a name is `not found`.
"""

import ast
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from verl_coder.upgrade.parameters import fields_as_parameters, parameters


@dataclass(frozen=True, kw_only=True)
class Definition:
    """Where a name leads to: a module, class, function or value."""

    kind: str
    module: str
    node: ast.AST | None = None
    owner: str = ""
    """The class of a method or attribute."""


@dataclass(frozen=True, kw_only=True)
class _Module:
    name: str
    is_package: bool
    names: dict[str, ast.AST]
    """Definitions and assigned values of the module, wherever they stand outside functions."""
    imports: dict[str, str]
    stars: tuple[str, ...]


class Foreign:
    """The source of packages that lie in `roots`; the first root that has a module counts."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self.roots = list(roots)
        self._modules: dict[str, _Module | None] = {}
        self._found: dict[str, Definition | None] = {}
        self._classes: dict[int, dict[str, Definition]] = {}

    # ---- names --------------------------------------------------------------------------------

    def find(self, name: str) -> Definition | None:
        """What the dotted name is, through re-exports and base classes."""
        if name not in self._found:
            self._found[name] = None  # while it is looked for: what leads back to itself leads nowhere
            parts = name.split(".")
            for cut in range(len(parts), 0, -1):
                module = self._module(".".join(parts[:cut]))
                if module is not None:
                    start = Definition(kind="module", module=module.name)
                    self._found[name] = self._within(start, parts[cut:])
                    break
        return self._found[name]

    def _within(self, found: Definition | None, rest: Sequence[str]) -> Definition | None:
        for part in rest:
            if found is None:
                return None
            if found.kind == "module":
                found = self._in_module(found.module, part)
            elif found.kind == "class":
                found = self.member(found, part)
            else:
                return None
        return found

    def _in_module(self, module_name: str, name: str) -> Definition | None:
        module = self._module(module_name)
        if module is None:
            return None
        if name in module.names:
            return self._definition(module.names[name], module_name)
        if name in module.imports:
            return self.find(module.imports[name])
        for star in module.stars:
            found = self.find(f"{star}.{name}")
            if found is not None:
                return found
        inner = f"{module_name}.{name}" if module.is_package else ""
        return Definition(kind="module", module=inner) if inner and self._module(inner) else None

    def _definition(self, node: ast.AST, module: str) -> Definition | None:
        if isinstance(node, ast.ClassDef):
            return Definition(kind="class", module=module, node=node)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            return Definition(kind="function", module=module, node=node)
        text = dotted(node)
        if text:
            head, _, rest = text.partition(".")
            found = self._within(self._in_module(module, head), rest.split(".") if rest else [])
            if found is not None:
                return found
        return Definition(kind="value", module=module, node=node)

    # ---- classes ------------------------------------------------------------------------------

    def bases(self, found: Definition) -> list[str]:
        """Base classes as the source names them."""
        assert isinstance(found.node, ast.ClassDef)
        return [ast.unparse(base) for base in found.node.bases]

    def lineage(self, found: Definition) -> Iterator[Definition]:
        """The class and those that it is built on, nearest first."""
        waiting, done = [found], set()
        while waiting:
            one = waiting.pop(0)
            if one.kind != "class" or id(one.node) in done or not isinstance(one.node, ast.ClassDef):
                continue
            done.add(id(one.node))
            yield one
            for base in one.node.bases:
                text = dotted(base.value if isinstance(base, ast.Subscript) else base)
                if text:
                    head, _, rest = text.partition(".")
                    start = self._in_module(one.module, head)
                    inner = self._within(start, rest.split(".") if rest else [])
                    if inner is not None:
                        waiting.append(inner)

    def member(self, found: Definition, name: str) -> Definition | None:
        """A method or attribute of a class or of those that it is built on."""
        for one in self.lineage(found):
            members = self._members(one)
            if name in members:
                return members[name]
        return None

    def _members(self, found: Definition) -> dict[str, Definition]:
        node = found.node
        assert isinstance(node, ast.ClassDef)
        if id(node) not in self._classes:
            members: dict[str, Definition] = {}
            for inner in ast.walk(node):
                if isinstance(inner, ast.Attribute) and isinstance(inner.ctx, ast.Store):
                    members.update(_of_self(inner, found, members))
            for name, value in _names(node.body).items():
                kind = "function" if isinstance(value, ast.FunctionDef | ast.AsyncFunctionDef) else "value"
                kind = "class" if isinstance(value, ast.ClassDef) else kind
                members[name] = Definition(kind=kind, module=found.module, node=value, owner=node.name)
            self._classes[id(node)] = members
        return self._classes[id(node)]

    # ---- what a name must stay like -----------------------------------------------------------

    def takes(self, found: Definition) -> list[str] | None:
        """Parameters of a function, or of the constructor of a class; None where the source does not say."""
        if isinstance(found.node, ast.FunctionDef | ast.AsyncFunctionDef):
            return parameters(found.node, in_class=bool(found.owner))
        if found.kind != "class":
            return None
        constructor = self.member(found, "__init__")
        if constructor is not None and isinstance(constructor.node, ast.FunctionDef):
            return parameters(constructor.node, in_class=True)[1:]
        classes = [one.node for one in self.lineage(found) if isinstance(one.node, ast.ClassDef)]
        return fields_as_parameters(classes[::-1])

    def body(self, found: Definition) -> str | None:
        """A digest of a function's code, of a class's methods and their parameters, without comments and docstrings."""
        node = found.node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            statements = node.body[1:] if ast.get_docstring(node) is not None else node.body
            text = "\n".join(ast.unparse(one) for one in statements)
        elif isinstance(node, ast.ClassDef):
            methods = [one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
            text = "\n".join(f"{one.name} {parameters(one, in_class=True)}" for one in methods)
        else:
            return None
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    # ---- text ---------------------------------------------------------------------------------

    def has_word(self, package: str, words: set[str]) -> set[str]:
        """Those of the words that the package's Python files have."""
        left, found = set(words), set()
        for path in self._files(package):
            if not left:
                break
            text = path.read_text(errors="replace")
            here = {word for word in left if word in text}
            here = {word for word in here if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text)}
            found |= here
            left -= here
        return found

    def homes(self, package: str, name: str) -> list[str]:
        """Modules of the package that define a class, function or value of this name; at most three."""
        pattern = re.compile(
            rf"^[ \t]*(?:class|def|async def) {re.escape(name)}\b|^{re.escape(name)}\b *[:=]", re.M
        )
        homes = []
        for path in self._files(package):
            if pattern.search(path.read_text(errors="replace")):
                root = next(root for root in self.roots if path.is_relative_to(root))
                parts = path.relative_to(root).with_suffix("").parts
                homes.append(".".join(parts[:-1] if parts[-1] == "__init__" else parts))
                if len(homes) == 3:
                    break
        return homes

    def folder(self, package: str) -> Path | None:
        """Folder of the package."""
        return next((root / package for root in self.roots if (root / package).is_dir()), None)

    def _files(self, package: str) -> list[Path]:
        folder = self.folder(package)
        return sorted(folder.rglob("*.py")) if folder else []

    # ---- modules ------------------------------------------------------------------------------

    def _module(self, name: str) -> _Module | None:
        if name not in self._modules:
            self._modules[name] = self._read(name)
        return self._modules[name]

    def _read(self, name: str) -> _Module | None:
        parts = name.split(".")
        root = self.folder(parts[0])
        if root is None:
            return None
        base = root.joinpath(*parts[1:])
        for path, is_package in ((base / "__init__.py", True), (base.with_suffix(".py"), False)):
            if path.is_file() and (len(parts) > 1 or is_package):
                tree = ast.parse(path.read_text(errors="replace"))
                imports, stars = _imports(tree.body, name if is_package else name.rpartition(".")[0])
                return _Module(
                    name=name, is_package=is_package, names=_names(tree.body), imports=imports, stars=stars
                )
        if base.is_dir() or any(base.parent.glob(f"{base.name}.*.so")):
            return _Module(name=name, is_package=base.is_dir(), names={}, imports={}, stars=())
        return None


def _of_self(node: ast.Attribute, found: Definition, known: dict[str, Definition]) -> dict[str, Definition]:
    """The attribute that `self.name = ...` makes, where the class has none of the name yet."""
    if node.attr in known or dotted(node.value) != "self":
        return {}
    assert isinstance(found.node, ast.ClassDef)
    return {node.attr: Definition(kind="value", module=found.module, owner=found.node.name)}


def dotted(node: ast.AST | None) -> str:
    """`a.b.c` of a chain of names; "" of any other expression."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *parts[::-1]]) if isinstance(node, ast.Name) else ""


def _blocks(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements of a module or class, also those inside if, try and with."""
    for node in body:
        yield node
        for part in ("body", "orelse", "finalbody"):
            if isinstance(node, ast.If | ast.Try | ast.With):
                yield from _blocks(getattr(node, part, []))
        for handler in getattr(node, "handlers", []):
            yield from _blocks(handler.body)


def _names(body: Sequence[ast.stmt]) -> dict[str, ast.AST]:
    names: dict[str, ast.AST] = {}
    for node in _blocks(body):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            names[node.name] = node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.setdefault(node.target.id, node.value or node)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                for one in target.elts if isinstance(target, ast.Tuple) else [target]:
                    if isinstance(one, ast.Name):
                        names.setdefault(one.id, node.value)
    return names


def _imports(body: Sequence[ast.stmt], package: str) -> tuple[dict[str, str], tuple[str, ...]]:
    imports: dict[str, str] = {}
    stars: list[str] = []
    for node in _blocks(body):
        if isinstance(node, ast.Import):
            for alias in node.names:
                imports[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")
            start = ".".join(above[: len(above) - node.level + 1]) if node.level else ""
            module = ".".join(part for part in (start, node.module or "") if part)
            for alias in node.names:
                if alias.name == "*":
                    stars.append(module)
                else:
                    imports[alias.asname or alias.name] = f"{module}.{alias.name}"
    return imports, tuple(stars)
