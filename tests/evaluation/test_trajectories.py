"""The loops of an evaluation are those of training."""

import inspect
from typing import Any

import pytest

from verl_coder.agent_loops.single_turn_agent import CodeAnswerLoop
from verl_coder.agent_loops.tool_agent import GuardedToolAgentLoop
from verl_coder.evaluation.run_config import shipped_agent_loops
from verl_coder.evaluation.trajectories import _registry


@pytest.mark.parametrize(
    ("name", "loop"), [("tool_agent", GuardedToolAgentLoop), ("single_turn_agent", CodeAnswerLoop)]
)
def test_the_loops_in_the_place_of_verls_are_those_of_training(name: str, loop: Any) -> None:
    assert inspect.getclosurevars(_registry(shipped_agent_loops())[name]).nonlocals["target"] is loop
