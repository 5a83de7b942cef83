"""The tools of a recipe, and the agent loops that offer them: as a run checks them before Ray starts."""

from verl_coder.doctor.check import CheckResult, DoctorCheck, passed, skipped
from verl_coder.doctor.situation import NotHereError, Situation
from verl_coder.errors import ConfigError


def _tools(situation: Situation) -> CheckResult:
    from verl_coder.launch.preflight.places import check_tools_sandboxes
    from verl_coder.launch.preflight.tools import check_tools

    turns = situation.config.actor_rollout_ref.rollout.multi_turn
    check_tools_sandboxes(check_tools(turns.tool_config_path, turns.max_tool_response_length))
    return passed(turns.tool_config_path) if turns.tool_config_path else skipped("the recipe has no tools")


def _agent_loops(situation: Situation) -> CheckResult:
    from verl_coder.launch.preflight.agent_loops import check_agent_loops
    from verl_coder.launch.preflight.tools import check_tools

    rollout = situation.config.actor_rollout_ref.rollout
    path = rollout.agent.agent_loop_config_path
    try:
        files = situation.data_files
    except NotHereError:
        files = []
    try:
        tools = check_tools(rollout.multi_turn.tool_config_path)
    except ConfigError:
        return skipped("not looked at: the tools cannot be loaded")  # which `tools` says
    check_agent_loops(path, tools, files, default=rollout.agent.default_agent_loop)
    return passed(f"{path}" + (f"; the rows of {len(files)} files name one of them" if files else ""))


CHECKS = (
    DoctorCheck(name="tools", component="recipe", look=_tools, fix="mend the YAML of TOOLS="),
    DoctorCheck(name="agent-loops", component="recipe", look=_agent_loops, fix="mend the YAML, or the rows"),
)
