"""The same problem under several protocols."""

from dataclasses import replace

import pytest
from evaluation.conftest import make_problem

from verl_coder.errors import ConfigError
from verl_coder.evaluation.protocol import pose
from verl_coder.problems import AssertTests, CheckTests, Problem
from verl_coder.prompts import build_prompt, system_prompt

TESTS = ("assert double(2) == 4", "assert double(0) == 0")


def mbpp(protocol: str = "tool") -> Problem:
    prompt = build_prompt("Write a function to double.", style="assert", protocol=protocol, examples=TESTS)
    suite = AssertTests(tests=TESTS, entry_point="double")
    return make_problem(
        1, data_source="mbpp", problem_id="mbpp/1", prompt=prompt, tests=suite, agent_name="tool_agent"
    )


def test_a_protocol_changes_the_system_message_and_the_loop_and_nothing_else() -> None:
    for name, loop in (("none", "single_turn_agent"), ("program", "program_agent"), ("tool", "tool_agent")):
        posed = pose(mbpp(), name).problem
        assert posed.prompt[0]["content"] == system_prompt(protocol=name)
        assert posed.prompt == build_prompt(
            "Write a function to double.", style="assert", protocol=name, examples=TESTS
        )
        assert (posed.agent_name, posed.tests) == (loop, mbpp().tests)


def test_no_protocol_leaves_the_row_as_it_is() -> None:
    assert pose(mbpp(), None).problem == mbpp()


def test_a_prompt_without_our_system_message_takes_the_tools_of_the_template_only() -> None:
    problem = make_problem(0)
    assert pose(problem, "none").problem.prompt == problem.prompt
    with pytest.raises(ConfigError, match="prepare the data with --protocol program"):
        pose(problem, "program")


def test_evalplus_asks_as_evalplus_does() -> None:
    posed = pose(mbpp(), "evalplus")
    (message,) = posed.problem.prompt
    assert message["content"] == (
        "Please provide a self-contained Python script that solves the following problem in a markdown code block:\n"
        '```\n"""\nWrite a function to double.\nassert double(2) == 4\n"""\n```\n'
    )
    with_setup = build_prompt("Write a function to double.", style="assert", examples=("two = 2", *TESTS))
    assert pose(replace(mbpp(), prompt=with_setup), "evalplus") == posed
    assert posed.prefill.endswith("\n```python\n") and "\n```\n" in posed.stop
    head = 'def double(n: int) -> int:\n    """Twice n."""\n'
    human = make_problem(
        0,
        data_source="humaneval",
        starter_code=head,
        tests=CheckTests(entry_point="double", check="assert True"),
    )
    assert f"```\n{head.strip()}\n```" in pose(human, "evalplus").problem.prompt[0]["content"]
