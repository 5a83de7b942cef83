"""The commands that the documentation shows: where they stand, and their parts."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from verl_coder.paths import repository_root

ROOT = repository_root()
_BEGINS = re.compile(
    r"^(?:[A-Z][A-Z0-9_]*=\S* +)*(?:verl-coder(?: |$)|bash run_scripts/|python (?:data_prep|benchmarks)/)"
)
_FENCE = re.compile(r"^```.*?^```$", re.M | re.S)


@dataclass(frozen=True)
class DocumentedCommand:
    """One command as a document shows it."""

    file: str
    text: str
    environment: dict[str, str]
    words: tuple[str, ...]

    @property
    def is_mention(self) -> bool:
        """Whether only the command is named, without anything that it is given."""
        return self.words[0] == "verl-coder" and not any(
            re.search(r"[^a-z]", word) for word in self.words[1:]
        )


def documented_commands() -> Iterator[DocumentedCommand]:
    """Of every document, and of the first comment of scripts and YAML files."""
    for path in sorted([*_documents(), *_commented()]):
        text = path.read_text(encoding="utf-8")
        file = path.relative_to(ROOT).as_posix()
        lines = _lines(text) if path.suffix == ".md" else _comment(text)
        for line in lines:
            for part in re.split(r" && | \| ", line):
                if _BEGINS.match(part):
                    yield _command(file, part)


def _documents() -> list[Path]:
    found = [
        path
        for path in ROOT.rglob("*.md")
        if not {".venv", "outputs", "data"} & set(path.relative_to(ROOT).parts[:1])
    ]
    return [path for path in found if "site-packages" not in path.parts]


def _commented() -> list[Path]:
    folders = ("run_scripts", "recipes", "tool_config", "config", "data_prep", "cluster", "docker")
    return [
        path
        for folder in folders
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".sh", ".yaml", ".sbatch")
    ]


def _lines(text: str) -> Iterator[str]:
    """Lines of code blocks, and code within the text."""
    joined = re.sub(r" *\\\n +", " ", text)
    fenced = False
    for line in joined.splitlines():
        fenced ^= line.startswith("```")
        if fenced or line.startswith("    "):
            yield line.strip()
    prose = " ".join(_FENCE.sub("", text).split())
    yield from re.findall(r"`([^`]+)`", prose)


def _comment(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if line.startswith("#"):
            yield line.lstrip("#! ").strip()


def _command(file: str, text: str) -> DocumentedCommand:
    filled = re.sub(r"(data prepare |data_prep/)<\w+>", r"\1mbpp", text.replace("...", ""))
    words = shlex.split(filled, comments=True)
    environment = {}
    while words and re.match(r"^[A-Z][A-Z0-9_]*=", words[0]):
        name, _, value = words.pop(0).partition("=")
        environment[name] = value
    words = [word.rstrip(",.;:)") if word.startswith(("bash", "run_scripts")) else word for word in words]
    return DocumentedCommand(
        file=file, text=" ".join(text.split()), environment=environment, words=tuple(words)
    )
