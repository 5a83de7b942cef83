"""What the command's options come to."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from evaluation.conftest import TINY, make_problem
from omegaconf import OmegaConf

from verl_coder.data import write_rows
from verl_coder.errors import ConfigError
from verl_coder.evaluation.request import EvaluationPlan, EvaluationRequest, plan_evaluation
from verl_coder.evaluation.run_config import shipped_agent_loops
from verl_coder.evaluation.tool_choice import protocol_for
from verl_coder.evaluation.trajectories import AgentLoops
from verl_coder.launch.plan import TrainRequest, make_plan
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


@pytest.mark.parametrize(
    ("run", "protocol", "expected"),
    [
        ("python_session", "tool", "python_interpreter"),
        ("feedback", "program", "python_interpreter"),
        ("python_debugger", "tool", "python_interpreter"),
        ("python_debugger", "debugger_late", "python_debugger_late"),
        ("python_debugger_late_brief", "debugger", "python_debugger"),
        ("python_debugger_late_brief", "debugger_late", "python_debugger_late_brief"),
        ("python_debugger_brief", "debugger", "python_debugger_brief"),
    ],
)
def test_a_runs_tools_are_kept_for_a_protocol_that_they_are_made_for(
    run: str, protocol: str, expected: str, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.parquet"
    write_rows([make_problem(0, prompt=build_prompt("Write f(xs).", style="function"))], rows)
    multi_turn = {"multi_turn": {"tool_config_path": str(repository_root() / "tool_config" / f"{run}.yaml")}}
    (tmp_path / "config.yaml").write_text(json.dumps(RUN | {"actor_rollout_ref": {"rollout": multi_turn}}))
    request = EvaluationRequest(model=str(TINY), data=(str(rows),), protocol=protocol, like=str(tmp_path))
    found = plan_evaluation(request).tools
    assert found is not None and found.stem == expected


def test_tools_that_keep_their_state_are_refused_for_a_loop_that_cannot(problems: Path) -> None:
    session = str(repository_root() / "tool_config" / "python_session.yaml")
    request = EvaluationRequest(model=str(TINY), data=(str(problems),), protocol="tool", tools=session)
    with pytest.raises(
        ConfigError, match=r"python_session keeps its state .* tool_agent cannot: take tool_config/"
    ):
        plan_evaluation(request)


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


def test_a_temperature_of_retries_that_no_engine_takes_is_told_its_range(problems: Path) -> None:
    with pytest.raises(ConfigError, match=r"^--retry-temperature -1: use a number of 0 or more"):
        options_of(problems, retry_temperature=-1.0)  # type: ignore[arg-type]


def test_a_way_to_guess_that_there_is_not_is_answered_with_those_there_are(problems: Path) -> None:
    with pytest.raises(ConfigError, match=r"^--speculation eagle: there are lookup, none$"):
        options_of(problems, speculation="eagle")


def plan_like(tmp_path: Path, problems: Path, run: dict[str, object]) -> EvaluationPlan:
    (tmp_path / "config.yaml").write_text(json.dumps(run))
    request = EvaluationRequest(model=str(TINY), data=(str(problems),), like=str(tmp_path), tools="none")
    return plan_evaluation(request)


def loops_of(plan: EvaluationPlan) -> AgentLoops:
    return AgentLoops(
        model_folder=TINY,
        limits=plan.limits,
        tools=None,
        agent_loops=plan.agent_loops,
        multi_turn=plan.multi_turn,
    )


def test_the_prompts_of_a_run_may_be_longer_than_a_quarter_of_the_models_positions(
    problems: Path, tmp_path: Path
) -> None:
    limits = plan_like(
        tmp_path, problems, {"data": {"max_prompt_length": 720, "max_response_length": 304}}
    ).limits
    assert (limits.prompt_tokens, limits.response_tokens) == (720, 304)


def test_the_loops_are_set_as_the_runs_and_its_own_loops_are_there(problems: Path, tmp_path: Path) -> None:
    loops = tmp_path / "loops.yaml"
    shipped = shipped_agent_loops().read_text()
    loops.write_text(
        f"{shipped}- {{name: mine, _target_: verl_coder.agent_loops.tool_agent.GuardedToolAgentLoop}}\n"
    )
    rollout = {
        "multi_turn": {"max_tool_response_length": 512, "max_parallel_calls": 4, "tool_config_path": None},
        "agent": {"agent_loop_config_path": str(loops)},
    }
    plan = plan_like(tmp_path, problems, RUN | {"actor_rollout_ref": {"rollout": rollout}})
    made = loops_of(plan)
    turns = made._config.actor_rollout_ref.rollout.multi_turn
    assert (turns.max_tool_response_length, turns.max_parallel_calls, turns.format) == (512, 4, "hermes")
    assert turns.max_assistant_turns == plan.limits.turns and "mine" in made._registry
    assert plan.settings()["multi_turn"] == {"max_tool_response_length": 512, "max_parallel_calls": 4}
    assert plan.settings()["agent_loops_text"] == loops.read_text()


@pytest.mark.parametrize("recipe", ["tiny_cpu", "qwen_grpo"])
def test_a_recipes_run_has_the_loops_of_an_evaluation_without_one(
    recipe: str, problems: Path, tmp_path: Path
) -> None:
    run = make_plan(TrainRequest(recipe=recipe, out=str(tmp_path / "run"))).config
    (tmp_path / "config.yaml").write_text(OmegaConf.to_yaml(run))
    request = EvaluationRequest(model=str(TINY), data=(str(problems),), like=str(tmp_path), tools="none")
    settings = plan_evaluation(replace(request, max_prompt_tokens=64, max_response_tokens=64)).settings()
    assert settings["multi_turn"] is None and settings["agent_loops_text"] is None


def test_without_a_run_the_loops_are_the_shipped_ones(problems: Path) -> None:
    plan = plan_evaluation(EvaluationRequest(model=str(TINY), data=(str(problems),), tools="none"))
    assert plan.settings()["multi_turn"] is None and plan.settings()["agent_loops_text"] is None
    made = loops_of(plan)
    assert made._config.actor_rollout_ref.rollout.multi_turn.max_tool_response_length == 4096
