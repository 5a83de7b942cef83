"""What the command's options come to."""

import json
from pathlib import Path

import pytest
from evaluation.conftest import TINY, make_problem

from verl_coder.data import write_rows
from verl_coder.errors import ConfigError
from verl_coder.evaluation.request import EvaluationRequest, plan_evaluation
from verl_coder.evaluation.tool_choice import protocol_for
from verl_coder.paths import repository_root
from verl_coder.prompts import build_prompt


@pytest.mark.parametrize(
    ("tools", "protocol"),
    [
        ("python_interpreter", None),
        ("python_session", "session"),
        ("run_tests", "session"),
        ("python_debugger", "debugger"),
    ],
)
def test_tools_that_keep_their_state_come_with_their_protocol(tools, protocol):
    assert protocol_for(repository_root() / "tool_config" / f"{tools}.yaml") == protocol


RUN = {
    "data": {
        "apply_chat_template_kwargs": {"enable_thinking": False},
        "max_prompt_length": 64,
        "max_response_length": 64,
    }
}


def options_of(problems: Path, **more: str) -> dict[str, object]:
    request = EvaluationRequest(model=str(TINY), data=(str(problems),), tools="none", **more)  # type: ignore[arg-type]
    return plan_evaluation(request).template_options


def test_the_chat_template_gets_the_options_of_the_run_or_those_given(problems: Path, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(json.dumps(RUN))
    assert options_of(problems) == {}
    assert options_of(problems, like=str(tmp_path)) == {"enable_thinking": False}
    given = '{"enable_thinking": true}'
    assert options_of(problems, like=str(tmp_path), chat_template_kwargs=given) == {"enable_thinking": True}


@pytest.mark.parametrize("text", ["enable_thinking=false", "[1]", "{'enable_thinking': False}"])
def test_options_of_the_chat_template_that_are_no_json_object_are_one_line(text: str, problems: Path) -> None:
    with pytest.raises(ConfigError, match=r"--chat-template-kwargs .*: a JSON object"):
        options_of(problems, chat_template_kwargs=text)


@pytest.mark.parametrize(
    ("protocol", "tools"),
    [
        ("tool", "python_interpreter"),
        ("session", "python_session"),
        ("debugger", "python_debugger"),
        ("debugger_late", "python_debugger_late"),
        ("program", "python_interpreter"),
        ("feedback", "feedback"),
        ("none", None),
    ],
)
@pytest.mark.parametrize("like", [False, True])
def test_a_protocol_brings_its_own_tools(
    protocol: str, tools: str | None, like: bool, tmp_path: Path
) -> None:
    problems = tmp_path / "rows.parquet"
    write_rows([make_problem(0, prompt=build_prompt("Write f(xs).", style="function"))], problems)
    brief = str(repository_root() / "tool_config" / "python_interpreter_brief.yaml")
    multi_turn = {"multi_turn": {"tool_config_path": brief}}
    (tmp_path / "config.yaml").write_text(json.dumps(RUN | {"actor_rollout_ref": {"rollout": multi_turn}}))
    request = EvaluationRequest(
        model=str(TINY), data=(str(problems),), protocol=protocol, like=str(tmp_path) if like else None
    )
    found = plan_evaluation(request).tools
    if like and tools == "python_interpreter":
        tools = "python_interpreter_brief"
    assert (found.stem if found else None) == tools


def test_rows_bring_the_tools_of_their_loop(tmp_path: Path) -> None:
    rows = tmp_path / "rows.parquet"
    write_rows([make_problem(0, agent_name="session_agent")], rows)
    found = plan_evaluation(EvaluationRequest(model=str(TINY), data=(str(rows),))).tools
    assert found and found.name == "python_session.yaml"


@pytest.mark.parametrize("protocol", ["debugger", "debugger_late"])
def test_rows_of_one_loop_bring_the_tools_of_the_protocol_that_their_prompt_speaks(
    protocol: str, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.parquet"
    prompt = build_prompt("Write f(xs).", style="function", protocol=protocol)
    write_rows([make_problem(0, prompt=prompt, agent_name="debugger_agent")], rows)
    found = plan_evaluation(EvaluationRequest(model=str(TINY), data=(str(rows),))).tools
    assert found and found.name == f"python_{protocol}.yaml"


def test_tools_that_a_loop_cannot_do_with_are_refused_before_a_model_is_loaded(tmp_path: Path) -> None:
    rows = tmp_path / "rows.parquet"
    write_rows([make_problem(0, agent_name="session_agent")], rows)
    tools = "tool_config/python_interpreter.yaml"
    with pytest.raises(
        ConfigError, match=r"it has no python_session, .* take tool_config/python_session.yaml"
    ):
        plan_evaluation(
            EvaluationRequest(model=str(TINY), data=(str(rows),), tools=tools, protocol="session")
        )


def test_a_difficulty_that_no_problem_has_is_answered_with_those_that_are_there(problems: Path) -> None:
    with pytest.raises(ConfigError, match=r"by difficulty esy \(of difficulty there are \w+.*\)$"):
        options_of(problems, difficulty="esy")


def test_a_temperature_below_0_is_told_its_range(problems: Path) -> None:
    with pytest.raises(ConfigError, match=r"^--temperature -1: use a number of 0 or more; 0 is greedy$"):
        options_of(problems, temperature=-1.0)  # type: ignore[arg-type]
