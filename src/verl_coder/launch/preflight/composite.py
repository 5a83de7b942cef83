"""What can be wrong with the update's losses, found before Ray starts, each in one line."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from verl_coder.errors import ConfigError, DataError
from verl_coder.launch.preflight.policy_loss import check_policy_loss
from verl_coder.run.settings import CompositeSettings
from verl_coder.trace_messages import TraceError
from verl_coder.traces import (
    Trace,
    TraceTokenizer,
    check_text,
    read_traces,
    rollout_tokenizer,
)
from verl_coder.words import counted

CHECKED_TRACES = 128
"""How many traces, evenly over the file, are rendered and tokenised before a run."""


def check_composite(
    config: DictConfig,
    settings: CompositeSettings,
    *,
    data_is_there: bool = True,
    model_is_there: bool = True,
) -> None:
    """Raise the first ConfigError or DataError of the policy loss and of the three-source update, where in use."""
    check_policy_loss(config, settings)
    if not settings.is_composite:
        return
    if (config.get("distillation") or {}).get("enabled", False):
        raise ConfigError(
            "distillation.enabled with verl_coder.losses: both replace the actor's loss; use one"
        )
    if settings.uses_teacher:
        _check_rows(config, settings.teacher.rows)
        assert settings.teacher.traces is not None
        path = Path(settings.teacher.traces)
        if data_is_there or path.is_file():
            traces = read_traces(path)
            if model_is_there:
                check_traces(config, path, traces)


def _check_rows(config: DictConfig, rows: int) -> None:
    """Without dynamic batch sizes, the added rows of each worker must fill its micro-batches."""
    actor = config.actor_rollout_ref.actor
    workers = config.trainer.n_gpus_per_node * config.trainer.nnodes
    unit = workers * (1 if actor.use_dynamic_bsz else actor.ppo_micro_batch_size_per_gpu or 1)
    if rows % unit:
        raise ConfigError(
            f"verl_coder.teacher.rows is {rows}: on {counted(workers, 'worker')} it must be a multiple of {unit} "
            "(workers times actor.ppo_micro_batch_size_per_gpu, or set actor.use_dynamic_bsz)"
        )


def check_traces(config: DictConfig, path: Path, traces: Sequence[Trace]) -> None:
    """The traces must be conversations that this model's tokenizer and this rollout can express."""
    from transformers import AutoConfig, AutoTokenizer

    model = str(config.actor_rollout_ref.model.path)
    tokenizer = AutoTokenizer.from_pretrained(model)
    tokenise = rollout_tokenizer(config, tokenizer, AutoConfig.from_pretrained(model).model_type)
    reads_call = call_reader(config, tokenizer)
    place, fitting = f"verl_coder.teacher.traces: {path}", 0
    step = max(len(traces) // CHECKED_TRACES, 1)
    for index in range(0, len(traces), step):
        try:
            check_text(traces[index], tokenizer, tokenise, model)
            if reads_call is not None and traces[index].described_tools:
                _check_calls(traces[index], tokenise, reads_call)
            fitting += tokenise.row(traces[index]) is not None
        except (TraceError, ValueError) as error:
            raise DataError(f"{place}, row {index}: {error}") from error
    if not fitting:
        raise DataError(
            f"{place}: no trace fits into data.max_prompt_length={config.data.max_prompt_length} and "
            f"data.max_response_length={config.data.max_response_length} tokens: raise them, or shorten the traces"
        )


def _check_calls(trace: Trace, tokenise: TraceTokenizer, reads_call: Any) -> None:
    for message, following in zip(trace.messages, trace.messages[1:], strict=False):
        answered = message["role"] == "assistant" and following["role"] == "tool"
        if answered and not reads_call(tokenise.turn_ids(message)):
            raise TraceError(
                "a tool answers an assistant's message in which the rollout's parser "
                "(actor_rollout_ref.rollout.multi_turn.format) finds no tool call: the traces are for another model"
            )


def call_reader(config: DictConfig, tokenizer: Any) -> Any:
    """token ids -> the tool calls that the rollout would find in them; None where the rollout has no tools."""
    from verl.experimental.agent_loop.tool_parser import ToolParser

    turns = config.actor_rollout_ref.rollout.multi_turn
    if not turns.enable or not turns.tool_config_path:
        return None
    parser = ToolParser.get_tool_parser(turns.format, tokenizer)

    def read(ids: list[int]) -> list[Any]:
        async def parse() -> list[Any]:
            return list((await parser.extract_tool_calls(ids, []))[1])

        return asyncio.run(parse())

    return read
