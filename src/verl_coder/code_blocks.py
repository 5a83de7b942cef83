"""Code blocks of a text: Markdown's containers by markdown-it, fences as people and models really write them.

CommonMark closes a fence by a line of nothing else. Models also close it at the end of the last line of code, or go on
behind it (```</answer>), or forget it; and a docstring may hold fences of its own. Where several closings are
possible, the block ends at the first after which its code parses.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.token import Token

from verl_coder.bare_code import CODE_LINE, ParseBudget

Kind = Literal["python", "plain", "markdown", "unsure", "other"]

_PYTHON_LABEL = re.compile(
    r"[{.\s]*(?:code(?:-block|-cell)?\}?\s+)?(?:lang(?:uage)?-)?i?(?:python|pypy|py)(?:-?3(?:\.\d+)*)?(?![\w+-])"
    r"|[\w./-]*\w\.py(?!\w)",
    re.I,
)
_MARKDOWN_LABEL = re.compile(r"(?:markdown|md|mdx)\b", re.I)
_UNSURE_LABEL = re.compile(
    r"(?:code|solution|answer|snippet|text|txt|plain|plaintext|none|p(?:yh|hy|y)ton|pycon|python-repl)(?![\w+-])",
    re.I,
)
"""Labels that say nothing of the language, misspell it, or name its transcripts."""
_NO_CODE = ("markdown", "unsure", "other")
_WORD = re.compile(r"\s*[\w.+#{}:/-]*\s*\Z")
MAX_CHARS = 100_000
"""Of a text in which blocks are looked for: more than the answer of any run."""
_CONTAINER = re.compile(r">|[-*+]\s|\d{1,9}[.)]\s")
_MAX_TRIES = 8
"""Closings of either sort that are tried for one block."""


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block of a text."""

    kind: Kind
    """Labelled as Python, not labelled, as a text with blocks of its own, as what may be Python, as something else."""
    code: str
    closed: bool
    """It has a closing fence."""
    parses: bool
    """`code` is Python, and no block of another kind."""
    start: int
    """Of its opening fence in the text."""
    end: int
    """Behind its closing fence; of the text where it is not closed."""


class _Opening(NamedTuple):
    offset: int
    """Of the fence in its line; prose may stand before it."""
    fence: str
    kind: Kind
    first: str
    """Code on the line of the fence."""


class _Fence(NamedTuple):
    """A run of fence characters inside an open block, which may close it."""

    line: int
    start: int
    end: int
    role: Literal["strict", "trailing", "python", "label", "glued"]
    """Alone on its line; followed by text; an opening fence with a label; after text."""


def code_blocks(text: str, budget: ParseBudget) -> list[Block]:
    """The blocks of a text with plain line ends, in order; linear in its length."""
    if "```" not in text and "~~~" not in text:
        return []
    tokens: list[Token] = []
    _MARKDOWN.block.parse(text, _MARKDOWN, {"budget": budget}, tokens)
    return [token.meta["block"] for token in tokens if token.type == "fence"]


def _opening(line: str) -> _Opening | None:
    """The opening fence of a line without its indentation."""
    if line.startswith(("```", "~~~")):
        info = line.lstrip(line[0])
        if line[0] == "`" and "`" in info:
            return None  # ```code``` on one line
        return _Opening(0, line[: len(line) - len(info)], *_label(info))
    before, run, info = line.rpartition("```")
    if not run or _CONTAINER.match(line) or len(re.findall("`{3,}", before.rstrip("`"))) % 2:
        return None
    announced = before.rstrip("` \t").endswith((":", ">", "*")) and _PYTHON_LABEL.match(info)
    if not announced and not _WORD.match(info):
        return None
    offset = len(before.rstrip("`"))
    return _Opening(offset, line[offset : len(line) - len(info)], *_label(info))


def _label(info: str) -> tuple[Kind, str]:
    """(kind, code that stands behind the label)."""
    info = info.strip()
    if not info:
        return "plain", ""
    if CODE_LINE.match(info):
        return "plain", info
    label = _PYTHON_LABEL.match(info)
    if label is None:
        if _UNSURE_LABEL.match(info):
            return "unsure", ""
        return "markdown" if _MARKDOWN_LABEL.match(info) else "other", ""
    behind = info[label.end() :].strip()
    return "python", behind if CODE_LINE.match(behind) else ""


def _fences(state: StateBlock, fence: str, start_line: int, end_line: int) -> Iterator[_Fence]:
    """The runs, behind the opening line, that are as long as the opening fence: one of each line."""
    stop = state.eMarks[end_line - 1]
    position = state.eMarks[start_line]
    while (start := state.src.find(fence, position, stop)) >= 0:
        line = bisect_right(state.bMarks, start, start_line, end_line) - 1
        first, position = state.bMarks[line] + state.tShift[line], state.eMarks[line]
        if state.sCount[line] < 0:
            return  # a line outside the quotation that the block stands in
        before = state.src[first:start].strip()
        end = start + len(fence)
        while end < position and state.src[end] == fence[0]:
            end += 1
        behind = state.src[end:position].strip()
        if before:
            # Of several runs in a line, the last one closes.
            start = state.src.rfind(fence, start, position)
            yield _Fence(line, start, start + len(fence), "glued")
        elif not behind:
            yield _Fence(line, start, end, "strict")
        elif fence[0] in behind:
            yield _Fence(line, start, end, "glued")
        elif _PYTHON_LABEL.match(behind):
            yield _Fence(line, start, end, "python")
        else:
            yield _Fence(line, start, end, "label" if re.fullmatch(r"\w+", behind) else "trailing")


class _Open:
    """A block whose end is looked for."""

    def __init__(self, state: StateBlock, line: int, end_line: int, opening: _Opening) -> None:
        self.state, self.line, self.opening = state, line, opening
        self.budget: ParseBudget = state.env["budget"]
        self.fences = _fences(state, opening.fence, line, end_line)
        self.end_line = end_line
        self.lines: list[str] = []
        indent = state.sCount[line] if opening.offset == 0 else state.blkIndent
        # A fence in a list may be indented while its code is not.
        filled = next((i for i in range(line + 1, end_line) if not state.isEmpty(i)), None)
        self.indent = indent if filled is None else max(0, min(indent, state.sCount[filled]))

    def code(self, fence: _Fence | None) -> str:
        """What the block holds if it ends there, or at the end of the text."""
        end = self.end_line if fence is None else fence.line
        first = self.line + 1 + len(self.lines)
        self.lines += [self.state.getLines(i, i + 1, self.indent, True) for i in range(first, end)]
        body = "".join(self.lines[: end - self.line - 1])
        if fence is not None and fence.role == "glued":
            part = self.state.getLines(fence.line, fence.line + 1, self.indent, True)
            behind = self.state.eMarks[fence.line] - fence.start
            body += part.rstrip("\n")[:-behind]
        if self.opening.first:
            body = f"{self.opening.first}\n{body}"
        return body if not body or body.endswith("\n") else body + "\n"

    def close(self) -> tuple[_Fence | None, str, bool]:
        """(where it ends, its code, whether that parses)."""
        tried: list[_Fence] = []
        if self.opening.kind not in _NO_CODE:
            found, tried = self._parsing()
            if found is not None:
                return found
        roles = ("strict", "python") if self.opening.kind in _NO_CODE else ("strict", "python", "trailing")
        for fences in (tried, self.fences):
            for fence in fences:
                if fence.role in roles:
                    return fence, self.code(fence), False
        code = self.code(None)
        parsed = self.budget.python(code) if self.opening.kind not in _NO_CODE else None
        return None, parsed or code, parsed is not None

    def _parsing(self) -> tuple[tuple[_Fence, str, bool] | None, list[_Fence]]:
        """The closing after which the code parses, and all that were looked at."""
        strict: list[_Fence] = []
        others: list[_Fence] = []
        if self.budget.chars <= 0:
            return None, []
        for fence in self.fences:
            self.budget.chars -= 100
            (strict if fence.role == "strict" else others).append(fence)
            if fence.role == "strict" and (code := self.budget.python(self.code(fence))) is not None:
                return (fence, code, True), []
            if len(strict) >= _MAX_TRIES or len(others) >= _MAX_TRIES:
                break
        for fence in others:
            code = self.budget.python(self.code(fence))
            if code is not None and code.strip():
                return (fence, code, True), []
        return None, sorted(strict + others)


def _fence_rule(state: StateBlock, line: int, end_line: int, silent: bool) -> bool:
    """A rule of markdown-it in the place of its own for fences."""
    begin = state.bMarks[line] + state.tShift[line]
    opening = _opening(state.src[begin : state.eMarks[line]])
    if opening is None or silent:
        return opening is not None
    end, code, parses = _Open(state, line, end_line, opening).close()
    # A fence with a label opens the next block.
    reopened = end is not None and end.role in ("python", "label")
    state.line = end_line if end is None else end.line + (not reopened)
    token = state.push("fence", "code", 0)
    token.map = [line, state.line]
    token.meta = {
        "block": Block(
            kind=opening.kind,
            code=code,
            closed=end is not None and not reopened,
            parses=parses,
            start=begin + opening.offset,
            end=state.eMarks[end_line - 1] if end is None else end.start if reopened else end.end,
        )
    }
    return True


def _text_rule(state: StateBlock, line: int, end_line: int, silent: bool) -> bool:
    """A line of prose: a fence may follow it however it is indented, so paragraphs are of no use."""
    state.line = line + 1
    return True


def _markdown() -> MarkdownIt:
    markdown = MarkdownIt("zero")
    rules: dict[str, Any] = {"fence": _fence_rule, "paragraph": _text_rule}
    for name, rule in rules.items():
        markdown.block.ruler.at(name, rule, {"alt": ["blockquote", "list"] if name == "fence" else []})
    markdown.block.ruler.enableOnly(["fence", "blockquote", "list", "paragraph"])
    return markdown


_MARKDOWN = _markdown()
