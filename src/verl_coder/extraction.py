"""Thinking and code of a completion: one function for every stage, linear in the length of the text."""

import ast
import re
from collections import deque
from dataclasses import dataclass

from verl_coder.protocols import PROTOCOLS

# A completion does not say which protocol it is in: the tags of each end a turn.
_TAGS = {protocol.tags for protocol in PROTOCOLS.values() if protocol.tags}
_OPENING = "|".join(re.escape(tag) for tags in _TAGS for tag in (tags.call, tags.result))
_CLOSING = "|".join(re.escape(tag) for tags in _TAGS for tag in (tags.end_call, tags.end_result))
_TURN_END = re.compile(rf"(?:^|[\n}}])[ \t]*(?:{_CLOSING})")
_TURN_OPEN = re.compile(rf"(?:^|\n)[ \t]*(?:{_OPENING})")
_NEXT_ROLE = re.compile(r"\A(?:\s|<\|im_end\|>|<\|im_start\|>)*(?:user\s+)?(?:assistant\s*\n)?")
_PYTHON_TAGS = frozenset({"python", "py", "python3", "py3"})
_OTHER_TAG = "other"
_SPECIAL = re.compile(r"<\|(?:im_end|im_start|endoftext|eot_id|end)\|>")
_CODE_LINE = re.compile(r"(?:@|(?:async\s+)?def\s|class\s|import\s+\w|from\s+[\w.]+\s+import\s)")
_MAX_PARSES = 8
_MAX_BARE_CHARS = 100_000


@dataclass(frozen=True, kw_only=True)
class Extraction:
    """What a completion holds. `code` is None where its final turn holds none."""

    thinking: str
    """The text of the final turn's think block, without its tags; empty where there is none."""
    think_closed: bool
    """The final turn thinks and ends its thinking with </think>."""
    code: str | None
    code_blocks: int
    """Complete Python code blocks (labelled, or not labelled at all) in the final answer."""
    fenced: bool
    """`code` came from a complete fenced block."""
    answer: str
    """The final turn after its thinking."""


def extract_code(completion: str) -> str | None:
    """The code of the final answer: the last complete code block of the final turn, else bare code, else None."""
    return extract(completion).code


def extract(completion: str) -> Extraction:
    """Take a completion apart: all turns of a rollout as decoded text, or one answer.

    Text of tool calls and tool results never counts, nor does what stands in an unclosed <think>, nor what
    stands in an earlier turn.
    """
    text = completion.replace("\r\n", "\n").replace("\r", "\n")
    turn = _final_turn(text)
    thinking, closed, answer = _split_thinking(turn)
    blocks, tail = _code_blocks(answer)
    python = [code for tag, code in blocks if tag in _PYTHON_TAGS]
    plain = [code for tag, code in blocks if tag == ""]
    complete = python or plain
    code = complete[-1] if complete else tail
    if code is None and not blocks and tail is None:
        code = _bare_code(answer)
    if code is not None and not code.strip():
        code = None
    return Extraction(
        thinking=thinking,
        think_closed=closed,
        code=code,
        code_blocks=len(python) + len(plain),
        fenced=bool(complete) and code is not None,
        answer=answer,
    )


def _final_turn(text: str) -> str:
    """What follows the last tool call or result; empty where the text ends inside one."""
    end = deque(_TURN_END.finditer(text), maxlen=1)
    turn = text[end[0].end() :] if end else text
    # Tags count at the start of a line only: inside an expression they are text of the code.
    if _TURN_OPEN.search(turn):
        return ""
    if end:
        # A chat template writes the next turn's role after a tool result.
        turn = _NEXT_ROLE.sub("", turn, count=1)
    return _SPECIAL.sub("", turn)


def _split_thinking(turn: str) -> tuple[str, bool, str]:
    """(thinking, closed, rest). The opening tag may be in the prompt, so a bare </think> closes too."""
    end = turn.rfind("</think>")
    if end >= 0:
        thinking = turn[:end]
        opening = thinking.rfind("<think>")
        if opening >= 0:
            thinking = thinking[opening + len("<think>") :]
        rest = turn[end + len("</think>") :]
        reopened = rest.find("<think>")
        if reopened < 0:
            return thinking.strip(), True, rest
        return rest[reopened + len("<think>") :].strip(), False, rest[:reopened]
    opening = turn.find("<think>")
    if opening >= 0:
        return turn[opening + len("<think>") :].strip(), False, turn[:opening]
    return "", False, turn


def _code_blocks(text: str) -> tuple[list[tuple[str, str]], str | None]:
    """Complete fenced blocks as (label, code), and the code of a last Python block that is never closed."""
    blocks: list[tuple[str, str]] = []
    lines: list[str] = []
    fence, tag, indent = "", "", 0
    for line in text.split("\n"):
        stripped = line.strip()
        if not fence:
            opened = _opening(line)
            if opened is not None:
                fence, tag, indent, lines = *opened, []
        elif stripped.startswith(fence) and not stripped.strip(fence[0]):
            blocks.append((tag, "\n".join(lines) + "\n"))
            fence = ""
        elif stripped.startswith("```") and stripped.lstrip("`").lower() in _PYTHON_TAGS:
            fence, tag, indent = _opening(line) or (fence, tag, indent)
            lines = []
        else:
            lines.append(line[indent:] if line[:indent].isspace() else line)
    if fence and tag in _PYTHON_TAGS and lines:
        return blocks, "\n".join(lines) + "\n"
    return blocks, None


def _opening(line: str) -> tuple[str, str, int] | None:
    """(fence, label, indentation) of an opening fence; prose may stand before it on its line."""
    position = line.find("```")
    if position < 0:
        position = line.find("~~~")
        if position < 0 or line[:position].strip():
            return None
    rest = line[position:]
    fence = rest[: len(rest) - len(rest.lstrip(rest[0]))]
    label = rest[len(fence) :].strip()
    if fence[0] in label:
        return None  # ```code``` on one line
    word = label.split()[0].strip("{}.").lower() if label else ""
    tag = word if not word or word in _PYTHON_TAGS else _OTHER_TAG
    indent = position if not line[:position].strip() else 0
    return fence, tag, indent


def _bare_code(text: str) -> str | None:
    """Code without a fence: the whole text if it parses, else from its first code line on, less trailing prose."""
    stripped = text.strip()
    if not stripped or len(stripped) > _MAX_BARE_CHARS:
        return None
    lines = stripped.split("\n")
    start = next((i for i, line in enumerate(lines) if _CODE_LINE.match(line)), None)
    if start is None:
        return stripped + "\n" if _is_program(stripped) else None
    for first in dict.fromkeys((0, start)):
        end = len(lines)
        for _ in range(_MAX_PARSES):
            code = "\n".join(lines[first:end])
            failed_at = _syntax_error_line(code)
            if failed_at is None:
                return code.rstrip() + "\n"
            # Prose after code fails at its first line, or the line after the code's last statement.
            end = first + min(failed_at - 1, end - first - 1)
            if end <= first:
                break
    return None


def _is_program(text: str) -> bool:
    """Whether the text is Python that does something: prose of one word parses, too."""
    try:
        body = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(
        not isinstance(node, ast.Expr) or isinstance(node.value, (ast.Call, ast.Await)) for node in body
    )


def _syntax_error_line(code: str) -> int | None:
    try:
        ast.parse(code)
    except SyntaxError as error:
        return error.lineno or 1
    except (ValueError, RecursionError, MemoryError):
        return 1
    return None
