"""The imports that the reference graders of call-based problems put before every answer, as far as it uses them.

LiveCodeBench (lcb_runner/evaluation/testing_util.py) and APPS (apps/eval/testing_util.py) import the same modules whole
and by star for every solution. Here a name costs an import only where the answer mentions it.
"""

import builtins
import re
from functools import lru_cache

from verl_coder.grading.usage import public_names

_BY_STAR = (
    "string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random", "statistics", "itertools",
    "functools", "operator", "io", "sys", "json", "typing",
)  # fmt: skip
_WHOLE = (*_BY_STAR, "time", "os", "decimal", "fractions", "cmath", "array", "enum", "dataclasses")
_WORD = re.compile(r"[A-Za-z_]\w*")
RECURSION_LIMIT = 50_000
"""LiveCodeBench's for every answer."""


@lru_cache
def _statements() -> dict[str, str]:
    """Name -> the import that brings it; a module's own name wins over what a star brings."""
    found: dict[str, str] = {}
    for module in _BY_STAR:
        for name in public_names(module):
            if not hasattr(builtins, name):
                found[name] = f"from {module} import {name}\n"
    return found | {module: f"import {module}\n" for module in _WHOLE}


@lru_cache(maxsize=512)
def usual_imports(code: str) -> str:
    """Import statements for the names in `code` that the reference graders take for granted."""
    statements = _statements()
    words = dict.fromkeys(_WORD.findall(code))
    return "".join(statements[word] for word in words if word in statements)
