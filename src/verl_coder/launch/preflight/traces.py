"""A teacher's traces before a run: what this model and this rollout can express, and of which problems they are."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from omegaconf import DictConfig, OmegaConf

from verl_coder.agent_loops.entries import read_entries
from verl_coder.data.prepared import whole_pages
from verl_coder.errors import DataError
from verl_coder.launch.preflight.agent_loops import agent_names
from verl_coder.launch.preflight.rows import load_tokenizer
from verl_coder.launch.recipe import file_list
from verl_coder.protocols import PROTOCOLS, agent_tags
from verl_coder.trace_calls import Mistakes
from verl_coder.trace_messages import TraceError
from verl_coder.traces import (
    Trace,
    check_text,
    check_tokens,
    check_turn_end,
    load_tool_schemas,
    prompt_text,
    rollout_tokenizer,
)
from verl_coder.words import counted

TOKENISED_TRACES = 128
"""How many traces, evenly over the file, are tokenised before a run; the texts of all are looked at."""

_CALLS_LEFT = "calls left"
"""The end of a result where `tell_calls_left` is set (agent_loops/code_agent.py)."""
CallReader = Callable[[str], Sequence[Any]]


def check_traces(config: DictConfig, path: Path, traces: Sequence[Trace]) -> None:
    """The traces must be conversations that this model's tokenizer and this rollout can express."""
    from transformers import AutoConfig

    model = str(config.actor_rollout_ref.model.path)
    tokenizer = load_tokenizer(config)
    tokenise = rollout_tokenizer(config, tokenizer, AutoConfig.from_pretrained(model).model_type)
    reads_call = call_reader(config, tokenizer)
    check_turn_end(tokenizer, tokenise, f"actor_rollout_ref.model.path={model}")
    mistakes = None if reads_call is None else _mistakes(reads_call)
    place, fitting = f"verl_coder.teacher.traces: {path}", 0
    step = max(len(traces) // TOKENISED_TRACES, 1)
    for index, trace in enumerate(traces):
        try:
            texts = check_text(trace, tokenizer, tokenise, mistakes)
            if index % step == 0:
                check_tokens(texts.values(), tokenizer, model)
                fitting += tokenise.row(trace) is not None
        except (TraceError, ValueError) as error:
            raise DataError(f"{place}, row {index}: {error}") from error
    if not fitting:
        raise DataError(
            f"{place}: no trace fits into data.max_prompt_length={config.data.max_prompt_length} and "
            f"data.max_response_length={config.data.max_response_length} tokens: raise them, or shorten the traces"
        )


def _mistakes(reads_call: CallReader) -> Mistakes:
    """What is wrong with each call of a turn, which a parser of verl's own does not say."""
    return lambda message, text: [getattr(call, "mistake", "") for call in reads_call(text)]


def call_reader(config: DictConfig, tokenizer: Any) -> CallReader | None:
    """A turn's text -> the tool calls that the rollout would find in it; None where the rollout has no tools.

    As the agent loops do it: calls in hermes form are read by our parser, which keeps a bad one to be answered.
    """
    turns = config.actor_rollout_ref.rollout.multi_turn
    if not turns.enable or not turns.tool_config_path:
        return None
    tags = agent_tags("tool_agent")
    if turns.format == "hermes" and tags is not None:
        from verl.tools.schemas import OpenAIFunctionToolSchema

        from verl_coder.agent_loops.call_parser import CallParser

        tools = [
            OpenAIFunctionToolSchema.model_validate(one) for one in load_tool_schemas(turns.tool_config_path)
        ]
        parser = CallParser(tokenizer, tags, turns.max_parallel_calls)
        return lambda text: parser.calls_in(text, tools)
    from verl.experimental.agent_loop.tool_parser import ToolParser

    other = ToolParser.get_tool_parser(turns.format, tokenizer)

    def read(text: str) -> list[Any]:
        ids = tokenizer.encode(text, add_special_tokens=False)
        calls = list(asyncio.run(other.extract_tool_calls(ids, []))[1])
        return calls[: turns.max_parallel_calls]

    return read


def check_problems(config: DictConfig, path: Path, traces: Sequence[Trace]) -> tuple[str, ...]:
    """Lines on traces that rollouts of this data have nothing to do with; DataError where held-out ones are learnt.

    Of the data files, those that are there.
    """
    train_files, val_files = (
        [file for file in file_list(config.data[name]) if file.is_file()]
        for name in ("train_files", "val_files")
    )
    training, held_out = problem_ids(train_files), problem_ids(val_files)
    place, total = f"verl_coder.teacher.traces: {path}", counted(len(traces), "trace")
    # A problem on both sides is trained on anyway, which the check of the rows tells.
    apart, prompts = held_out - training, _prompts(val_files) - _prompts(train_files)
    learnt = [i for i, one in enumerate(traces) if one.problem_id in apart or one.prompt_text in prompts]
    if learnt:
        first = traces[learnt[0]].problem_id
        raise DataError(
            f"{place}: of problems of data.val_files: {len(learnt)} of {total}, the first in row {learnt[0]}, "
            f"{f'of {first!r}' if first in apart else 'by its prompt'}: what is held out would be learnt; take them "
            "out, or these problems out of data.val_files"
        )
    notes = []
    strange = [one.problem_id for one in traces if one.problem_id and one.problem_id not in training]
    if training and strange:
        notes.append(
            f"of no problem of data.train_files: {len(strange)} of {total}, the first of {strange[0]!r}: such are "
            "drawn only to fill up verl_coder.teacher.rows, and never with verl_coder.teacher.max_group_pass_rate"
        )
    loops = {name for file in train_files for name in agent_names(file)}
    others = [name for one in traces if (name := one.agent_name or PROTOCOLS["tool"].agent_name) not in loops]
    if loops and others:
        notes.append(
            f"of another agent loop ({others[0]}) than the rows of data.train_files ({', '.join(sorted(loops))}): "
            f"{len(others)} of {total}"
        )
    untold = [
        one.agent_name for one in traces if one.agent_name in _telling(config) and not _tells_calls(one)
    ]
    if untold:
        notes.append(
            f"results without `({_CALLS_LEFT})`: {len(untold)} of {total}, the first of {untold[0]}, which tells it in "
            "rollouts: tell_calls_left: false in its line of actor_rollout_ref.rollout.agent.agent_loop_config_path"
        )
    return tuple(f"warning: {place}: {note}" for note in notes)


def _telling(config: DictConfig) -> set[str]:
    """Agent loops that tell the calls that are left behind each result."""
    path = OmegaConf.select(config, "actor_rollout_ref.rollout.agent.agent_loop_config_path")
    entries = read_entries(Path(path)) if path else {}
    return {name for name, one in entries.items() if one.get("tell_calls_left") and one.get("max_calls")}


def _tells_calls(trace: Trace) -> bool:
    """Whether each result of a tool says how many calls are left; true where there is none."""
    results = [str(message["content"]) for message in trace.messages if message["role"] == "tool"]
    return all(result.endswith(f"{_CALLS_LEFT})") for result in results)


def problem_ids(files: Iterable[Path]) -> set[str]:
    """Names of the problems in a run's data files, as the trainer compares them with those of traces."""
    rows = _column(files, "extra_info", "problem_id")
    return {str(name) for row in rows if row and (name := row.get("problem_id")) not in (None, "")}


def _prompts(files: Iterable[Path]) -> set[str]:
    """What their prompts say: a trace of a problem may have no name of it, or another one."""
    return {prompt_text(prompt) for prompt in _column(files, "prompt") if prompt}


def _column(files: Iterable[Path], name: str, field: str = "") -> Iterator[Any]:
    """The values of a column, of one field of it where that is named; none of a file that lacks it."""
    for path in files:
        with whole_pages(str(path)):
            table = pq.ParquetFile(path).read(columns=[f"{name}.{field}" if field else name])
        if name in table.column_names:
            yield from table.column(name).to_pylist()
