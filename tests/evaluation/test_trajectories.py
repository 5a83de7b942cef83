"""The loops of an evaluation are those of training."""

from verl_coder.agent_loops.tool_agent import GuardedToolAgentLoop
from verl_coder.evaluation.trajectories import _registry


def test_the_tool_loop_is_the_guarded_one_of_training() -> None:
    assert _registry()["tool_agent"].func is GuardedToolAgentLoop
