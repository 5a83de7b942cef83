"""The tokenizer of the model that learns, and how its rollouts make tokens of a conversation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from verl_coder.chat_template import template_options
from verl_coder.errors import ConfigError
from verl_coder.paths import check_tools_file, resolve_content_path
from verl_coder.tools.execution import read_tools_text
from verl_coder.traces import Trace, TraceTokenizer, check_turn_end, load_tool_schemas


def tools_file(tools: str | None) -> Path | None:
    """The file that `--tools` names, in the working folder or the repository; None where it names none."""
    return None if tools in (None, "", "none") else resolve_content_path(str(tools))


def student_tokenizer(
    model: Path,
    tools: str | None,
    traces: Sequence[Trace],
    *,
    max_prompt_tokens: int,
    max_response_tokens: int,
    chat_template_kwargs: str | None = None,
) -> tuple[Any, TraceTokenizer]:
    """(tokenizer of a model folder, that of its traces); `tools` is a YAML, or none where a prompt describes none.

    ConfigError where a rollout's prompt describes tools to a trace and `tools` is None, where there is no such YAML, no
    chat template, or one that ends turns otherwise than the tokenizer.
    """
    from transformers import AutoConfig, AutoTokenizer

    path = tools_file(tools)
    if path is not None:
        check_tools_file(path, f"--tools {tools}", or_none=True)
        read_tools_text(path)  # ConfigError where it is no text
    if tools is None and any(trace.described_tools for trace in traces):
        raise ConfigError(
            "the traces call tools, or are of an agent loop with tools, which a rollout's prompt describes: give the "
            "tool_config/*.yaml of the RL run as --tools (TOOLS= of run_sft.sh), or --tools none where its prompt "
            "describes none"
        )
    tokenizer = AutoTokenizer.from_pretrained(model)
    if not tokenizer.chat_template:
        raise ConfigError(f"--model {model}: its tokenizer has no chat template, which traces need")
    tokenise = TraceTokenizer(
        tokenizer,
        model_type=AutoConfig.from_pretrained(model).model_type,
        tool_schemas=load_tool_schemas(str(path) if path else None),
        template_options=template_options(chat_template_kwargs),
        max_prompt_tokens=max_prompt_tokens,
        max_response_tokens=max_response_tokens,
    )
    check_turn_end(tokenizer, tokenise, f"--model {model}")
    return tokenizer, tokenise
