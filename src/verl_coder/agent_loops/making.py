"""Making the agent loop of a sample: by its class, where verl has hydra merge the run's whole configuration each time.

That merge took 4 ms of each sample, two fifths of what the worker's Python did. An agent loop whose registered
configuration (`rollout.agent.agent_loop_config_path`) holds more than its class is still made by hydra.
"""

from collections.abc import Callable, Mapping
from functools import cache
from types import SimpleNamespace
from typing import Any

import hydra
import verl.experimental.agent_loop.agent_loop as agent_loop

_class_of: Callable[[str], Any] = cache(hydra.utils.get_class)


def make(config: Mapping[str, Any], **objects: Any) -> Any:
    """The object that `hydra.utils.instantiate(config, **objects)` gives; errors are the class's own."""
    if set(config) == {"_target_"}:
        return _class_of(str(config["_target_"]))(**objects)
    return hydra.utils.instantiate(config=config, **objects)


def make_by_class() -> None:
    """Let verl's agent-loop workers in this process make their loops so."""
    agent_loop.hydra = SimpleNamespace(utils=SimpleNamespace(instantiate=make))  # type: ignore[attr-defined]
