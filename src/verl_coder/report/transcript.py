"""A decoded trajectory taken apart for reading: messages of the prompt, then model text, calls and tool outputs.

Decoded text does not say who wrote it: a tag counts as a call where a result or the end of the text follows it.
Everything here is linear in the text, whatever a model wrote.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from verl_coder.protocols import PROTOCOLS, Tags, answered_turn

ALL_TAGS: tuple[Tags, ...] = tuple(dict.fromkeys(p.tags for p in PROTOCOLS.values() if p.tags))
"""The tags of every protocol, each once."""

MAX_TITLE = 120
_SPECIAL = r"<\|im_(?:start|end)\|>"
_BETWEEN = re.compile(rf"(?:\s|{_SPECIAL}|(?:user|tool)\b)*+")
_NEXT_ROLE = re.compile(rf"(?:\s|{_SPECIAL})*+(?:assistant\n)?")
_ROLE_LINE = re.compile(r"^(system|user|assistant|tool)$", re.MULTILINE)
_MARKED_ROLE_LINE = re.compile(r"^<\|im_start\|>(system|user|assistant|tool)$", re.MULTILINE)
_MAY_FOLLOW = {
    "system": (),
    "user": ("system", "assistant", "tool"),
    "assistant": ("user", "tool"),
    "tool": ("assistant", "tool"),
}
"""Role -> those whose message it may come behind: where roles are bare words, a problem's text may have such lines."""


class Segment(NamedTuple):
    """A stretch of a trajectory: `model`, `call` or `result`, its text without the tags of the protocol."""

    kind: str
    text: str


def split_output(text: str) -> list[Segment]:
    """The trajectory after its prompt, in order; texts of the model keep their special tokens."""
    segments: list[Segment] = []
    begin = 0
    for start, result, end in _answers_to_turns(text):
        segments += [*_split_calls(text[begin:start]), Segment("result", result)]
        begin = end
    return [*segments, *_split_calls(text[begin:])]


def _split_calls(text: str) -> list[Segment]:
    segments: list[Segment] = []
    begin = 0
    for call in _calls(text):
        if text[begin : call.start].strip():
            segments.append(Segment("model", text[begin : call.start].strip("\n")))
        segments.append(Segment("call", text[call.start + len(call.tags.call) : call.end].strip("\n")))
        begin = call.end + len(call.tags.end_call)
        for result, end in _results(text, begin, call.tags):
            segments.append(Segment("result", result))
            begin = end
    rest = text[begin:]
    if rest.strip():
        segments.append(Segment("model", rest.strip("\n")))
    return segments


def _answers_to_turns(text: str) -> Iterator[tuple[int, str, int]]:
    """(start, text, end) of what answers a whole turn, in protocols without calls."""
    for tags in ALL_TAGS:
        if tags.call or tags.result not in text:
            continue
        place, opening = 0, answered_turn(tags)
        while found := opening.search(text, place):
            end = text.find(f"\n{tags.end_result}", found.end())
            place = end + 1 + len(tags.end_result) if end >= 0 else len(text)
            behind = _NEXT_ROLE.match(text, place)
            place = behind.end() if behind else place
            yield found.start(), text[found.end() : end if end >= 0 else len(text)].strip("\n"), place


class _Call(NamedTuple):
    tags: Tags
    start: int
    end: int
    """Where the closing tag begins."""


def _calls(text: str) -> Iterator[_Call]:
    """Calls that are answered, that another call follows, or that end the text."""
    place = 0
    # Where each kind of tag comes next: looked for anew only when it is passed, so that the whole stays linear.
    ahead = {tags: text.find(tags.call) for tags in ALL_TAGS if tags.call}
    while True:
        ahead = {
            tags: at if at >= place else text.find(tags.call, place) for tags, at in ahead.items() if at >= 0
        }
        ahead = {tags: at for tags, at in ahead.items() if at >= 0}
        if not ahead:
            return
        tags = min(ahead, key=lambda tags: ahead[tags])
        start = ahead[tags]
        end = text.find(tags.end_call, start)
        if end < 0:
            del ahead[tags]
            continue
        behind = end + len(tags.end_call)
        between = _BETWEEN.match(text, behind)
        after = between.end() if between else behind
        if after == len(text) or text.startswith((tags.result, tags.call), after):
            yield _Call(tags, start, end)
            for _, result_end in _results(text, behind, tags):
                behind = result_end
        place = behind


def _results(text: str, place: int, tags: Tags) -> Iterator[tuple[str, int]]:
    """Tool outputs that stand at `place`, and where what follows each begins."""
    while True:
        between = _BETWEEN.match(text, place)
        start = between.end() if between else place
        if not text.startswith(tags.result, start):
            return
        start += len(tags.result)
        end = text.find(tags.end_result, start)
        if end < 0:
            yield text[start:].strip("\n"), len(text)
            return
        behind = _NEXT_ROLE.match(text, end + len(tags.end_result))
        place = behind.end() if behind else end + len(tags.end_result)
        yield text[start:end].strip("\n"), place


def split_prompt(text: str) -> list[Segment]:
    """The messages of a decoded prompt by role; all of it as one `user` message where no role is seen."""
    marks = list(_MARKED_ROLE_LINE.finditer(text)) or _roles_in_order(text)
    if not marks or text[: marks[0].start()].strip():
        return [Segment("user", text)] if text.strip() else []
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    messages = [
        Segment(mark.group(1), text[mark.end() : end].replace("<|im_end|>", "").strip("\n"))
        for mark, end in zip(marks, ends, strict=True)
    ]
    return [message for message in messages if message.text.strip()]


def _roles_in_order(text: str) -> list[re.Match[str]]:
    """Lines that are a role and stand where that role may begin; the others are text."""
    found: list[re.Match[str]] = []
    for mark in _ROLE_LINE.finditer(text):
        role = mark.group(1)
        if found[-1].group(1) in _MAY_FOLLOW[role] if found else role in ("system", "user"):
            found.append(mark)
    return found


def title_of(prompt: str) -> str:
    """The first line of the last thing the user said: what a list shows of a problem."""
    said = [message.text for message in split_prompt(prompt) if message.kind == "user"]
    lines = (line.strip() for line in (said[-1] if said else "").splitlines())
    return next((line for line in lines if line), "")[:MAX_TITLE]
