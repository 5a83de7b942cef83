"""A class of an actor that is imported only where the actor lives.

Ray loads the class of an actor in every process that is given a handle of it, to know its methods. With vLLM's server
that costs 6 s and 0.3 GB in a process that only calls it, and the processes of a run start one after the other.
"""

from collections.abc import Callable, Mapping
from typing import Any


def far_class(module: str, name: str, methods: Mapping[str, bool]) -> type:
    """A class that stands for `module.name` in Ray; made, its instance becomes one of that.

    `methods`: name -> whether it is a coroutine. The class travels to other processes by its value, and they import
    nothing for it. Where the actor lives its module is imported when it is made, which with coroutines is in the thread
    of their event loop. Made without any argument it waits for `become`, and may be told to `prepare` before; nothing
    else may be called until `become` has returned.
    """

    def begin(self: Any, *arguments: Any, **named: Any) -> None:
        if arguments or named:
            become_now(self, *arguments, **named)

    def become_now(self: Any, *arguments: Any, **named: Any) -> None:
        import importlib

        real = getattr(importlib.import_module(module), name)
        of_ray = getattr(real, "__ray_metadata__", None)  # of a class under Ray's decorator
        self.__class__ = real if of_ray is None else of_ray.modified_class
        self.__init__(*arguments, **named)

    async def become(self: Any, *arguments: Any, **named: Any) -> None:
        """Do what making it with these arguments would have done."""
        become_now(self, *arguments, **named)

    async def prepare(self: Any, how: Callable[[str], None]) -> None:
        """Have `how(module)` import the module, before anybody waits for it."""
        how(module)

    body: dict[str, Any] = {method: _forwards(method, waits) for method, waits in methods.items()}
    return type(
        name, (), {**body, "__init__": begin, "become": become, "prepare": prepare, "__module__": module}
    )


def _forwards(method: str, waits: bool) -> Callable[..., Any]:
    """What Ray calls with the instance, which by then has its own class's method of that name."""
    if waits:

        async def forward_and_wait(self: Any, *arguments: Any, **named: Any) -> Any:
            return await getattr(self, method)(*arguments, **named)

        return forward_and_wait

    def forward(self: Any, *arguments: Any, **named: Any) -> Any:
        return getattr(self, method)(*arguments, **named)

    return forward
