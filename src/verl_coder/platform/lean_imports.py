"""Processes that run no engine do without vLLM: two modules of verl import it in most of them, for nothing there.

It costs 2 to 6 s and 0.3 GB in each of the trainer, its workers, the agent loops and the rewards.
"""

import ast
import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType, ModuleType
from typing import Any

VLLM_OF_VERL = "verl.third_party.vllm"
"""It says which version there is, and offers two names of vLLM that nothing in verl asks for."""
HCCL = "verl.checkpoint_engine.hccl_checkpoint_engine"
"""verl's weight transfer between Ascend NPUs, one of its optional modules."""


def apply() -> None:
    """Let verl's modules leave vLLM alone until somebody asks for it; before they are imported."""
    if not any(isinstance(finder, _LeanFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _LeanFinder())


class _LeanFinder(MetaPathFinder):
    """Finds `verl.third_party.vllm`; without an NPU's library verl is told that its transfer is not to be had."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == HCCL and importlib.util.find_spec("torch_npu") is None:
            raise ImportError(f"{HCCL} is for Ascend NPUs, and torch_npu is not installed")
        if fullname != VLLM_OF_VERL:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _LazyVllmLoader(fullname, spec.loader.path)
        return spec


class _LazyVllmLoader(SourceFileLoader):
    """Runs verl's module without its imports from vLLM, each of which follows when its name is asked for."""

    def get_code(self, fullname: str) -> CodeType:
        """The code as it is run here, which is not written to the cache of compiled modules: others read that."""
        tree = ast.parse(self.get_data(self.path))
        self._sources: dict[str, str] = {}
        tree = ast.fix_missing_locations(_Without(self._sources).visit(tree))
        return compile(tree, self.path, "exec")

    def exec_module(self, module: ModuleType) -> None:
        """Run the module, then let it answer for what was left out."""
        super().exec_module(module)
        sources = self._sources

        def __getattr__(name: str) -> Any:
            if name not in sources:
                raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
            value = getattr(importlib.import_module(sources[name]), name)
            setattr(module, name, value)
            return value

        module.__dict__["__getattr__"] = __getattr__


class _Without(ast.NodeTransformer):
    """Takes `from vllm... import name` out, and notes name -> module."""

    def __init__(self, sources: dict[str, str]) -> None:
        self.sources = sources

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.stmt:
        """Called by `ast` for each such statement."""
        from_vllm = not node.level and node.module is not None and node.module.partition(".")[0] == "vllm"
        if not from_vllm or any(alias.asname for alias in node.names):
            return node
        assert node.module is not None
        self.sources |= {alias.name: node.module for alias in node.names}
        return ast.copy_location(ast.Pass(), node)
