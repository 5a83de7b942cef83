"""Turns of a rollout in decoded text: where the last one begins, its thinking, and its answer.

A tag counts where the structure is that of a turn: a call with its closing tag, then its result; a call that ends the
text or is cut off; thinking at the start of a line. A tag in a code block that parses is text of the code, and so is
one in the middle of a sentence.
"""

import codeop
import re
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from verl_coder.bare_code import ParseBudget, is_program
from verl_coder.code_blocks import MAX_CHARS, Block, code_blocks
from verl_coder.protocols import Tags, answered_turn

_SPECIAL = r"(?:<\|\w+\|>|<｜[^｜\n<>]{1,40}｜>|</s>|<end_of_turn>)"
# What a chat template writes around a tool's result, with or without its special tokens.
_GAP = rf"(?:\s|{_SPECIAL}|`{{3,}}|~{{3,}}|user\b)*"
_NEXT_ROLE = re.compile(rf"(?:\s|{_SPECIAL})*(?:user\s+)?(?:assistant\s*\n)?")
_THINK, _END_THINK = "<think>", "</think>"
_MAX_SENTENCE = 500
_MAX_LOOKS = 4
"""How often the blocks of a text are looked for anew, after a turn or a thought has ended."""
_LINE_END = re.compile(rf"[ \t]*(?:{_SPECIAL}[ \t]*)*(?:\n|\Z)")
_BLANK = re.compile(r"\s*")
_FENCE = re.compile("```|~~~")
# How a sentence goes on that speaks of a tag.
_SPOKEN_OF = re.compile(r" (?:tags?|blocks?|elements?)\b")
_SENTENCE_GOES_ON = re.compile(r" ?[a-z(]|[.,;:!?)](?:\s|\Z)")
_CALL_HEAD = re.compile(r"\s*(?:\{|```|\Z)")
_FIRST_LINE = re.compile(r"\s*([^\n]{0,500})")


@dataclass(kw_only=True)
class Turn:
    """The final turn of a completion."""

    thinking: str = ""
    think_closed: bool = False
    answer: str = ""
    earlier: "tuple[Turn, ...]" = ()
    """How the turn reads without its later thoughts, the last one first: an answer stands before each of them."""


def final_turn(text: str, protocols: Sequence[Tags], budget: ParseBudget, *, certain: bool) -> Turn:
    """The turn after the last tool result, taken apart; its answer is empty where the text ends inside a call.

    `certain`: the completion is of the one protocol given, so that a call with its result is never text of code.
    """
    start, whole = _after_results(text, protocols, budget, certain)
    if not whole:
        return Turn()
    turn = text[start:]
    if start:
        role = _NEXT_ROLE.match(turn)
        turn = turn[role.end() :] if role else turn
    return _Reader(_without_end_tokens(turn), protocols, budget, after_result=start > 0).read()


def _without_end_tokens(turn: str) -> str:
    """The turn less the special tokens that end it."""
    end = len(turn)
    for token in reversed([match.span() for match in re.finditer(_SPECIAL, turn)]):
        if turn[token[1] : end].strip():
            break
        end = token[0]
    return turn[:end]


def _after_results(
    text: str, protocols: Sequence[Tags], budget: ParseBudget, certain: bool
) -> tuple[int, bool]:
    """(offset behind the last tool result, whether that result is whole)."""
    results = sorted(span for tags in protocols for span in _results(text, tags))
    for index in range(len(results) - 1, -1, -1):
        begin, end = results[index]
        before = max(results[index - 1][1], 0) if index else 0
        looks = len(results) - index
        if certain or looks > _MAX_LOOKS or not _in_code(text, before, begin, end, budget):
            return (begin, False) if end < 0 else (end, True)
    return 0, True


def _in_code(text: str, before: int, begin: int, end: int, budget: ParseBudget) -> bool:
    """Whether a result, or the opening tag of one that is cut off, stands in a block that parses behind `before`."""
    if not _FENCE.search(text, before, begin):
        return False
    blocks = code_blocks(text[before : before + MAX_CHARS], budget)
    last = max(begin, end)
    return any(b.parses and b.start + before < begin and last <= b.end + before for b in blocks)


def _results(text: str, tags: Tags) -> Iterator[tuple[int, int]]:
    """(offset of what leads to a result, offset behind its closing tag or -1 where it is cut off).

    A result stands on lines of its own, behind a call or in a turn of the user. Results may follow each other.
    """
    call = text.find(tags.end_call)
    if call < 0:
        return
    close, result = re.escape(tags.end_call), re.escape(tags.result)
    opening = (
        re.compile(rf"(?:{close}{_GAP}|(?:\n|<\|im_start\|>)user[ \t]*\n\s*)(?<=\n)[ \t]*{result}")
        if close
        else answered_turn(tags)
    )
    closing = re.compile(rf"(?:\n|\A)[ \t]*{re.escape(tags.end_result)}")
    another = re.compile(rf"\s*{result}")
    position = call
    while opened := opening.search(text, position):
        position = opened.end()
        while True:
            closed = closing.search(text, position)
            if closed is None:
                yield opened.start(), -1
                return
            position = closed.end()
            more = another.match(text, position)
            if more is None:
                break
            position = more.end()
        yield opened.start(), position


def _closing_tags(text: str) -> int:
    """Where what ends the text begins that is nothing but closing tags of thoughts."""
    end = len(text)
    while True:
        while end and text[end - 1].isspace():
            end -= 1
        if not text.endswith(_END_THINK, 0, end):
            return end
        end -= len(_END_THINK)


@lru_cache(maxsize=16)
def _any_tag(protocols: tuple[Tags, ...]) -> re.Pattern[str]:
    marks = {_THINK, _END_THINK}.union(*protocols) - {""}
    return re.compile("|".join(re.escape(mark) for mark in sorted(marks, reverse=True)))


class _Reader:
    """Reads one turn from tag to tag. The answer so far begins at `start`; a tag that ends something moves it."""

    def __init__(
        self, text: str, protocols: Sequence[Tags], budget: ParseBudget, *, after_result: bool
    ) -> None:
        self.text, self.budget, self.after_result = text, budget, after_result
        self.any_tag = _any_tag(tuple(protocols))
        self.roles = {mark: role for tags in protocols for role, mark in tags._asdict().items() if mark}
        self.roles |= {_THINK: "think", _END_THINK: "end_think"}
        self.last = len(text.rstrip())
        self.closing = _closing_tags(text)
        self.start = 0
        self.thinks_from: int | None = None
        self.thought_from, self.thought_to = 0, -1
        self.may_think_from: int | None = None
        self.behind_thought, self.was_opened = False, False
        self.call: tuple[int, int] | None = None
        self.answers: deque[tuple[int, int, int, int]] = deque(maxlen=_MAX_LOOKS)
        self.results_open = 0
        self.looks = 0
        self.first_fence = -1
        self._forget_blocks(0)

    def read(self) -> Turn:
        """The turn."""
        position = 0
        while tag := self.any_tag.search(self.text, position):
            position = tag.end()
            if self._is_quoted(*tag.span()):
                continue
            block = self._block_around(tag.start())
            if block is not None and self._hides(block, tag):
                position = max(position, self.segment + block.end)
                continue
            getattr(self, f"_on_{self.roles[tag.group()]}")(*tag.span())
        if self.thinks_from is not None:
            self.thought_to, end = len(self.text), self.thinks_from
            ends_in_call = any(
                role == "end_call" and self.text.endswith(mark, 0, self.last)
                for mark, role in self.roles.items()
            )
        else:
            end = len(self.text)
            ends_in_call = self.call is not None and self._is_cut_call(*self.call)
        return Turn(
            thinking=self.text[self.thought_from : max(self.thought_to, 0)].strip(),
            think_closed=self.thinks_from is None and self.thought_to >= 0,
            answer="" if ends_in_call else self.text[self.start : end],
            earlier=() if ends_in_call else tuple(map(self._before_a_thought, reversed(self.answers))),
        )

    def _on_think(self, begin: int, end: int) -> None:
        if self.thinks_from is None:
            self.may_think_from = end
            if self._opens_thinking(begin, end):
                self._keep_answer(begin)
                self.thinks_from, self.thought_from = begin, end
                self._forget_blocks(end)

    def _on_end_think(self, begin: int, end: int) -> None:
        if self._is_mention(begin, end) if self.thinks_from is None else self._is_pair(begin, end):
            return
        if self.thinks_from is None and (self.was_opened or begin >= self.closing):
            self._keep_answer(begin)
        self.was_opened = self.thinks_from is not None or self.may_think_from is not None
        if self.may_think_from is not None:
            self.thought_from, self.may_think_from = self.may_think_from, None
        self.thought_to, self.thinks_from = begin, None
        self._answer_from(end)
        self.behind_thought = True

    def _keep_answer(self, end: int) -> None:
        """What stands between the end of a thought and a later one may be all that the turn answers.

        Where the prompt has opened the thought, its first </think> may be a word of it and only a later one its end. So
        what stands between the two counts only where nothing follows: models that were distilled end answers that way.
        """
        if self.behind_thought and not _BLANK.fullmatch(self.text, self.start, end):
            self.answers.append((self.thought_from, self.thought_to, self.start, end))

    def _before_a_thought(self, place: tuple[int, int, int, int]) -> Turn:
        thought_from, thought_to, start, end = place
        return Turn(
            thinking=self.text[thought_from:thought_to].strip(),
            think_closed=True,
            answer=self.text[start:end],
        )

    def _on_call(self, begin: int, end: int) -> None:
        if self.thinks_from is None:
            self.call = begin, end

    def _on_end_call(self, begin: int, end: int) -> None:
        if self.thinks_from is not None:
            return
        call, self.call = self.call, None
        last = end >= self.last
        alone = self._begins_line(begin) or self.text.endswith("}", 0, begin)
        ends_turn = alone and _LINE_END.match(self.text, end) is not None
        if call is not None:
            whole = last or self._begins_line(call[0])
            ends_turn = ends_turn or (whole and self._is_program(self.text[call[1] : begin]))
        elif last:
            ends_turn = True
        if ends_turn:
            self._forget_thoughts()
            role = _NEXT_ROLE.match(self.text, end)
            self._answer_from(role.end() if role else end)

    def _on_result(self, begin: int, end: int) -> None:
        if self.thinks_from is None and self._begins_line(begin):
            self.results_open += 1

    def _on_end_result(self, begin: int, end: int) -> None:
        if self.thinks_from is not None or not self._begins_line(begin):
            return
        if self.results_open:
            self.results_open -= 1
        elif self.after_result:
            # The result that was read before has printed a closing tag of its own.
            self._forget_thoughts()
            self._answer_from(end)

    def _forget_thoughts(self) -> None:
        """What was answered before a call is no answer."""
        self.answers.clear()
        self.behind_thought = False

    def _answer_from(self, position: int) -> None:
        self.start = position
        self.call = None
        self.results_open = 0
        self._forget_blocks(position)

    def _forget_blocks(self, position: int) -> None:
        """A tag that ends something ends an open fence, too: from there on, blocks are looked for anew."""
        self.segment = position
        self.blocks: list[Block] | None = None
        if self.first_fence < position:
            fence = _FENCE.search(self.text, position)
            self.first_fence = fence.start() if fence else len(self.text)

    def _block_around(self, position: int) -> Block | None:
        if position < self.first_fence or self.looks > _MAX_LOOKS:
            return None
        if self.blocks is None:
            self.looks += 1
            self.blocks = code_blocks(self.text[self.segment : self.segment + MAX_CHARS], self.budget)
        at = position - self.segment
        index = bisect_right(self.blocks, at, key=lambda block: block.start) - 1
        return self.blocks[index] if index >= 0 and at < self.blocks[index].end else None

    def _hides(self, block: Block, tag: re.Match[str]) -> bool:
        """Whether a tag is text of the block: a block that is no Python has to hold its counterpart, too."""
        if block.parses or not block.closed:
            return block.parses
        name = tag.group().strip("</>")
        if tag.group().startswith("</"):
            return self.text.find(f"<{name}>", self.segment + block.start, tag.start()) >= 0
        return self.text.find(f"</{name}>", tag.end(), self.segment + block.end) >= 0

    def _is_quoted(self, begin: int, end: int) -> bool:
        """Whether a tag is inside quotation marks: those of a string, or of inline code."""
        before, after = self.text[max(begin - 1, 0) : begin], self.text[end : end + 1]
        if not self.text.startswith("</", begin):
            return before in ('"', "'", "`") and not self.text.endswith("```", 0, begin)
        if not after or self.text.startswith("```", end):
            return False
        return after in "\"'\\" or (after == before and after == "`")

    def _is_mention(self, begin: int, end: int) -> bool:
        """Whether a closing tag that nothing has opened is in the middle of a sentence."""
        if self._is_pair(begin, end):
            return True
        before = self.text[max(begin - 2, 0) : begin]
        in_sentence = before[-1:] == " " and (before[0].isalnum() or before[0] == ",")
        return in_sentence and _SENTENCE_GOES_ON.match(self.text, end) is not None

    def _is_pair(self, begin: int, end: int) -> bool:
        """Whether a line that goes on speaks of both tags (`between <think> and </think>`), within a thought, too."""
        first = self.start if self.thinks_from is None else self.thinks_from + len(_THINK)
        opened = self.text.rfind(_THINK, max(begin - _MAX_SENTENCE, first), begin)
        return opened >= 0 and "\n" not in self.text[opened:begin] and not _LINE_END.match(self.text, end)

    def _opens_thinking(self, begin: int, end: int) -> bool:
        if _SPOKEN_OF.match(self.text, end):
            return False
        if self._begins_line(begin):
            return True
        before = self.text[max(begin - 2, 0) : begin].rstrip()
        return before[-1:] in tuple(".!?:") and not _SENTENCE_GOES_ON.match(self.text, end)

    def _begins_line(self, position: int) -> bool:
        while position > 0 and self.text[position - 1] in " \t":
            position -= 1
        return (
            position == 0
            or position == self.start
            or self.text[position - 1] == "\n"
            or (self.text[max(position - 2, 0) : position] == "|>")
        )

    def _is_program(self, content: str) -> bool:
        """Whether what stands between two tags of a call was meant to be run."""
        return "\n" in content or content.lstrip().startswith("{") or is_program(content, self.budget)

    def _is_cut_call(self, begin: int, end: int) -> bool:
        """Whether the turn ends inside the call: a sentence may begin with a tag, too."""
        begins_line = self._begins_line(begin)
        if not begins_line and self.text[end : end + 1] not in ("\n", "{"):
            return False
        if _SPOKEN_OF.match(self.text, end):
            return False
        if _CALL_HEAD.match(self.text, end):
            return begins_line or end < self.last
        line = _FIRST_LINE.match(self.text, end)
        try:
            return line is None or codeop.compile_command(line.group(1).rstrip(), symbol="exec") is not False
        except (SyntaxError, ValueError, OverflowError):
            return False
        except (RecursionError, MemoryError):
            return True
