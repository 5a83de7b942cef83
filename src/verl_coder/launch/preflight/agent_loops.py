"""Which agent loops there are, and whether the rows of a run name one of them: known before Ray starts."""

import re
from collections.abc import Iterable, Mapping, Set
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.compute as pc
import pyarrow.parquet as pq
from omegaconf import DictConfig, OmegaConf

from verl_coder.agent_loops.entries import read_entries
from verl_coder.data.prepared import whole_pages
from verl_coder.errors import ConfigError, DataError
from verl_coder.importing import load_class
from verl_coder.launch.preflight.checked_tools import CheckedTools
from verl_coder.prompts import known_system
from verl_coder.protocols import PROTOCOLS, agent_tags, describes_tools, find_protocol
from verl_coder.words import choose_one, did_you_mean

OWN = frozenset({"single_turn_agent", "tool_agent"})
"""What verl registers itself."""


_TOOL_NAME = re.compile(r"\bpython_[a-z]+\b")
"""How the tools are called of which a protocol's prompt speaks."""


def check_agent_loops(
    loops: str | None, tools: CheckedTools, files: Iterable[Path], *, default: str | None = None
) -> None:
    """ConfigError or DataError of one line: a loop that does not load or has no protocol, a row that names none.

    `loops` is `rollout.agent.agent_loop_config_path`, `default` its `default_agent_loop`, `tools` those of the run,
    `files` the Parquet files.
    """
    own = _load(Path(loops)) if loops else {}
    known = OWN | own.keys()
    if default is not None and default not in known:
        raise ConfigError(
            f"actor_rollout_ref.rollout.agent.default_agent_loop={default}: {choose_one(default, sorted(known))}"
        )
    for path in files:
        for name in agent_names(path):
            if name not in known:
                raise DataError(
                    f"{path}: a row names the agent loop {name!r}; {did_you_mean(name, sorted(known))} "
                    "(actor_rollout_ref.rollout.agent.agent_loop_config_path names a YAML with more)"
                )
            _check_tools(path, name, own.get(name, _Loop([], has_workspace=False)), tools)


def renamed_tools(tools: CheckedTools, files: Iterable[Path]) -> list[str]:
    """Lines about tools that the first prompt of a file speaks of by name, and that the run's have not."""
    there = [tool.name for tool in tools.entries]
    found = []
    for path in files:
        with whole_pages(str(path)):
            first = next(pq.ParquetFile(path).iter_batches(batch_size=1, columns=["prompt"]), None)
        prompt = first.to_pylist()[0]["prompt"] if first else []
        if (known := known_system(prompt or [])) is None:
            continue
        told = "\n".join(find_protocol(known[0]).prompt(known[1]))
        found += [
            f"{path}: its prompts speak of {name}, and TOOLS: {tools.path} has {', '.join(there)}: a model calls what "
            "it is told of, so keep the name"
            for name in sorted(set(_TOOL_NAME.findall(told)) - {*there})
            if there
        ]
    return found


def fit_tools_to_rows(config: DictConfig, names: Set[str]) -> None:
    """Count no description of tools in prompts where no row's agent loop has one: verl leaves out what is too long.

    Changes `data.tool_config_path`, which verl's dataset takes from the rollout's whatever the rows are. `names` are
    those of the rows' agent loops.
    """
    if names and not any(describes_tools(name) for name in names):
        OmegaConf.update(config, "data.tool_config_path", None)


def check_template(tokenizer: Any, names: Set[str], options: Mapping[str, Any]) -> None:
    """ConfigError where a loop answers whole turns as the user, and the template takes no two of its messages in a row.

    verl renders an appended message behind a system and a user message of its own; `options` are the template's.
    """
    answers = [p.agent_name for p in PROTOCOLS.values() if p.tags and not p.tags.call]
    if names.isdisjoint(answers):
        return
    messages = [{"role": role, "content": "x"} for role in ("system", "user", "user")]
    try:
        tokenizer.apply_chat_template(
            messages, **{**options, "tokenize": False, "add_generation_prompt": True}
        )
    except Exception as error:  # a template raises what it likes
        raise ConfigError(
            f"MODEL: its chat template takes no system message with two of the user behind it ({str(error)[:100]}), as "
            f"{answers[0]} needs: take rows of another protocol, or give a template in "
            "actor_rollout_ref.model.custom_chat_template"
        ) from error


class _Loop(NamedTuple):
    needs: list[str]
    """Names of tools that TOOLS must have."""
    has_workspace: bool
    """For tools that keep their state from call to call."""


def _check_tools(path: Path, name: str, loop: _Loop, tools: CheckedTools) -> None:
    for needed in loop.needs:
        if needed not in [tool.name for tool in tools.entries]:
            raise ConfigError(
                f"{path} has rows of {name}, which needs the tool {needed}, and "
                f"TOOLS: {tools.path or 'nothing'} has none"
            )
    if name == "single_turn_agent":
        return
    for tool in tools.entries:
        if getattr(tool.tool_class, "needs_workspace", False) and not loop.has_workspace:
            raise ConfigError(
                f"TOOLS: {tools.path}: {tool.name} keeps its state from call to call, and {path} has rows of {name}, "
                "which cannot: prepare them with --protocol session, debugger or feedback"
            )


def _load(path: Path) -> dict[str, _Loop]:
    """The loops of a YAML list of {name, _target_}, by name; every name must be a protocol's agent loop."""
    loops = {}
    for name, entry in read_entries(path).items():
        target = entry["_target_"]
        try:
            loop_class = load_class(target)
        except ConfigError as error:
            raise ConfigError(f"agent_loop_config_path: {path}: no class {target} for {name!r}") from error
        try:
            agent_tags(name)
        except ConfigError as error:
            raise ConfigError(f"agent_loop_config_path: {path}: {error}") from error
        required = getattr(loop_class, "required_tool", None)
        needs = [*([required] if required else []), *(entry.get("needs") or [])]
        loops[name] = _Loop(needs, has_workspace=getattr(loop_class, "has_workspace", False))
    return loops


def agent_names(path: Path) -> set[str]:
    """Names of the agent loops of a file's rows."""
    with whole_pages(str(path)):
        column = pq.read_table(path, columns=["agent_name"]).column("agent_name")
    return {str(name) for name in pc.unique(column).to_pylist()}
