"""verl's vLLM replicas, made by a process that does not import vLLM.

The class that starts and directs the servers stands in one module with the server itself, and so the trainer would
import all of vLLM for it: 6 s in a chain where each process waits for the one before.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import verl
from verl.workers.rollout import router
from verl.workers.rollout.replica import RolloutReplicaRegistry

from verl_coder.platform.begun_actors import BegunActors
from verl_coder.platform.early_server import take_server
from verl_coder.platform.far_actor import far_class

_verls_loader = RolloutReplicaRegistry._registry["vllm"]
MODULE = "verl.workers.rollout.vllm_rollout.vllm_async_server"
SERVER = "vLLMHttpServer"
REPLICA = "vLLMReplica"


def far_server() -> type | None:
    """The stand-in for the class of verl's servers (far_actor.py); None where its module has other names."""
    classes = _classes(_tree())
    if SERVER not in classes or REPLICA not in classes:
        return None
    return far_class(MODULE, SERVER, _methods(classes[SERVER]))


def lean_replica() -> Any:
    """`vLLMReplica` of verl, which takes a server that has begun (early_server.py), and a stand-in for the others.

    Only the statements of verl's module that the class needs are run; all of it where it has other names.
    """
    tree, server = _tree(), far_server()
    if server is None:
        return _verls_loader()
    namespace = {"__name__": MODULE, "__file__": str(_path()), SERVER: server}
    needed = ast.Module(body=_needed(tree, REPLICA, given=namespace), type_ignores=[])
    exec(compile(needed, str(_path()), "exec"), namespace)
    return _taking_early(namespace[REPLICA])


def _taking_early(replica: Any) -> Any:
    def begin(self: Any, *arguments: Any, **named: Any) -> None:
        replica.__init__(self, *arguments, **named)
        self.server_class = BegunActors(self.server_class, take_server)

    return type(replica.__name__, (replica,), {"__init__": begin, "__module__": MODULE})


def _path() -> Path:
    return Path(verl.__path__[0]).parent.joinpath(*MODULE.split(".")).with_suffix(".py")


def _tree() -> ast.Module:
    return ast.parse(_path().read_text())


def _classes(tree: ast.Module) -> dict[str, ast.ClassDef]:
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def start_servers_lean() -> None:
    """Let this process start vLLM's servers, and the actor that shares them out, without vLLM in either.

    Called in the trainer's process before it starts them.
    """
    import ray

    RolloutReplicaRegistry.register("vllm", lean_replica)
    # The balancer's class needs Ray and a cache: by its name, it would bring verl and PyTorch into its process.
    ray.cloudpickle.register_pickle_by_value(router)


def _methods(node: ast.ClassDef) -> dict[str, bool]:
    """The methods of a class that a handle can call, and whether each is a coroutine."""
    return {
        each.name: isinstance(each, ast.AsyncFunctionDef)
        for each in node.body
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
        and not each.name.startswith("__")
        and not each.decorator_list
    }


def _needed(tree: ast.Module, name: str, *, given: dict[str, Any]) -> list[ast.stmt]:
    """The statements of a module that `name` needs, in their order, without what defines the `given` names."""
    owners = {bound: node for node in tree.body for bound in _bound(node)}
    names, needed = [name], set()
    while names:
        wanted = names.pop()
        node = owners.get(wanted)
        if node is None or node in needed or wanted in given:
            continue
        needed.add(node)
        names += [each.id for each in ast.walk(node) if isinstance(each, ast.Name)]
    return [node for node in tree.body if node in needed]


def _bound(node: ast.stmt) -> Iterator[str]:
    """The names that a statement of a module gives a value."""
    match node:
        case ast.ClassDef() | ast.FunctionDef() | ast.AsyncFunctionDef():
            yield node.name
        case ast.Import() | ast.ImportFrom():
            yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
        case ast.Assign() | ast.AnnAssign() | ast.AugAssign():
            for each in ast.walk(node):
                if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store):
                    yield each.id
