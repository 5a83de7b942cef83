"""Which text is Python: the parser says so, within a budget, and finds programs that stand in prose without a fence."""

import ast
import builtins
import re
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, field

from verl_coder.syntax import parse_python

CODE_LINE = re.compile(r"(?:@\w|(?:async\s+)?def\s+\w|class\s+\w|import\s+\w|from\s+[\w.]+\s+import\s)")
"""A line that begins code and no sentence."""

_MAX_CHARS = 100_000
_STATEMENT = re.compile(
    r"(?:for|while|if|with|try|async|match|assert|global|del)\b|[\w.]+\s*[(:]|[\w.,\[\] *()\"']+="
    r"|#|\"{3}|'{3}|[(\[{]"
)
_TAGS = "answer|final_answer|solution|code|python|response|result"
_TAG_BEFORE = re.compile(rf"^[ \t]*<(?:{_TAGS})>(?={CODE_LINE.pattern})", re.I | re.M)
_TAG_BEHIND = re.compile(rf"(?<=\S)[ \t]*</(?:{_TAGS})>[ \t]*$", re.I | re.M)
_ONE_LINE = re.compile(r"^[ \t]*`{3,}(?:(?:python3?|py)[ \t]+)?([^`\n]+)`{3,}[ \t]*$", re.M)
_PROMPT = re.compile(r"(?:>>>|\.\.\.)(?: |$)")
_LABEL_LINE = re.compile(r"\s*(?:python3?|py)[ \t]*\n", re.I)
_IO_CALLS = frozenset({"print", "input", "open", "write", "writelines"})
_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
_OPEN_ENDED = ("unterminated triple", "was never closed", "unexpected EOF")
_MAX_SHRINKS = 8


@dataclass
class ParseBudget:
    """How many more characters the parser reads for one completion, so that no text holds up a verdict."""

    chars: int = 300_000
    """The parser takes less than a second for so many, whatever they are."""
    _known: dict[str, str | None] = field(default_factory=dict)

    def parse(self, code: str) -> ast.Module | SyntaxError | None:
        """The module, or why it is none, or None where the parser gives up or may read no more."""
        self.chars -= 100 + len(code) // 20  # to copy it costs time, too
        if len(code) > min(self.chars, _MAX_CHARS):
            return None
        try:
            tree = parse_python(code)
        except SyntaxError as error:
            read_on = any(words in (error.msg or "") for words in _OPEN_ENDED)
            self.chars -= len(code) if read_on else _chars_before(code, error.lineno or 1)
            return error
        except (ValueError, RecursionError, MemoryError):
            self.chars -= len(code)
            return None
        self.chars -= len(code)
        return tree

    def python(self, code: str) -> str | None:
        """The code if it parses, else the code less its common indentation if that parses, else None."""
        if code not in self._known:
            self._known[code] = self._python(code)
        return self._known[code]

    def _python(self, code: str) -> str | None:
        if isinstance(self.parse(code), ast.Module):
            return code
        if code[:1] not in (" ", "\t", "\n", "\ufeff", "\u200b"):
            return None
        flush = textwrap.dedent(code.lstrip("\ufeff\u200b"))
        return flush if flush != code and isinstance(self.parse(flush), ast.Module) else None


def bare_code(text: str, budget: ParseBudget) -> str | None:
    """Code without a fence: the text if it is a program, else the longest program among its lines."""
    text = _LABEL_LINE.sub("", text, count=1) if _LABEL_LINE.match(text) else text
    text = text.strip("\n").rstrip()
    if len(text) > _MAX_CHARS:
        return None
    whole = budget.parse(text)
    if isinstance(whole, ast.Module):
        return _without_words(text, whole) + "\n" if _does_something(whole) else None
    lines = _untagged(text).split("\n")
    return _longest_program(lines, budget) or _longest_program(_indented(lines), budget)


def _untagged(text: str) -> str:
    """The text less the tags that stand before or behind code on its line."""
    return _TAG_BEFORE.sub("", _TAG_BEHIND.sub("", text))


def one_line_code(text: str, budget: ParseBudget) -> str | None:
    """The last code with both its fences on one line (```python f = lambda x: x```) that defines something."""
    for line in reversed(_ONE_LINE.findall(text)[-_MAX_SHRINKS:]):
        tree = budget.parse(line)
        if isinstance(tree, ast.Module) and any(map(_is_definition, tree.body)):
            return f"{line}\n"
    return None


def _is_definition(node: ast.stmt) -> bool:
    is_lambda = isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda)
    return is_lambda or isinstance(node, _DEFINITIONS)


def typed_in(text: str) -> str | None:
    """What was typed in a transcript of the interpreter, without its prompts and outputs; None where it is none."""
    lines = text.strip().split("\n")
    if not _PROMPT.match(lines[0]):
        return None
    return "".join(f"{line[4:]}\n" for line in lines if _PROMPT.match(line))


def _indented(lines: list[str]) -> list[str]:
    """The lines of Markdown's indented code, less the indentation."""
    code = [
        line[1:] if line.startswith("\t") else line[4:] if line.startswith("    ") else "" for line in lines
    ]
    return code if any(code) else []


def _longest_program(lines: list[str], budget: ParseBudget) -> str | None:
    found, start = "", 0
    while start < len(lines) and budget.chars > 0:
        if not _STATEMENT.match(lines[start]) and not CODE_LINE.match(lines[start]):
            start += 1
            continue
        end, tree = _longest_module(lines, start, budget)
        code = "\n".join(lines[start:end]).rstrip()
        code = _without_words(code, tree) if tree is not None else code
        if tree is not None and len(code) > len(found) and _is_answer(tree):
            found = code
        start = max(end, start + 1)
    return found + "\n" if found else None


def _without_words(code: str, tree: ast.Module) -> str:
    """Code less the words around it that happen to parse (`Note: it is fast`, `[DONE]`) and could only fail."""
    nodes = list(ast.walk(tree))
    known = bound_names(nodes).union(dir(builtins))
    if "*" in known:
        return code
    body = tree.body
    first, last = 0, len(body)
    while first < last and _is_words(body[last - 1], known):
        last -= 1
    while first < last and _is_words(body[first], known):
        first += 1
    lines = code.split("\n")
    begin = (body[first - 1].end_lineno or 0) if 0 < first < last else 0
    end = body[last].lineno - 1 if first < last < len(body) else len(lines)
    return "\n".join(lines[begin:end]).strip("\n").rstrip()


def _is_words(node: ast.stmt, known: set[str]) -> bool:
    """Whether a statement calls nothing, keeps nothing and asks for a name that is nowhere bound."""
    if isinstance(node, ast.AnnAssign):
        read: ast.AST = node.annotation
        if node.value is not None:
            return False
    elif isinstance(node, ast.Expr) and not any(isinstance(part, ast.Call) for part in ast.walk(node)):
        read = node
    else:
        return False
    return any(isinstance(part, ast.Name) and part.id not in known for part in ast.walk(read))


def bound_names(nodes: Iterable[ast.AST]) -> set[str]:
    """Names that any of the nodes binds, in whatever scope; `*` for what a star import brings."""
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.alias):
            names.add((node.asname or node.name).partition(".")[0])
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
            names.add(node.name or "")
        elif isinstance(node, ast.MatchMapping):
            names.add(node.rest or "")
        elif isinstance(node, ast.Global | ast.Nonlocal):
            names.update(node.names)
    return names


def is_program(text: str, budget: ParseBudget) -> bool:
    """Whether the text is Python that does something."""
    tree = budget.parse(text.strip())
    return isinstance(tree, ast.Module) and _does_something(tree)


def prints_or_defines(text: str, budget: ParseBudget) -> bool:
    """Whether the text is Python that is more than data."""
    tree = budget.parse(text)
    return isinstance(tree, ast.Module) and _is_answer(tree)


def _does_something(tree: ast.Module) -> bool:
    """Whether a module is more than words that happen to parse: `yes`, `Answer: x`."""
    return any(
        isinstance(node.value, ast.Call | ast.Await)
        if isinstance(node, ast.Expr)
        else not (isinstance(node, ast.AnnAssign) and node.value is None)
        for node in tree.body
    )


def _is_answer(tree: ast.Module) -> bool:
    """Whether a module between prose is the answer: it defines or imports something, reads or prints."""
    if any(map(_is_definition, tree.body)):
        return True
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return any(getattr(call, "id", getattr(call, "attr", "")) in _IO_CALLS for call in calls)


def _longest_module(lines: list[str], start: int, budget: ParseBudget) -> tuple[int, ast.Module | None]:
    """(end, module) of the lines from `start` on that parse, less the prose after them."""
    end = len(lines)
    for _ in range(_MAX_SHRINKS):
        tree = budget.parse("\n".join(lines[start:end]))
        if isinstance(tree, ast.Module):
            return end, tree
        # Prose after code fails at its first line, or the line after the code's last statement.
        failed_at = (tree.lineno or 1) if tree is not None else 1
        end = start + min(failed_at - 1, end - start - 1)
        if end <= start:
            break
    return start, None


def _chars_before(code: str, line: int) -> int:
    """Characters of the first `line` lines."""
    return sum(len(text) + 1 for text in code.split("\n", line)[:line])
