"""The loops of an evaluation are those of training."""

import inspect
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from verl_coder.agent_loops.single_turn_agent import CodeAnswerLoop
from verl_coder.agent_loops.tool_agent import GuardedToolAgentLoop
from verl_coder.evaluation.loop_registry import registry
from verl_coder.evaluation.run_config import shipped_agent_loops
from verl_coder.evaluation.trajectories import AgentLoops


@pytest.mark.parametrize(
    ("name", "loop"), [("tool_agent", GuardedToolAgentLoop), ("single_turn_agent", CodeAnswerLoop)]
)
def test_the_loops_in_the_place_of_verls_are_those_of_training(name: str, loop: Any) -> None:
    assert inspect.getclosurevars(registry(shipped_agent_loops())[name]).nonlocals["target"] is loop


def test_a_users_loop_that_names_no_deadline_has_none_here_either(tmp_path: Path) -> None:
    loops = tmp_path / "loops.yaml"
    loops.write_text("- name: session_agent\n  _target_: verl_coder.agent_loops.code_agent.CodeAgentLoop\n")
    given = inspect.getclosurevars(registry(loops)["session_agent"]).nonlocals["settings"]
    assert given["trajectory_deadline_s"] == math.inf


@pytest.mark.parametrize(
    ("end_reason", "expected"), [("answer", "stop"), ("turns", "turns"), ("length", "length"), ("", "turns")]
)
def test_an_answer_that_speaks_of_the_end_of_a_call_is_none_that_was_cut_off(
    end_reason: str, expected: str
) -> None:
    server: Any = SimpleNamespace(
        finish_reasons=["stop"], is_answered=False, ends_with_call=True, turns=[[1], [2]]
    )
    loops: Any = SimpleNamespace(_limits=SimpleNamespace(turns=2))
    assert AgentLoops._finish_reason(loops, server, end_reason) == expected
