"""Foreign names in texts: `pkg://verl...`, dotted names in Python and YAML, environment variables, entry points."""

import ast
import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml

from verl_coder.upgrade.own_source import OwnFile
from verl_coder.upgrade.packages import PACKAGES, package_of
from verl_coder.upgrade.touch import Touch

YAML_FOLDERS = ("config", "recipes", "tool_config")
_DOTTED = re.compile(rf"(?:pkg://)?((?:{'|'.join(set(PACKAGES) - {'hydra'})})(?:\.[A-Za-z_]\w*)+)")
_INSIDE = re.compile(r"pkg://([A-Za-z_][\w.]*\w)")
_VARIABLE = re.compile(r"(VERL|VLLM|RAY|WANDB|TRANSFORMERS)_[A-Za-z0-9_]+")
_FILE_ENDINGS = (".py", ".yaml", ".json", ".log", ".txt", ".so")


def text_touches(root: Path, files: Sequence[OwnFile]) -> Iterator[Touch]:
    """Of Python, shell and YAML files and of pyproject.toml; docstrings do not count."""
    for source in files:
        docs = {id(node.value) for node in ast.walk(source.tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(source.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
                yield from _of_text(node.value, source.file, node.lineno)
    for path in yaml_files(root):
        for line, text in yaml_texts(path):
            yield from _of_text(text, path.relative_to(root).as_posix(), line)
    for path in sorted((root / "run_scripts").glob("*.sh")):
        for number, text in enumerate(path.read_text().splitlines(), 1):
            for found in _VARIABLE.finditer(text.partition("#")[0]):
                yield from _variable(found[0], path.relative_to(root).as_posix(), number)
    yield from _entry_points(root)


def _of_text(text: str, file: str, line: int) -> Iterator[Touch]:
    names = {found[1] for found in _INSIDE.finditer(text)}
    whole = _DOTTED.fullmatch(text)
    if whole and not text.endswith(_FILE_ENDINGS):
        names.add(whole[1])
    for name in names:
        if package_of(name):
            yield Touch(name=name, kind="string", file=file, line=line)
    if _VARIABLE.fullmatch(text):
        yield from _variable(text, file, line)


def _variable(name: str, file: str, line: int) -> Iterator[Touch]:
    if not name.startswith("VERL_CODER"):
        package = name.partition("_")[0].lower()
        yield Touch(name=f"{package}:env:{name}", kind="word", file=file, line=line)


def _entry_points(root: Path) -> Iterator[Touch]:
    path = root / "pyproject.toml"
    if not path.is_file():
        return
    text = path.read_text()
    for group in tomllib.loads(text).get("project", {}).get("entry-points", {}):
        if package_of(group):
            line = next((at for at, one in enumerate(text.splitlines(), 1) if group in one), 1)
            yield Touch(name=f"{package_of(group)}:plugin:{group}", kind="word", file=path.name, line=line)


def yaml_files(root: Path) -> list[Path]:
    """The YAML files that users edit."""
    return sorted(path for folder in YAML_FOLDERS for path in (root / folder).rglob("*.yaml"))


def yaml_texts(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of every scalar of the file."""
    for token in yaml.scan(path.read_text()):
        if isinstance(token, yaml.ScalarToken):
            yield token.start_mark.line + 1, token.value
