"""The student's tokenizer, and what is refused before a trace is tokenised."""

from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from verl_coder.errors import ConfigError
from verl_coder.sft.student import student_tokenizer
from verl_coder.tiny.build import BASE
from verl_coder.traces import Trace

TALK = ({"role": "user", "content": "def f"}, {"role": "assistant", "content": "```python\npass\n```"})


def student(folder: Path, *, agent: str = "", tools: str | None = None, **changes: Any) -> Any:
    """Of a copy of the tiny tokenizer with these changes."""
    tokenizer = AutoTokenizer.from_pretrained(BASE)
    for name, value in changes.items():
        setattr(tokenizer, name, value)
    tokenizer.save_pretrained(folder)
    (folder / "config.json").write_text('{"model_type": "qwen2"}')
    trace = Trace(problem_id="p", messages=TALK, agent_name=agent)
    return student_tokenizer(folder, tools, [trace], max_prompt_tokens=99, max_response_tokens=99)


def test_an_end_of_a_turn_that_is_not_the_templates_is_refused(tmp_path: Path) -> None:
    student(tmp_path)
    with pytest.raises(
        ConfigError, match=r"--model .* ends a turn with <\|im_end\|>, and eos_token is <\|im_start\|>"
    ):
        student(tmp_path, eos_token="<|im_start|>")


def test_a_template_that_puts_no_control_token_behind_an_answer_is_taken(tmp_path: Path) -> None:
    student(tmp_path, chat_template="{% for m in messages %}{{ m.content }}{% endfor %}")


@pytest.mark.parametrize("agent", ["tool_agent", "session_agent"])
def test_tools_are_asked_for_where_the_loop_has_them_and_nothing_is_called(
    tmp_path: Path, agent: str
) -> None:
    student(tmp_path)
    student(tmp_path, agent=agent, tools="none")
    with pytest.raises(ConfigError, match=r"or are of an agent loop with tools, .* or --tools none"):
        student(tmp_path, agent=agent)
