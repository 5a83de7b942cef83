"""Actors that have begun before anybody asks for them, and are given to who makes one (far_actor.py)."""

from collections.abc import Callable
from typing import Any

import ray


class BegunActors:
    """In the place of Ray's class of actors: `take(options)` gives one that has begun, or None: one is made."""

    def __init__(
        self,
        usual: Any,
        take: Callable[[dict[str, Any]], Any],
        options: dict[str, Any] | None = None,
    ) -> None:
        self._usual, self._take, self._options = usual, take, options or {}

    def options(self, **options: Any) -> "BegunActors":
        """As of any class of actors."""
        return BegunActors(self._usual, self._take, options)

    def remote(self, *arguments: Any, **named: Any) -> Any:
        """An actor of these arguments."""
        begun = self._take(self._options)
        if begun is None:
            return self._usual.options(**self._options).remote(*arguments, **named)
        # Calls of an actor with coroutines may overtake each other.
        ray.get(begun.become.remote(*arguments, **named))
        return begun
