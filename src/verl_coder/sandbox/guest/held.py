"""Programs that clients send again and again, held by the zygote as modules that have run: a request names one.

A program is a list of modules, its digest stands for their source. A plain program does not find them.
"""

import marshal
import sys
from types import ModuleType

_held: dict[str, dict[str, ModuleType]] = {}


def hold(data: bytes) -> None:
    """Run the modules of a marshalled (digest, [(module's name, code), ...])."""
    digest, modules = marshal.loads(data)
    before = set(sys.modules)
    for name, code in modules:
        if name not in sys.modules:
            sys.modules[name] = module = ModuleType(name)
            exec(code, module.__dict__)
    names = [name for name, _ in modules]
    _held[digest] = {name: sys.modules[name] for name in names}
    for name in names:
        if name not in before:
            del sys.modules[name]


def take(digest: str) -> bool:
    """Put the program's modules where imports find them; False where it is not held."""
    modules = _held.get(digest)
    if modules is None:
        return False
    sys.modules.update(modules)
    return True
