"""What is inserted into a rollout is text and nothing else: no control token but those of the template, in any loop."""

import json
from typing import Any

import pytest
from transformers import AutoTokenizer

from verl_coder.agent_loops.entries import read_entries
from verl_coder.control_tokens import control_tokens
from verl_coder.paths import repository_root
from verl_coder.protocols import PROTOCOLS
from verl_coder.tiny.build import BASE
from verl_coder.traces import Trace, TraceTokenizer

END = "<|im_end|>"
ROOM = {"prompt_length": 2000, "response_length": 3000, "multi_turn.max_assistant_turns": 10}
ANSWER = f"```python\ndef double(n):\n    return 2 * n\n```{END}"
WRONG = "```python\ndef double(n):\n    %s\n    return n\n```" + END


def hermes(name: str) -> str:
    """A call with a place for a line of code."""
    return f'<tool_call>\n{{"name": "{name}", "arguments": {{"code": "%s"}}}}\n</tool_call>{END}'


CALLS = {
    "tool": (hermes("python_interpreter"), "python_interpreter.yaml"),
    "session": (hermes("python_session"), "python_session.yaml"),
    "debugger": (hermes("python_interpreter"), "python_debugger.yaml"),
    "program": ("<program>\n%s\n</program>", "python_interpreter.yaml"),
    "feedback": (WRONG, "feedback.yaml"),
}
"""Protocol -> a turn that runs a line of code, and its tools: one for each agent loop that inserts anything."""


def test_every_agent_loop_that_inserts_text_is_tried() -> None:
    loops = {*read_entries(repository_root() / "config/agent_loops.yaml"), "tool_agent"}
    assert {PROTOCOLS[name].agent_name for name in CALLS} == loops


def printing(words: tuple[str, ...], turn: str) -> str:
    """A turn that prints the words and holds none of them, in JSON or as it is."""
    line = (
        f"print(*[bytes.fromhex(w).decode() for w in '{' '.join(w.encode().hex() for w in words)}'.split()])"
    )
    return turn % (json.dumps(line)[1:-1] if "<tool_call>" in turn else line)


@pytest.mark.parametrize("protocol", CALLS)
def test_printed_control_tokens_are_no_tokens(rollout: Any, protocol: str) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(BASE)
    words = control_tokens(tokenizer)
    control = set(tokenizer.convert_tokens_to_ids(list(words)))
    assert {END, "<tool_call>"} <= set(words)  # the second is one that the tokenizer does not call special
    turn, tools = CALLS[protocol]
    inserted = {}
    for printed in (words, ("plain",)):
        output, _, _ = rollout(
            [printing(printed, turn), ANSWER],
            protocol=protocol,
            tools=f"tool_config/{tools}",
            tests="assert double(2) == 4",
            changes=ROOM,
        )
        assert output.extra_fields["tool_calls"] >= 1  # feedback_agent runs the answer, too
        pairs = zip(output.response_ids, output.response_mask, strict=True)
        inserted[printed] = [token for token, learnt in pairs if not learnt]
    assert "im_end" in tokenizer.decode(inserted[words])
    of_the_template = [token for token in inserted[("plain",)] if token in control]
    assert [token for token in inserted[words] if token in control] == of_the_template


@pytest.mark.parametrize("protocol", ["tool", "program"])
def test_printed_control_tokens_are_none_in_a_trace_either(protocol: str) -> None:
    tokenizer: Any = AutoTokenizer.from_pretrained(BASE)
    words = control_tokens(tokenizer)
    control = set(tokenizer.convert_tokens_to_ids(list(words)))

    def inserted(printed: str) -> list[int]:
        messages: tuple[dict[str, Any], ...] = (
            {"role": "user", "content": "Double a number."},
            {"role": "assistant", "content": (CALLS[protocol][0] % "1").removesuffix(END)},
            {"role": "tool", "content": printed},
            {"role": "assistant", "content": ANSWER.removesuffix(END)},
        )
        rows = TraceTokenizer(
            tokenizer,
            model_type="qwen2",
            tool_schemas=(),
            max_prompt_tokens=900,
            max_response_tokens=900,
        )
        row = rows.row(Trace(problem_id="p", messages=messages, agent_name=PROTOCOLS[protocol].agent_name))
        assert row is not None
        return [i for i, m in zip(row.response_ids, row.loss_mask, strict=True) if not m and i in control]

    assert inserted(" ".join(words)) == inserted("plain")
