"""The loops of an evaluation are those of training."""

from verl_coder.agent_loops.single_turn_agent import CodeAnswerLoop
from verl_coder.agent_loops.tool_agent import GuardedToolAgentLoop
from verl_coder.evaluation.trajectories import _registry


def test_the_loops_in_the_place_of_verls_are_those_of_training() -> None:
    assert _registry()["tool_agent"].func is GuardedToolAgentLoop
    assert _registry()["single_turn_agent"].func is CodeAnswerLoop
