"""The commands that the documentation shows: where they stand, and their parts."""

import re
import shlex
from collections.abc import Iterator, Set
from dataclasses import dataclass
from pathlib import Path

from verl_coder.paths import repository_root

ROOT = repository_root()
_VALUE = r"""(?:"[^"]*"|'[^']*'|[^\s"']*)"""
_BEGINS = re.compile(
    rf"^(?:[A-Z][A-Z0-9_]*={_VALUE} +)*(?:verl-coder(?: |$)|bash run_scripts/|python (?:data_prep|benchmarks)/)"
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


def commands_of_blocks(heads: Set[str]) -> Iterator[tuple[str, str]]:
    """(document, command) of each line of the blocks in which one begins with a command of ours or one of `heads`."""
    for path in sorted(_documents()):
        for block in _blocks(path.read_text(encoding="utf-8")):
            parts = [part.strip() for line in block for part in re.split(r" && | \| ", line)]
            if any(_BEGINS.match(part) or head_of(part) in heads for part in parts):
                file = path.relative_to(ROOT).as_posix()
                yield from ((file, part) for part in parts if part and not part.startswith("#"))


def head_of(command: str) -> str:
    """Its first word behind the variables; empty where only variables are set."""
    return re.sub(rf"^(?:[A-Z][A-Z0-9_]*={_VALUE}(?: +|$))+(?:#.*)?", "", command).partition(" ")[0]


def is_ours(command: str) -> bool:
    """Whether it is one of those that `documented_commands` gives."""
    return bool(_BEGINS.match(command))


def _blocks(text: str) -> Iterator[list[str]]:
    """Lines of each block of code that is in no language, fenced or indented."""
    block: list[str] = []
    fence = ""
    for line in [*re.sub(r" *\\\n +", " ", text).splitlines(), ""]:
        if line.startswith("```"):
            yield block
            block, fence = [], "" if fence else line
        elif fence:
            block += [line.strip()] if fence in ("```", "```bash", "```sh") else []
        elif line.startswith("    "):
            block.append(line.strip())
        else:
            yield block
            block = []


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
