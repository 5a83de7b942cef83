"""Trajectories into chunk files: scripts that a page opened from disk can load one by one, where fetch() cannot.

A chunk is `register("<name>", "<JSON, deflated, in base64>")`: neither `</script>` nor U+2028 nor a lone surrogate
of a model's text means anything to the page, and a browser, which keeps the source of every script that it has
run, keeps a fraction of the text.
"""

import base64
import json
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from verl_coder.files import write_atomically
from verl_coder.report.records import TrajectoryRecord
from verl_coder.report.transcript import split_output, split_prompt, title_of

CHUNK_CHARS = 1_000_000
"""A chunk is closed when it holds so much text."""
MAX_TEXT = 100_000
"""Characters of one turn; what is longer is cut in the middle, and the page says so."""
MAX_SEGMENTS, MAX_TRAJECTORY = 400, 500_000
MAX_TESTS, MAX_VERDICTS, MAX_TOKENS = 30_000, 300, 40_000
_LEVEL = 5
"""Of zlib: half the time of level 6 for a few percent more bytes."""
_NUMBER_CHARS = 8
_MAX_LINE = 3_000
"""Characters of a text beside the turns: what a test expected, a term's name."""


@dataclass(kw_only=True)
class Part:
    """What one file of trajectories gave: its chunks, and a row of the index for each trajectory."""

    chunks: list[tuple[str, int]] = field(default_factory=list)
    """Name and number of rows of each chunk; the rows of the index stand in their order."""
    rows: list["IndexRow"] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(kw_only=True, slots=True)
class IndexRow:
    """What lists, filters and the histogram need of a trajectory."""

    kind: str
    step: int | None
    problem: str
    title: str
    group: str
    outcome: str
    source: str
    difficulty: str
    reward: float | None
    calls: int | None
    successes: int | None
    turns: int | None
    length: int
    """Tokens where the files say, else characters."""


def script(name: str, value: Any) -> str:
    """The text of a script that hands `value` to the page."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    packed = base64.b64encode(zlib.compress(text.encode("ascii"), _LEVEL)).decode()
    return f'register({json.dumps(name)},"{packed}");\n'


def write_part(trajectories: Iterable[TrajectoryRecord], prefix: str, data: Path, part: Part) -> Part:
    """Write the chunks `<prefix>-<n>.js` below `data` and fill `part` with their rows; one chunk in memory."""
    chunk = _Chunk()
    titles: dict[str, str] = {}

    def close() -> None:
        if chunk.rows:
            name = f"{prefix}-{len(part.chunks)}"
            write_atomically(data / f"{name}.js", script(name, chunk.content()))
            part.chunks.append((name, len(chunk.rows)))
            chunk.clear()

    for trajectory in trajectories:
        if trajectory.prompt not in titles:
            if len(titles) > 1000:
                titles.clear()
            titles[trajectory.prompt] = title_of(trajectory.prompt[:MAX_TEXT])
        part.rows.append(_index_row(trajectory, titles[trajectory.prompt]))
        chunk.add(trajectory)
        if chunk.chars > CHUNK_CHARS:
            close()
    close()
    return part


def _index_row(trajectory: TrajectoryRecord, title: str) -> IndexRow:
    tokens = trajectory.response_tokens
    return IndexRow(
        kind=trajectory.kind,
        step=trajectory.step,
        problem=trajectory.problem[:200] or title,
        title=title,
        group=trajectory.group,
        outcome=trajectory.outcome[:40],
        source=trajectory.source[:60],
        difficulty=trajectory.difficulty[:60],
        reward=trajectory.reward,
        calls=trajectory.calls,
        successes=trajectory.successes,
        turns=trajectory.turns,
        length=len(trajectory.output) if tokens is None else tokens,
    )


class _Chunk:
    """Rows that go into one file; prompts and tests that they share stand in it once."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.prompts: dict[str, int] = {}
        self.tests: dict[str, int] = {}
        self.chars = 0

    def clear(self) -> None:
        """Begin the next one."""
        self.__init__()  # type: ignore[misc]

    def content(self) -> dict[str, Any]:
        """What the file holds."""
        prompts = [[_cut(*message) for message in split_prompt(text)] for text in self.prompts]
        tests = [_cut("tests", text, MAX_TESTS) for text in self.tests]
        return {"prompts": prompts, "tests": tests, "rows": self.rows}

    def add(self, trajectory: TrajectoryRecord) -> None:
        """One more row."""
        segments = _segments(trajectory.output)
        row: dict[str, Any] = {"prompt": self._shared(self.prompts, trajectory.prompt), "segments": segments}
        if trajectory.tests:
            row["tests"] = self._shared(self.tests, trajectory.tests)
        if trajectory.code:
            row["code"] = _cut("code", trajectory.code)
        if trajectory.verdicts is not None:
            row["verdicts"] = [_short_texts(test) for test in trajectory.verdicts[:MAX_VERDICTS]]
            row["verdicts_in_all"] = len(trajectory.verdicts)
        if trajectory.tokens is not None:
            row["tokens"] = {name: column[:MAX_TOKENS] for name, column in trajectory.tokens.items()}
        for name in ("terms", "facts"):
            if given := getattr(trajectory, name):
                row[name] = _short_texts(given)
        if trajectory.advantage is not None:
            row["advantage"] = trajectory.advantage
        self.rows.append(row)
        self.chars += _chars(row)

    def _shared(self, table: dict[str, int], text: str) -> int:
        if text not in table:
            table[text] = len(table)
            self.chars += min(len(text), MAX_TEXT)
        return table[text]


def _chars(value: Any) -> int:
    """About so many characters as JSON."""
    if isinstance(value, str):
        return len(value) + 3
    if isinstance(value, dict):
        return sum(len(name) + 4 + _chars(one) for name, one in value.items())
    if isinstance(value, list | tuple):
        return sum(map(_chars, value))
    return _NUMBER_CHARS


def _segments(output: str) -> list[list[Any]]:
    """The turns, each `[kind, text]` or, cut, `[kind, head, characters left out, tail]`, within a page's limits."""
    found, left = [], MAX_TRAJECTORY
    segments = split_output(output)
    for place, segment in enumerate(segments):
        if place >= MAX_SEGMENTS or left <= 0:
            lost = sum(len(segment.text) for segment in segments[place:])
            found.append(["model", "", lost, ""])
            break
        found.append(_cut(segment.kind, segment.text))
        left -= min(len(segment.text), MAX_TEXT)
    return found


def _cut(kind: str, text: str, limit: int = MAX_TEXT) -> list[Any]:
    if len(text) <= limit:
        return [kind, text]
    tail = limit // 4
    return [kind, text[: limit - tail], len(text) - limit, text[-tail:]]


def _short_texts(given: dict[str, Any]) -> dict[str, Any]:
    """Numbers as they are; anything else as text of bounded length."""
    short: dict[str, Any] = {}
    for name, value in list(given.items())[:100]:
        if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
            value = str(value)
        if not isinstance(value, int | float | bool | None):
            text = value if isinstance(value, str) else json.dumps(value, default=str)
            value = (
                text
                if len(text) <= _MAX_LINE
                else f"{text[:_MAX_LINE]} ... ({len(text) - _MAX_LINE} more characters)"
            )
        short[str(name)[:100]] = value
    return short
