"""What the checks of a model's folder take for its end of a turn."""

from types import SimpleNamespace
from typing import Any

import pytest
from transformers import AutoTokenizer

from verl_coder.doctor.model import CHECKS
from verl_coder.tiny.build import BASE
from verl_coder.traces import TraceTokenizer

TEMPLATE = "{% for m in messages %}{{ m.content }}END{% endfor %}"


def _told(end: str) -> Any:
    tokenizer = AutoTokenizer.from_pretrained(BASE)
    tokenizer.chat_template = TEMPLATE.replace("END", end)
    check = next(check for check in CHECKS if check.name == "model-stop-tokens")
    taught = TraceTokenizer(
        tokenizer, model_type="qwen2", tool_schemas=[], max_prompt_tokens=9, max_response_tokens=9
    )
    situation: Any = SimpleNamespace(tokenizer=tokenizer, trace_tokenizer=taught, model_folder=BASE)
    return check.look(situation)


@pytest.mark.parametrize("end", ["<|im_end|>", " <|im_end|>", "\n<|im_end|>\n"])
def test_a_turn_ends_where_the_fine_tuning_takes_it_to_end(end: str) -> None:
    assert _told(end).status == "PASS"


@pytest.mark.parametrize("end", ["", "\n", "\n\nQuestion: "])
def test_a_template_without_a_control_token_ends_no_turn(end: str) -> None:
    found = _told(end)
    assert found.status == "FAIL" and "no control token behind an answer" in found.text
