"""The agent loops of an evaluation: those of training, by the names in their YAML, without a deadline."""

import math
from pathlib import Path
from typing import Any

from verl_coder.agent_loops.entries import read_entries
from verl_coder.importing import load_class


def registry(agent_loops: Path) -> dict[str, Any]:
    """Makers of agent loops by name: verl's own, and those of the YAML."""
    from verl.experimental.agent_loop import agent_loop

    import verl_coder.agent_loops.single_turn_agent
    import verl_coder.agent_loops.tool_agent  # noqa: F401  (both register themselves in the place of verl's)
    from verl_coder.agent_loops.code_agent import CodeAgentLoop
    from verl_coder.agent_loops.making import maker

    own = read_entries(agent_loops)
    entries: dict[str, Any] = {**agent_loop._agent_loop_registry, **own}
    for entry in own.values():
        if issubclass(load_class(entry["_target_"]), CodeAgentLoop):
            entry["trajectory_deadline_s"] = math.inf  # a slow machine holds up no step here
    return {name: maker(entry) for name, entry in entries.items()}
