"""All that is known of an SFT run before it starts: rows of tokens, to train on and held out, steps, memory."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verl_coder.errors import DataError
from verl_coder.run.run_dir import RunDir
from verl_coder.sft.composed import check_composed
from verl_coder.sft.memory import SftMemory, check_disk, check_memory
from verl_coder.sft.model_folder import check_positions, resolve_model
from verl_coder.sft.record import row_files
from verl_coder.sft.rows import TokenisedTraces, length, marks, shuffled, split_by_problem, tokenise
from verl_coder.sft.settings import SftRequest, total_steps, trainer_keys
from verl_coder.sft.student import student_tokenizer
from verl_coder.trace_messages import TraceError
from verl_coder.traces import Trace, TraceRow, TraceTokenizer, check_text, check_tokens, read_traces
from verl_coder.words import counted


@dataclass(frozen=True, kw_only=True)
class SftData:
    """Rows, and how many traces and tokens they are of."""

    training: list[TraceRow]
    held_out: list[TraceRow]
    counts: dict[str, int]
    composed: list[str]
    """Rows whose characters the tokenizer writes in another way."""

    @property
    def longest(self) -> int:
        """Tokens of the longest row."""
        return max(length(row) for row in [*self.training, *self.held_out])


@dataclass(frozen=True, kw_only=True)
class SftPlan:
    """A run that was checked."""

    source: Path
    """Folder of the model that it begins from."""
    data: SftData
    steps: int
    memory: SftMemory
    keys: dict[str, Any]
    """What verl's configuration is told of it."""


def plan_run(request: SftRequest, run_dir: RunDir, *, memory_check: bool) -> SftPlan:
    """Check all that can be checked; ConfigError or DataError in one line."""
    source = resolve_model(request.model)
    data = prepare(request, source)
    check_positions(request.model, source, data.longest)
    steps = total_steps(request, len(data.training))
    memory = check_memory(request, source, data.longest, refuse=memory_check)
    check_disk(request, source)
    files = row_files(run_dir)
    keys = trainer_keys(
        request,
        model=source,
        train_file=files["train"],
        val_file=files["held_out"] if data.held_out else None,
        longest=data.longest,
        recompute=memory.recompute,
    )
    check_composed(keys, run_dir=run_dir, steps=steps, profile=request.profile, name=request.out.name)
    return SftPlan(source=source, data=data, steps=steps, memory=memory, keys=keys)


def prepare(request: SftRequest, source: Path) -> SftData:
    """Read, check, tokenise and split; ConfigError or DataError names the option, the row and the fix."""
    traces = read_traces(request.traces, option="--traces")
    held_out = read_traces(request.validation, option="--validation") if request.validation else []
    _check_held_out(request, traces, held_out)
    tokenizer = student_tokenizer(
        source,
        request.tools,
        [*traces, *held_out],
        max_prompt_tokens=request.max_prompt_length,
        max_response_tokens=request.max_response_length,
        chat_template_kwargs=request.chat_template_kwargs,
    )
    found, composed = _rows(request, traces, tokenizer, f"--traces: {request.traces}")
    if request.validation:
        checked, others = _rows(request, held_out, tokenizer, f"--validation: {request.validation}")
        training, validation, too_long = found.rows, checked.rows, checked.too_long
        composed += others
    else:
        training, validation = split_by_problem(found.rows, request.val_share, seed=request.seed)
        too_long = 0
    counts = {
        "traces": found.read,
        "dropped_too_long": found.too_long,
        "training": len(training),
        "held_out": len(validation),
        "held_out_too_long": too_long,
        "tokens": sum(length(row) for _, row in training),
        "tokens_learnt": sum(sum(row.loss_mask) for _, row in training),
    }
    return SftData(
        training=shuffled(training, seed=request.seed),
        held_out=[row for _, row in validation],
        counts=counts,
        composed=composed,
    )


def _check_held_out(request: SftRequest, traces: Sequence[Trace], held_out: Sequence[Trace]) -> None:
    """DataError where a problem of --validation is one of --traces, by its problem_id or the prompt's text."""
    learnt = {mark for trace in traces for mark in marks(trace)}
    if both := [i for i, trace in enumerate(held_out) if not learnt.isdisjoint(marks(trace))]:
        first = held_out[both[0]].problem_id
        raise DataError(
            f"--validation: {request.validation}: of problems that --traces has, too: {len(both)} of "
            f"{counted(len(held_out), 'trace')}, the first in row {both[0]}, {first or 'by its prompt'}: what is held "
            "out would be learnt; take them "
            "out of one file, or leave --validation away: --val-share holds out whole problems"
        )


def _rows(
    request: SftRequest, traces: Sequence[Trace], tokenizers: tuple[Any, TraceTokenizer], place: str
) -> tuple[TokenisedTraces, list[str]]:
    """(rows, places of those whose characters the tokenizer composes)."""
    tokenizer, tokeniser = tokenizers
    composed = []
    for index, trace in enumerate(traces):
        try:
            texts = check_text(trace, tokenizer, tokeniser).values()
            if not check_tokens(texts, tokenizer, request.model):
                composed.append(f"{place}, row {index}")
        except TraceError as error:
            raise DataError(f"{place}, row {index}: {error}") from error
    found = tokenise(traces, tokeniser, place=place)
    if not found.rows:
        raise DataError(
            f"{place}: no trace fits into --max-prompt-length {request.max_prompt_length} and "
            f"--max-response-length {request.max_response_length} tokens: raise them, or shorten the traces"
        )
    return found, composed
