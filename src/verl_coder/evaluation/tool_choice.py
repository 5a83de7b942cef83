"""By which protocol and with which tools an evaluation poses its problems."""

from collections.abc import Mapping, Sequence, Set
from pathlib import Path

import yaml
from omegaconf import DictConfig, OmegaConf

from verl_coder.agent_loops.entries import read_entries
from verl_coder.data.prepared import iter_rows, resolve_prepared
from verl_coder.errors import ConfigError
from verl_coder.evaluation.run_config import shipped_agent_loops
from verl_coder.paths import check_tools_file, repository_root, resolve_content_path
from verl_coder.problems import Problem
from verl_coder.prompts import protocol_of
from verl_coder.protocols import EVALPLUS, PROTOCOLS
from verl_coder.tools.execution import read_tools_text
from verl_coder.words import choose_one

_NO_TOOLS = "none"
_ALL_PROTOCOLS = (*PROTOCOLS, EVALPLUS)


def protocol_and_tools(
    protocol: str | None, tools_given: str | None, run: DictConfig | None, files: Sequence[Path]
) -> tuple[str | None, Path | None]:
    """The protocol to pose the problems by (None: as their rows say), and the YAML of tools.

    `protocol` and `tools_given` are the command's options, `run` the configuration of the run that the rest is taken
    from. ConfigError where the two contradict each other, or there is no such YAML.
    """
    if protocol not in (None, *_ALL_PROTOCOLS):
        raise ConfigError(f"--protocol {protocol}: {choose_one(protocol, _ALL_PROTOCOLS)}")
    if tools_given == _NO_TOOLS:
        if protocol not in (None, "none", EVALPLUS):
            raise ConfigError(
                f"--tools none with --protocol {protocol}: that protocol runs programs; leave one out"
            )
        return protocol or "none", None
    if protocol in ("none", EVALPLUS):
        if tools_given:
            raise ConfigError(
                f"--protocol {protocol} with --tools {tools_given}: that protocol calls no tools"
            )
        return protocol, None
    given = tools_given or _tools_of(run)
    tools = resolve_content_path(given) if given else None
    if tools is not None:
        check_tools_file(tools, f"--tools {given}", or_none=True)
        read_tools_text(tools)  # ConfigError where it is no text
    if tools is not None and not tools_given and protocol and not _serve(tools, protocol):
        return protocol, None  # the run was of another protocol
    if tools_given and tools is not None and protocol is None:
        protocol = protocol_for(tools) or ("tool" if _first_agent(files) == "single_turn_agent" else None)
    return protocol, tools


def default_tools(protocol: str | None, agents: Set[str]) -> Path | None:
    """The YAML of `tool_config/` for `protocol`, or for rows of these agent loops; None where they have one turn."""
    names = [protocol] if protocol in PROTOCOLS else [p.name for p in PROTOCOLS.values()]
    found = [PROTOCOLS[name].tools for name in names if name and PROTOCOLS[name].agent_name in agents]
    file = next((file for file in found if file), None)
    if file is None and agents != {PROTOCOLS["none"].agent_name}:
        file = PROTOCOLS["tool"].tools  # a loop of the user's own
    return resolve_content_path(f"tool_config/{file}") if file else None


def chosen_tools(
    tools: Path | None, protocol: str | None, problems: Sequence[Problem], loops: Path | None = None
) -> Path | None:
    """The YAML for these rows: that which is given, else the shipped one of their protocol; None for one turn.

    `loops`: the YAML of the agent loops, if not the shipped one.
    ConfigError where an agent loop of the rows does not find what it needs in it.
    """
    agents = {problem.agent_name for problem in problems}
    if agents == {PROTOCOLS["none"].agent_name}:
        tools = None
    elif tools is None:
        spoken = (protocol_of(problem.agent_name, problem.prompt) for problem in problems)
        with_tools = (one.name for one in spoken if one is not None and one.tools)
        tools = default_tools(protocol or next(with_tools, None), agents)
    check_tools(tools, agents, loops)
    return tools


def check_tools(tools: Path | None, agents: Set[str], loops: Path | None = None) -> None:
    """ConfigError where an agent loop of the problems does not find what it needs in the YAML."""
    names, needs = _names(tools) if tools else set(), _needs(loops)
    ours = {protocol.agent_name for protocol in PROTOCOLS.values() if protocol.tools}
    for agent in sorted((agents & ours) - needs.keys()):
        if others := _of_other_loops(names, needs):
            own = default_tools(None, {agent})
            raise ConfigError(
                f"--tools {tools}: {', '.join(others)} keeps its state from call to call, which {agent} cannot: "
                f"{f'take tool_config/{own.name}' if own else 'name another YAML'}, or another --protocol"
            )
    for agent in sorted(agents & needs.keys()):
        if names and (missing := [name for name in needs[agent] if name not in names]):
            own = default_tools(None, {agent})
            raise ConfigError(
                f"--tools {tools}: it has no {', '.join(missing)}, which {agent} needs: "
                f"{f'take tool_config/{own.name}' if own else 'name another YAML'}, or leave --tools out"
            )


def protocol_for(tools: Path) -> str | None:
    """The protocol whose agent loop needs tools of this YAML (config/agent_loops.yaml); None where any will do."""
    names, needs = _names(tools), _needs()
    for protocol in PROTOCOLS.values():
        if protocol.agent_name in needs and names.issuperset(needs[protocol.agent_name]):
            return protocol.name
    return None


def _serve(tools: Path, protocol: str) -> bool:
    """Whether a run's YAML is one for `protocol`: with what its agent loop needs, and nothing that it cannot serve."""
    agent, names, needs = PROTOCOLS[protocol].agent_name, _names(tools), _needs()
    if agent not in needs:
        return not _of_other_loops(names, needs)
    own = default_tools(protocol, {agent})
    return names.issuperset(needs[agent]) and (own is None or _is_late(tools) == _is_late(own))


def _of_other_loops(names: Set[str], needs: Mapping[str, Sequence[str]]) -> list[str]:
    """Tools that keep a state from call to call, which a loop that needs none of them cannot give them."""
    plain = _names(resolve_content_path(f"tool_config/{PROTOCOLS['tool'].tools}"))
    return sorted({name for needed in needs.values() for name in needed if name in names} - plain)


def _is_late(tools: Path) -> bool:
    """Whether a tool of the YAML comes after failed runs only: of two protocols of one loop one says so."""
    try:
        return any(
            (one.get("config") or {}).get("available_after")
            for one in yaml.safe_load(read_tools_text(tools))["tools"]
        )
    except (yaml.YAMLError, KeyError, TypeError, AttributeError):
        return False


def _names(tools: Path) -> set[str]:
    """Names of a YAML's tools; none where it has another form: who loads the tools says what is wrong."""
    try:
        return {
            tool["tool_schema"]["function"]["name"]
            for tool in yaml.safe_load(read_tools_text(tools))["tools"]
        }
    except (yaml.YAMLError, KeyError, TypeError):
        return set()


def _needs(loops: Path | None = None) -> dict[str, list[str]]:
    entries = read_entries(loops or shipped_agent_loops())
    return {name: loop["needs"] for name, loop in entries.items() if loop.get("needs")}


def _tools_of(run: DictConfig | None) -> str | None:
    """The YAML of a run's tools, or ours of the same name where the run is of another machine."""
    given = run and OmegaConf.select(run, "actor_rollout_ref.rollout.multi_turn.tool_config_path")
    if given and not Path(given).is_file():
        return str(repository_root() / "tool_config" / Path(given).name)
    return given or None


def _first_agent(files: Sequence[Path]) -> str:
    """The agent loop of the first row, which speaks for the others."""
    columns = ["agent_name"]
    rows = (row for path in files for file in resolve_prepared(path) for row in iter_rows(file, columns))
    return str(next(rows, {}).get("agent_name"))
