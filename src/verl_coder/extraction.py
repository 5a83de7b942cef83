"""Thinking and code of a completion: one function for every stage, linear in the length of the text."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from verl_coder.bare_code import ParseBudget, bare_code, is_program
from verl_coder.block_choice import choose_block
from verl_coder.code_blocks import MAX_CHARS, Block, code_blocks
from verl_coder.protocols import PROTOCOLS, Tags, agent_tags
from verl_coder.turns import final_turn

# A completion does not say which protocol it is in.
_ALL_PROTOCOLS = tuple(dict.fromkeys(p.tags for p in PROTOCOLS.values() if p.tags))
_UNSEEN_BEFORE_FENCE = re.compile(r"^[\ufeff\u200b\u200c\u200d\u2060]+(?=[ \t>]*(?:```|~~~))", re.M)


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


def extract_code(completion: str, *, agent_name: str | None = None) -> str | None:
    """The code of the final answer, as `extract` finds it."""
    return extract(completion, agent_name=agent_name).code


def extract(completion: str, *, agent_name: str | None = None) -> Extraction:
    """Take a completion apart: all turns of a rollout as decoded text, or one answer.

    Text of tool calls and tool results never counts, nor does what stands in an unclosed <think>, nor what
    stands in an earlier turn. Only the tags of the row's agent loop count, where `agent_name` says which that is;
    ConfigError if no protocol has it.
    """
    text = completion.replace("\r\n", "\n").replace("\r", "\n").lstrip("\ufeff")
    text = _UNSEEN_BEFORE_FENCE.sub("", text)
    budget = ParseBudget()
    protocols = _ALL_PROTOCOLS
    if agent_name is not None:
        tags = agent_tags(agent_name)
        protocols = (tags,) if tags else ()
    turn = final_turn(text, protocols, budget, certain=agent_name is not None)
    answer = turn.answer[-MAX_CHARS:]
    blocks = code_blocks(answer, budget)
    candidates = _candidates(blocks, protocols)
    code, fenced = _choose(candidates, budget)
    if code is None and (inner := _inner_blocks(blocks, budget)):
        candidates = _candidates(inner, protocols)
        code, fenced = _choose(candidates, budget)
    if code is None:
        # A lone closing fence opens a block in the eyes of Markdown: the code stands before it.
        before = answer[: blocks[0].start] if blocks else answer
        code = bare_code(before, budget) or (bare_code(_prose(answer, blocks), budget) if blocks else None)
    if code is None:
        code, fenced = _choose_text([block for block in candidates if block.kind == "plain"], budget)
    return Extraction(
        thinking=turn.thinking,
        think_closed=turn.think_closed,
        code=code,
        code_blocks=len(_closed(candidates)),
        fenced=fenced,
        answer=turn.answer,
    )


def _candidates(blocks: list[Block], protocols: Sequence[Tags]) -> list[Block]:
    return [block for block in blocks if block.kind in ("python", "plain") and not _is_call(block, protocols)]


def _inner_blocks(blocks: list[Block], budget: ParseBudget) -> list[Block]:
    """Blocks in the last block that is a text itself: a whole answer may stand in a fence."""
    texts = [b.code for b in blocks if b.kind == "markdown" or (b.kind == "plain" and not b.parses)]
    return code_blocks(texts[-1], budget) if texts else []


def _choose(blocks: list[Block], budget: ParseBudget) -> tuple[str | None, bool]:
    """(code, whether a complete block holds it). Of blocks as good as each other, the last one counts."""
    python = [block for block in blocks if block.kind == "python" and block.code.strip()]
    programs = [b for b in blocks if b.kind == "plain" and b.parses and is_program(b.code, budget)]
    for complete in (_closed(python), _closed(programs)):
        if complete:
            return choose_block(complete, budget), True
    for unclosed in (python, programs):
        if unclosed:
            last = unclosed[-1]
            return bare_code(last.code, budget) or last.code, False
    return None, False


def _choose_text(plain: list[Block], budget: ParseBudget) -> tuple[str | None, bool]:
    """The same of blocks without a label that are no programs."""
    filled = [block for block in plain if block.code.strip()]
    if _closed(filled):
        return _closed(filled)[-1].code, True
    return (bare_code(filled[-1].code, budget) if filled else None), False


def _is_call(block: Block, protocols: Sequence[Tags]) -> bool:
    """Whether a fence is around a tool call."""
    return not block.parses and any(tags.call in block.code for tags in protocols)


def _closed(blocks: list[Block]) -> list[Block]:
    return [block for block in blocks if block.closed]


def _prose(answer: str, blocks: list[Block]) -> str:
    """The answer less its blocks."""
    ends = [0, *(block.end for block in blocks)]
    starts = [*(block.start for block in blocks), len(answer)]
    return "".join(answer[end:start] for end, start in zip(ends, starts, strict=True))
