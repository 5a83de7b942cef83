"""Thinking and code of a completion: one function for every stage, linear in the length of the text."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from verl_coder.bare_code import (
    ParseBudget,
    bare_code,
    is_program,
    one_line_code,
    prints_or_defines,
    typed_in,
)
from verl_coder.block_choice import PROGRAM, Asked, choose_asked, choose_block
from verl_coder.block_shape import Shapes
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


def extract_code(completion: str, *, agent_name: str | None = None, asked: Asked = ()) -> str | None:
    """The code of the final answer, as `extract` finds it."""
    return extract(completion, agent_name=agent_name, asked=asked).code


def extract(completion: str, *, agent_name: str | None = None, asked: Asked = ()) -> Extraction:
    """Take a completion apart: all turns of a rollout as decoded text, or one answer.

    Text of tool calls and tool results never counts, nor does what stands in a <think> or in an earlier turn. Where
    no code follows a later thought, the answer between it and the thought before it counts. A later </think> that
    nothing opened is the end of such a thought, too; but behind a thought that the prompt opened it may be that
    thought's own end, so there the answer counts only where nothing at all follows. Only the tags of the row's
    agent loop count, where `agent_name` says which that is; ConfigError if no protocol has it. `asked` are the names
    that the tests ask for: of several blocks it decides which one is the answer, never whether there is one. What is
    graded is found by `grading.answer_code`, which knows them.
    """
    text = completion.replace("\r\n", "\n").replace("\r", "\n").lstrip("\ufeff")
    text = _UNSEEN_BEFORE_FENCE.sub("", text)
    budget = ParseBudget()
    protocols = _ALL_PROTOCOLS
    if agent_name is not None:
        tags = agent_tags(agent_name)
        protocols = (tags,) if tags else ()
    turn = final_turn(text, protocols, budget, certain=agent_name is not None)
    search = _Search(turn.answer[-MAX_CHARS:], protocols, budget, asked)
    code, fenced = search.find()
    for earlier in turn.earlier if code is None else ():
        before = _Search(earlier.answer[-MAX_CHARS:], protocols, budget, asked)
        code, fenced = before.find()
        if code is not None:
            turn, search = earlier, before
            break
    return Extraction(
        thinking=turn.thinking,
        think_closed=turn.think_closed,
        code=code,
        code_blocks=len(_closed(search.candidates)),
        fenced=fenced,
        answer=turn.answer,
    )


_Found = tuple[str, bool] | None
"""(code, whether a complete block holds it)."""


class _Search:
    """The code of one answer: first among complete blocks of Python, last among what may be some."""

    def __init__(self, answer: str, protocols: Sequence[Tags], budget: ParseBudget, asked: Asked) -> None:
        self.answer, self.protocols, self.budget, self.asked = answer, protocols, budget, asked
        self.shapes = Shapes(budget)
        self.blocks = code_blocks(answer, budget)
        self.candidates = _candidates(self.blocks, protocols)

    def find(self) -> tuple[str | None, bool]:
        """(code, whether a complete block holds it)."""
        found = self._among(self.blocks)
        if found is None and (inner := self._inner_blocks()):
            self.candidates = _candidates(inner, self.protocols)
            found = self._among(inner)
        if found is None and (bare := self._bare()) is not None:
            found = bare, False
        return found or self._text() or self._last_resort() or (None, False)

    def _among(self, blocks: list[Block]) -> _Found:
        return self._by_names(blocks) or self._by_form(blocks)

    def _by_names(self, blocks: list[Block]) -> _Found:
        """By what the tests ask for, stubs of it last; what is no sure code counts where no sure block has that."""
        for whole in (True, False) if self.asked else ():
            for some in self._sources(blocks):
                ordered = sorted(some, key=lambda block: block.start)
                if choice := choose_asked(ordered, self.shapes, self.asked, whole=whole):
                    return choice.code, choice.block.closed
        return None

    def _sources(self, blocks: list[Block]) -> Iterator[list[Block]]:
        """Where the answer may stand, the surest first: complete blocks, unclosed ones, what has no label, no block."""
        candidates = self.candidates
        closed = [block for block in _closed(candidates) if block.parses]
        yield closed
        mended = (self._mended(block) for block in candidates if not block.closed)
        unsure = [*closed, *(block for block in mended if block.parses)]
        yield unsure
        yield [*unsure, *self._may_be_code(blocks)]
        if (bare := self._bare()) is not None:
            yield [Block(kind="plain", code=bare, closed=False, parses=True, start=-1, end=0), *closed]

    def _by_form(self, blocks: list[Block]) -> _Found:
        """By what the blocks look like. Of blocks as good as each other, the last one counts."""
        python = [block for block in self.candidates if block.kind == "python" and block.code.strip()]
        plain = [
            b for b in self.candidates if b.kind == "plain" and b.parses and is_program(b.code, self.budget)
        ]
        labelled, programs = _closed(python), _closed(plain)
        choices = [choose_block(some, self.shapes) for some in (labelled, programs) if some]
        if choices and labelled and programs and choices[0].rank < PROGRAM:
            # The block with a label may only show what the one without is good for.
            both = choose_block(sorted([*labelled, *programs], key=lambda block: block.start), self.shapes)
            if both.rank > choices[0].rank:
                return both.code, True
        if choices and (choices[0].block.parses or not (found := self._transcript(blocks))):
            return choices[0].code, True
        if choices:
            return found
        for unclosed in (python, plain):
            if unclosed:
                return self._mended(unclosed[-1]).code, False
        return None

    def _mended(self, block: Block) -> Block:
        """A block that is not closed, less the prose behind its code."""
        code = bare_code(block.code, self.budget)
        return block if code is None else replace(block, code=code, parses=True)

    def _may_be_code(self, blocks: list[Block]) -> list[Block]:
        """What parses in blocks whose label does not say it, and what was typed in transcripts of the interpreter."""
        found = []
        for block in _closed(blocks):
            if block.kind == "other" or block.parses or _is_call(block, self.protocols):
                continue
            code = typed_in(block.code) or (block.code if block.kind == "unsure" else None)
            if code is not None and prints_or_defines(code, self.budget):
                found.append(replace(block, code=code, parses=True))
        return found

    def _transcript(self, blocks: list[Block]) -> _Found:
        found = [block for block in self._may_be_code(blocks) if block.kind == "python"]
        return (choose_block(found, self.shapes).code, True) if found else None

    def _last_resort(self) -> _Found:
        if found := self._may_be_code(self.blocks):
            return choose_block(found, self.shapes).code, True
        code = one_line_code(self.answer, self.budget)
        return None if code is None else (code, False)

    def _inner_blocks(self) -> list[Block]:
        """Blocks in the last block that is a text itself: a whole answer may stand in a fence."""
        texts = [b.code for b in self.blocks if b.kind == "markdown" or (b.kind == "plain" and not b.parses)]
        return code_blocks(texts[-1], self.budget) if texts else []

    def _bare(self) -> str | None:
        # A lone closing fence opens a block in the eyes of Markdown: the code stands before it.
        if not self.blocks:
            return bare_code(self.answer, self.budget)
        before = self.answer[: self.blocks[0].start]
        return bare_code(before, self.budget) or bare_code(_prose(self.answer, self.blocks), self.budget)

    def _text(self) -> _Found:
        """In blocks without a label that are no programs."""
        filled = [block for block in self.candidates if block.kind == "plain" and block.code.strip()]
        if found := _closed(filled):
            typed = typed_in(found[-1].code)
            return typed or found[-1].code, True
        code = bare_code(filled[-1].code, self.budget) if filled else None
        return None if code is None else (code, False)


def _candidates(blocks: list[Block], protocols: Sequence[Tags]) -> list[Block]:
    return [block for block in blocks if block.kind in ("python", "plain") and not _is_call(block, protocols)]


def _is_call(block: Block, protocols: Sequence[Tags]) -> bool:
    """Whether a fence is around a tool call."""
    return not block.parses and any(tags.call and tags.call in block.code for tags in protocols)


def _closed(blocks: list[Block]) -> list[Block]:
    return [block for block in blocks if block.closed]


def _prose(answer: str, blocks: list[Block]) -> str:
    """The answer less its blocks."""
    ends = [0, *(block.end for block in blocks)]
    starts = [*(block.start for block in blocks), len(answer)]
    return "".join(answer[end:start] for end, start in zip(ends, starts, strict=True))
