"""Known conversations go through every stage, whatever a template does with the thinking of a turn."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import OmegaConf
from transformers import AutoTokenizer

from verl_coder.doctor.stages import CHECKS
from verl_coder.paths import repository_root
from verl_coder.tiny.build import BASE
from verl_coder.traces import TraceTokenizer, load_tool_schemas

BEGINNING = "<|im_start|>assistant\\n"
TOOLS = repository_root() / "tool_config" / "python_interpreter.yaml"


def _situation(prompt_end: str) -> Any:
    """The tiny model's tokenizer with a template whose prompt ends with `prompt_end`."""
    tokenizer = AutoTokenizer.from_pretrained(BASE)
    assert f"{{{{- '{BEGINNING}' }}}}" in tokenizer.chat_template
    tokenizer.chat_template = tokenizer.chat_template.replace(
        f"{{{{- '{BEGINNING}' }}}}", f"{{{{- '{BEGINNING}{prompt_end}' }}}}"
    )
    rollout = {
        "multi_turn": {"tool_config_path": str(Path(TOOLS))},
        "agent": {"default_agent_loop": "tool_agent"},
    }
    tokeniser = TraceTokenizer(
        tokenizer,
        model_type="qwen2",
        tool_schemas=load_tool_schemas(TOOLS),
        max_prompt_tokens=4096,
        max_response_tokens=4096,
    )
    config = OmegaConf.create({"actor_rollout_ref": {"rollout": rollout}})
    return SimpleNamespace(tokenizer=tokenizer, trace_tokenizer=tokeniser, config=config)


@pytest.mark.parametrize("prompt_end", ["", "<think>\\n", "<think>\\n\\n</think>\\n\\n"])
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_a_template_may_open_or_close_the_thinking_of_a_turn(check: Any, prompt_end: str) -> None:
    found = check.look(_situation(prompt_end))
    assert found.status == "PASS", found.text
