"""Imports, calls, attributes and patches of one file."""

import ast
from collections.abc import Iterator

from verl_coder.upgrade.foreign import Foreign
from verl_coder.upgrade.own_source import OwnFile
from verl_coder.upgrade.packages import INNER_ONLY, package_of
from verl_coder.upgrade.touch import Touch


def module_touches(source: OwnFile, foreign: Foreign) -> Iterator[Touch]:
    """What the file does with foreign modules, functions and classes, but for subclasses."""
    for name, line in source.imports:
        if package_of(name):
            yield Touch(name=name, kind="import", file=source.file, line=line)
    yield from _Reader(source, foreign).read()


class _Reader(ast.NodeVisitor):
    def __init__(self, source: OwnFile, foreign: Foreign) -> None:
        self.source, self.foreign = source, foreign
        self.found: list[Touch] = []
        self.objects: list[dict[str, str]] = []
        """Of each function around: its names that hold an object of a foreign class -> the class."""
        self.words: dict[str, list[str]] = {}
        """Names of a `for` over literal texts: what `setattr(x, name, ...)` may set."""

    def read(self) -> list[Touch]:
        for node in ast.walk(self.source.tree):
            if not (isinstance(node, ast.For) and isinstance(node.target, ast.Name)):
                continue
            if isinstance(node.iter, ast.Tuple | ast.List):
                texts = [one.value for one in node.iter.elts if isinstance(one, ast.Constant)]
                self.words[node.target.id] = [text for text in texts if isinstance(text, str)]
        self.visit(self.source.tree)
        return self.found

    def add(self, name: str, kind: str, line: int, **more: object) -> None:
        if package_of(name):
            self.found.append(Touch(name=name, kind=kind, file=self.source.file, line=line, **more))  # type: ignore[arg-type]

    # ---- which object is of which class -------------------------------------------------------

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        args = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        held = {arg.arg: self.class_of(arg.annotation) for arg in args if arg.annotation is not None}
        for inner in ast.walk(node):
            if (
                isinstance(inner, ast.Assign)
                and isinstance(inner.value, ast.Call)
                and len(inner.targets) == 1
            ):
                target = inner.targets[0]
                if isinstance(target, ast.Name):
                    held[target.id] = self.class_of(inner.value.func)
            elif isinstance(inner, ast.AnnAssign) and isinstance(inner.target, ast.Name):
                held[inner.target.id] = self.class_of(inner.annotation)
        self.objects.append({name: cls for name, cls in held.items() if cls})
        self.generic_visit(node)
        self.objects.pop()

    visit_AsyncFunctionDef = visit_FunctionDef

    def class_of(self, node: ast.AST | None) -> str:
        """The foreign class that an annotation or a constructor names, `X | None` too."""
        if isinstance(node, ast.BinOp):
            return self.class_of(node.left) or self.class_of(node.right)
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            try:
                return self.class_of(ast.parse(node.value, mode="eval").body)
            except SyntaxError:
                return ""
        name = self.source.resolve(node)
        if not package_of(name) or package_of(name) in INNER_ONLY:
            return ""
        found = self.foreign.find(name)
        return name if found is not None and found.kind == "class" else ""

    # ---- what is done -------------------------------------------------------------------------

    def visit_Call(self, node: ast.Call) -> None:
        name = self.source.resolve(node.func) or self.of_object(node.func)
        if package_of(name):
            self.add(
                self.trimmed(name),
                "call" if self.trimmed(name) == name else "attribute",
                node.lineno,
                positional=sum(not isinstance(arg, ast.Starred) for arg in node.args),
                keywords=tuple(sorted(word.arg for word in node.keywords if word.arg)),
                open_ended=any(isinstance(arg, ast.Starred) for arg in node.args)
                or any(word.arg is None for word in node.keywords),
            )
        if isinstance(node.func, ast.Name) and node.func.id == "setattr" and len(node.args) == 3:
            self.patched(node.args[0], node.args[1], node.lineno)
        if isinstance(node.func, ast.Name) and node.func.id in ("getattr", "hasattr") and len(node.args) > 1:
            owner = self.source.resolve(node.args[0])
            for word in self.texts(node.args[1]):
                if owner:
                    self.add(f"{owner}.{word}", "attribute", node.lineno)
        self.generic_visit(node)

    def patched(self, owner: ast.AST, word: ast.AST, line: int) -> None:
        name = self.source.resolve(owner)
        for one in self.texts(word):
            if name:
                self.add(f"{name}.{one}", "patch", line)

    def texts(self, node: ast.AST) -> list[str]:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            return [node.value]
        return self.words.get(node.id, []) if isinstance(node, ast.Name) else []

    def visit_Attribute(self, node: ast.Attribute) -> None:
        name = self.source.resolve(node)
        if package_of(name):
            stored = isinstance(node.ctx, ast.Store | ast.Del)
            self.add(name if stored else self.trimmed(name), "patch" if stored else "attribute", node.lineno)
            return
        name = self.of_object(node)
        if name and not isinstance(node.ctx, ast.Store):
            self.add(name, "attribute", node.lineno)
        self.generic_visit(node)

    def of_object(self, node: ast.AST) -> str:
        """`Class.name` of `x.name`, where x is told to be an object of a foreign class."""
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            for held in reversed(self.objects):
                if node.value.id in held:
                    name = f"{held[node.value.id]}.{node.attr}"
                    return name if self.foreign.find(name) is not None else ""
        return ""

    def trimmed(self, name: str) -> str:
        """The name up to the first part that is neither module nor class."""
        parts = name.split(".")
        if package_of(name) in INNER_ONLY:
            return name
        for end in range(1, len(parts)):
            found = self.foreign.find(".".join(parts[:end]))
            if found is None or found.kind not in ("module", "class"):
                return ".".join(parts[:end])
        return name
