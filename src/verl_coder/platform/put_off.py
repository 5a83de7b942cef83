"""Three modules are imported when somebody needs them, and not by everybody who imports verl and transformers.

These ask for a name of each at their import: `torch._dynamo` for decorators, which have nothing to do where nothing is
compiled, `scipy.optimize` and verl's rollout by transformers for a function and a class that no run calls. With them
come sympy, FSDP and DTensor, into the command that starts a run and into most of its processes.
"""

import importlib.abc
import os
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


def install() -> None:
    """For a process that compiles nothing: the modules of `_PUT_OFF` come when they are asked for more than is there.

    Without effect on those that have been imported before.
    """
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def install_where_nothing_is_compiled() -> None:
    """The same where PyTorch is told to compile nothing, as a run on a CPU tells it."""
    if os.environ.get("TORCH_COMPILE_DISABLE") == "1":
        install()


def _as_it_is(function: Any = None, *_: Any, **__: Any) -> Any:
    """`@decorator` and `@decorator(...)` that leave a function alone."""
    return _as_it_is if function is None else function


def _nothing(message: str = "") -> None:
    """Where the compiler would have to end a graph."""


def _called(module: str, name: str) -> Callable[..., Any]:
    """A function, or a class that is only made, which is looked up when it is called."""

    def call(*arguments: Any, **named: Any) -> Any:
        own = sys.modules[module]
        if isinstance(own, _PutOff):
            own.load()
        return getattr(own, name)(*arguments, **named)

    return call


_PUT_OFF: dict[str, dict[str, Callable[..., Any]]] = {
    "torch._dynamo": {
        "allow_in_graph": _as_it_is,
        "assume_constant_result": _as_it_is,
        "disable": _as_it_is,
        "graph_break": _nothing,
    },
    "scipy.optimize": {"linear_sum_assignment": _called("scipy.optimize", "linear_sum_assignment")},
    "verl.workers.rollout.hf_rollout": {"HFRollout": _called("verl.workers.rollout.hf_rollout", "HFRollout")},
}
"""Module -> what it has before its own code has run."""
_ALONE = ("torch._dynamo._trace_wrapped_higher_order_op",)
"""Modules in these packages that need nothing of the package; for any other the package's code runs first."""
_OF_ITS_CODE = ("__all__", "__version__")
PATIENCE_S = 30.0
"""That a thread waits for a module whose code another one runs, as Python's own imports wait for each other."""


class _PutOff(ModuleType):
    """A module before its code has run; that runs when an unknown name is asked for."""

    def __init__(self, name: str, loader: importlib.abc.Loader) -> None:
        super().__init__(name)
        self.__dict__.update(_PUT_OFF[name], _loader=loader, _lock=threading.RLock(), _loading=False)

    def load(self) -> None:
        """Run the module's code, once; AttributeError where that code is what asks, or takes PATIENCE_S elsewhere."""
        own = self.__dict__
        # Each of two threads may hold a module of the package that the other one waits for: one of them gives way.
        if not own["_lock"].acquire(timeout=PATIENCE_S):
            raise AttributeError(f"module {self.__name__!r} is still being imported by another thread")
        try:
            if own["_loading"]:
                raise AttributeError(f"module {self.__name__!r} is not there yet: its own code asks for it")
            if isinstance(self, _PutOff):
                own["_loading"] = True
                try:
                    own["_loader"].exec_module(self)
                finally:
                    own["_loading"] = False
                self.__class__ = ModuleType  # type: ignore[assignment]
        finally:
            own["_lock"].release()

    def __getattr__(self, name: str) -> Any:
        if (
            name.startswith("__") and name not in _OF_ITS_CODE
        ):  # Python looks for many such names in any module
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        self.load()
        return getattr(self, name)


class _Later(importlib.abc.Loader):
    """Makes the module, and leaves its code for later."""

    def __init__(self, loader: importlib.abc.Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Called by Python's import."""
        return _PutOff(spec.name, self._loader)

    def exec_module(self, module: ModuleType) -> None:
        """Called by Python's import; the code runs at the first question."""


class _Here(importlib.abc.Loader):
    """Gives Python a module that its package's code has just imported."""

    def __init__(self, module: ModuleType) -> None:
        self._module, self._spec = module, module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Called by Python's import."""
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        """Called by Python's import, after it has given the module this loader's spec."""
        module.__spec__ = self._spec


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules that are put off, and what stands in their packages."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Called by Python's import."""
        package = sys.modules.get(fullname.rpartition(".")[0])
        if isinstance(package, _PutOff) and fullname not in _ALONE and not package.__dict__["_loading"]:
            package.load()
            here = sys.modules.get(fullname)
            return None if here is None else ModuleSpec(fullname, _Here(here))
        if fullname not in _PUT_OFF:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Later(spec.loader)
        return spec
