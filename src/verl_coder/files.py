"""Files written whole or not at all: a temporary file beside the target, then a rename."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path in the folder of `path` (made if missing) that becomes `path` when the block ends well.

    Where the block raises, the temporary file goes and an older `path` stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, text: str) -> None:
    """Write `text` to `path` as UTF-8, the whole file or nothing."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
