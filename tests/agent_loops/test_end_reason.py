"""Why a trajectory of verl's tool loop ended: a scripted model, the real tool and the real sandbox."""

import json
from typing import Any

import pytest


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, "answer"),
        ({"response_length": 60}, "length"),  # the call fits, and what the tool returned does not
        ({"response_length": 20}, "length"),
        ({"multi_turn.max_assistant_turns": 1}, "turns"),
        ({"multi_turn.max_assistant_turns": 2}, "answer"),  # in the last turn that is allowed
        ({"multi_turn.max_user_turns": 1}, "answer"),
    ],
)
def test_a_trajectory_says_why_it_ended(rollout: Any, changes: dict[str, int], reason: str) -> None:
    call = json.dumps({"name": "python_interpreter", "arguments": {"code": "print(list(range(40)))"}})
    script = [f"<tool_call>\n{call}\n</tool_call><|im_end|>", "```python\nx = 1\n```<|im_end|>"]
    target = {"_target_": "verl_coder.agent_loops.tool_agent.GuardedToolAgentLoop"}
    output, _, _ = rollout(script, protocol="tool", loop=target, changes=changes)
    assert output.extra_fields["end_reason"] == reason
