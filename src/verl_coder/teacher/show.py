"""`verl-coder teacher show`: a trace as the student is given it, with what is learnt in colour."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from verl_coder.consoles import PlainConsole, printable
from verl_coder.errors import DataError
from verl_coder.sft.model_folder import resolve_model
from verl_coder.sft.student import student_tokenizer
from verl_coder.trace_messages import TraceError
from verl_coder.traces import Trace, TraceRow, check_text, check_tokens, read_traces

_STYLES = {"prompt": "dim", "read": "yellow", "learnt": "bold green"}
_OPEN, _CLOSE = "⟦", "⟧"
"""Around what is learnt, where there is no colour."""


@dataclass(frozen=True, kw_only=True)
class ShowOptions:
    """What `verl-coder teacher show` is asked for."""

    traces: Path
    model: str
    tools: str | None = None
    first: int = 0
    count: int = 1
    problem: str | None = None
    max_prompt_length: int = 1024
    max_response_length: int = 2048
    chat_template_kwargs: str | None = None


def show_traces(options: ShowOptions, console: Console | None = None) -> int:
    """Print the traces asked for; returns how many. DataError or ConfigError in one line where there is none."""
    console = console or PlainConsole()
    traces = read_traces(options.traces, option="traces")
    found = _chosen(traces, options)
    source = resolve_model(options.model, weights=False)
    tokenizer, tokenise = student_tokenizer(
        source,
        options.tools,
        [trace for _, trace in found],
        max_prompt_tokens=options.max_prompt_length,
        max_response_tokens=options.max_response_length,
        chat_template_kwargs=options.chat_template_kwargs,
    )
    for number, trace in found:
        try:
            check_tokens(check_text(trace, tokenizer, tokenise).values(), tokenizer, options.model)
            row = tokenise.row(trace)
        except TraceError as error:
            raise DataError(f"{options.traces}, row {number}: {error}") from error
        name = f"row {number}, {trace.problem_id or 'no problem_id'}"
        if row is None:
            lengths = (
                f"{options.max_prompt_length} tokens of prompt or {options.max_response_length} of response"
            )
            _print(console, Text(f"--- {name}: dropped, longer than {lengths}"))
            continue
        learnt = sum(row.loss_mask)
        head = f"{len(row.prompt_ids)} tokens of prompt, {len(row.response_ids)} of response, {learnt} of them learnt"
        _print(console, Text(f"--- {name}: {head}"))
        _print(console, coloured(row, tokenizer, marks=not console.is_terminal))
    return len(found)


def coloured(row: TraceRow, tokenizer: Any, *, marks: bool = False) -> Text:
    """The text of a row: prompt dim, what is only read yellow, what is learnt green, or between marks."""
    text = Text()
    kinds = ["prompt"] * len(row.prompt_ids) + ["learnt" if bit else "read" for bit in row.loss_mask]
    ids = [*row.prompt_ids, *row.response_ids]
    for kind, pairs in groupby(zip(kinds, ids, strict=True), key=lambda pair: pair[0]):
        part = printable(tokenizer.decode([token for _, token in pairs]))
        text.append(f"{_OPEN}{part}{_CLOSE}" if marks and kind == "learnt" else part, style=_STYLES[kind])
    return text


def _chosen(traces: Sequence[Trace], options: ShowOptions) -> list[tuple[int, Trace]]:
    numbered: Iterable[tuple[int, Trace]] = enumerate(traces)
    found = [(n, t) for n, t in numbered if options.problem is None or t.problem_id == options.problem]
    if not found:
        raise DataError(f"{options.traces} has no trace of {options.problem!r}")
    chosen = found[options.first : options.first + options.count]
    if not chosen:
        raise DataError(
            f"{options.traces} has {len(found)} such traces: --first {options.first} is behind them"
        )
    return chosen


def _print(console: Console, text: Text) -> None:
    console.print(text, soft_wrap=True)
