"""The instructions of a Dockerfile, read as its builder does, and the services of compose.yaml."""

import fnmatch
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from verl_coder.paths import repository_root

ROOT = repository_root()
COMPOSE_FILE = ROOT / "docker" / "compose.yaml"
FILES = sorted((ROOT / "docker").glob("*.Dockerfile"))


class Instruction(NamedTuple):
    """`COPY`, and what follows it."""

    name: str
    text: str

    @property
    def words(self) -> list[str]:
        """Of the JSON form; ValueError for the shell form."""
        words = json.loads(self.text)
        if not isinstance(words, list):
            raise ValueError(self.text)
        return words


def instructions(path: Path) -> list[Instruction]:
    """In order, without comments, continued lines joined."""
    lines = [line for line in path.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    found = [line.strip().partition(" ") for line in joined.splitlines() if line.strip()]
    return [Instruction(name.upper(), " ".join(text.split())) for name, _, text in found]


def of(path: Path, name: str) -> list[Instruction]:
    """Those of one name."""
    return [one for one in instructions(path) if one.name == name]


def is_ignored(path: str) -> bool:
    """Whether .dockerignore keeps a path of the checkout out of the build."""
    patterns = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    parts = path.split("/")
    above = ["/".join(parts[: end + 1]) for end in range(len(parts))]
    return any(
        fnmatch.fnmatchcase(
            one.rpartition("/")[2] if pattern.startswith("**/") else one, pattern.removeprefix("**/")
        )
        for pattern in patterns
        for one in above
        if pattern.startswith("**/") or one.count("/") == pattern.count("/")
    )


def compose() -> dict[str, Any]:
    """The whole of compose.yaml."""
    return yaml.safe_load(COMPOSE_FILE.read_text())  # type: ignore[no-any-return]


def services() -> dict[str, Any]:
    """Its services by name."""
    return compose()["services"]  # type: ignore[no-any-return]
