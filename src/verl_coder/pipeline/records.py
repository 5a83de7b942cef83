"""What is known of each task: what it was done from, what it made, and whether it has ended; JSON below OUT/stages."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from verl_coder.errors import CheckpointError
from verl_coder.files import write_durably
from verl_coder.pipeline.fingerprint import Digests, changes, code_of, files_below
from verl_coder.pipeline.tasks import PipelineTask


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """All that a task depends on. Two equal ones make the same."""

    command: str
    """Its words, `data prepare sample`."""
    settings: dict[str, Any]
    inputs: dict[str, str | None]
    """Digest by name; None of what is not there."""
    code: dict[str, str]

    def changes_since(self, before: "Fingerprint", *, ignore_code: bool = False) -> str:
        """In one line what differs, the nearest cause first; empty where nothing does."""
        if before.command != self.command:
            return f"another command: {before.command} -> {self.command}"
        settings = changes(before.settings, self.settings)
        inputs = changes(before.inputs, self.inputs, values=False)
        code = "" if ignore_code else changes(before.code, self.code, values=False)
        found = [("settings changed", settings), ("inputs changed", inputs), ("code changed", code)]
        return "; ".join(f"{word}: {text}" for word, text in found if text)


@dataclass(frozen=True, kw_only=True)
class TaskRecord:
    """The last start of a task."""

    fingerprint: Fingerprint
    finished: bool = False
    products: dict[str, str] = field(default_factory=dict)
    """File below OUT -> SHA-256, of all that it made."""
    seconds: float = 0.0
    """Of all its starts together, but those that were killed with the pipeline."""
    starts: int = 1


def fingerprint_of(task: PipelineTask, digests: Digests) -> Fingerprint:
    """As things stand now."""
    return Fingerprint(
        command=" ".join(_words(task.command)),
        settings={name: value for name, value in sorted(task.settings.items()) if value is not None},
        inputs={name: digests.of(path) for name, path in sorted(task.inputs.items())},
        code=code_of(task.stage, digests),
    )


def _words(command: Iterable[str]) -> Iterable[str]:
    for word in command:
        if word.startswith("-") or "/" in word:
            return
        yield word


def products_of(task: PipelineTask, out: Path, digests: Digests) -> dict[str, str] | None:
    """Digests of the files that the task should have made; None where one of its patterns has no file."""
    found: dict[str, str] = {}
    for pattern in task.products:
        files = [file for path in sorted(out.glob(pattern)) for file in _files(path)]
        if not files:
            return None
        found |= {str(file.relative_to(out)): str(digests.of(file)) for file in files}
    return found


def _files(path: Path) -> list[Path]:
    found = [path] if path.is_file() else files_below(path)[0]
    return [file for file in found if not file.name.endswith(".tmp")]


def damage(record: TaskRecord, out: Path, digests: Digests) -> str:
    """What of a finished task's files is not as it was left; empty where all are whole."""
    for name, digest in record.products.items():
        now = digests.of(out / name)
        if now != digest:
            return f"{name} is {'missing' if now is None else 'not as it was written'}"
    return ""


def record_path(folder: Path, name: str) -> Path:
    """`stages/evaluate-base.json` of `evaluate/base`."""
    return folder / f"{name.replace('/', '-')}.json"


def read_record(folder: Path, name: str) -> TaskRecord | None:
    """None before the first start."""
    path = record_path(folder, name)
    if not path.is_file():
        return None
    try:
        values = json.loads(path.read_text())
        record = TaskRecord(**{**values, "fingerprint": Fingerprint(**values["fingerprint"])})
        for part in (record, record.fingerprint):
            _check_kinds(part)
        return record
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(
            f"{path} is broken ({error}): remove it, move what its task made elsewhere, and it is done again"
        ) from error


_KINDS: dict[Any, tuple[type, ...]] = {str: (str,), bool: (bool,), int: (int,), float: (int, float)}
"""Type of a field -> classes of what JSON has for it; a mapping of any kind is a dict."""


def _check_kinds(part: TaskRecord | Fingerprint) -> None:
    """TypeError for the first value of another kind."""
    for field_ in fields(part):
        value, kind = getattr(part, field_.name), field_.type
        if kind is Fingerprint:
            continue
        kinds = _KINDS.get(kind, (dict,))
        if not isinstance(value, kinds) or (isinstance(value, bool) and kind is not bool):
            raise TypeError(f"{field_.name} is {value!r}")
    if isinstance(part, TaskRecord) and not all(isinstance(digest, str) for digest in part.products.values()):
        raise TypeError("products has a file without a digest")


def write_record(folder: Path, name: str, record: TaskRecord) -> None:
    """Whole or not at all, and on the disk before anything is done that relies on it."""
    write_durably(record_path(folder, name), json.dumps(asdict(record), indent=1, ensure_ascii=False) + "\n")
