"""Making the agent loop of a sample: by its class, where verl has hydra merge the run's whole configuration each time.

That merge took 4 ms of each sample, two fifths of what the worker's Python did. A loop whose line in
`rollout.agent.agent_loop_config_path` holds more than numbers, texts and lists of these is still made by hydra.
"""

from collections.abc import Callable, Mapping
from functools import cache, partial
from types import SimpleNamespace
from typing import Any

import hydra
import verl.experimental.agent_loop.agent_loop as agent_loop
from omegaconf import ListConfig

_TARGET = "_target_"
_SCALARS = (str, int, float, bool, type(None))
_LISTS = (list, ListConfig)
_named = cache(hydra.utils.get_method)  # a class, too


def maker(config: Mapping[str, Any]) -> Callable[..., Any]:
    """What makes a loop of its registered configuration, given the objects that verl hands to each.

    Lists among its settings are a loop's own.
    """
    settings = {str(name): value for name, value in config.items() if name != _TARGET}
    if not all(_is_plain(name, value) for name, value in settings.items()):
        return partial(hydra.utils.instantiate, config)
    target = _named(str(config[_TARGET]))

    def made(**objects: Any) -> Any:
        return target(**{name: _own(value) for name, value in settings.items()}, **objects)

    return made


def make(config: Mapping[str, Any], **objects: Any) -> Any:
    """What `hydra.utils.instantiate(config, **objects)` gives, lists as Python's; errors are its own or the class's."""
    return maker(config)(**objects)


def _is_plain(name: str, value: Any) -> bool:
    """Whether hydra would hand the value over as it is; names with an underscore in front are hydra's own."""
    many = value if isinstance(value, _LISTS) else [value]
    return not name.startswith("_") and all(isinstance(one, _SCALARS) for one in many)


def _own(value: Any) -> Any:
    return list(value) if isinstance(value, _LISTS) else value


def make_by_class() -> None:
    """Let verl's agent-loop workers in this process make their loops so."""
    agent_loop.hydra = SimpleNamespace(utils=SimpleNamespace(instantiate=make))  # type: ignore[assignment]
