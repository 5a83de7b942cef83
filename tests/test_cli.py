"""The command line shows all it has, and imports only what is called."""

import os
import re
import subprocess
import sys
from importlib.metadata import version

import pytest
from typer.testing import CliRunner

from tests.command_lines import commands, help_of, names_below
from verl_coder.cli import PARTS, app


def test_help_lists_every_command_with_a_line_about_it() -> None:
    text = CliRunner().invoke(app, ["--help"]).output
    for name in ("train", "status", *PARTS):
        line = next(line for line in text.splitlines() if line.startswith(f"  {name} "))
        assert len(line.split()) > 3
    assert "..." not in text.partition("Commands:")[2]


def test_help_imports_none_of_the_parts() -> None:
    program = (
        "import sys; from typer.testing import CliRunner; from verl_coder.cli import PARTS, app\n"
        "CliRunner().invoke(app, ['--help'])\n"
        "heavy = {'torch', 'ray', 'verl', 'hydra', 'pyarrow', 'numpy', 'omegaconf', 'pydantic', 'httpx'}\n"
        "print(sorted((heavy | {module for module, _ in PARTS.values()}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("columns", ["50", "80", "200"])
def test_no_help_cuts_a_name_short_however_narrow_the_terminal_is(
    monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    seen = 0
    for words, command in commands():
        text = help_of(words, command)
        shown = [option for option in command.params if not getattr(option, "hidden", False)]
        names = {name for option in shown for name in (*option.opts, *option.secondary_opts)}
        names = {name for name in names if name.startswith("-")} | set(names_below(command))
        assert [name for name in names if not re.search(rf"(?<![\w-]){name}(?![\w-])", text)] == [], words
        seen += len(names)
    assert seen > 300


@pytest.mark.parametrize("words", [[], ["data"], ["data", "prepare"], ["tiny"]])
def test_a_group_without_a_command_is_answered_with_its_help(words: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", "verl_coder.cli", *words], capture_output=True, text=True)
    assert done.returncode == 2 and "error" not in done.stderr
    assert (
        done.stderr.startswith(f"Usage: {' '.join(('verl-coder', *words))} ")
        and "\nCommands:\n" in done.stderr
    )


def test_options_before_a_command_of_a_group_are_answered_with_their_place() -> None:
    program = [sys.executable, "-m", "verl_coder.cli", "data", "prepare", "--out", "x"]
    done = subprocess.run(program, capture_output=True, text=True)
    assert done.returncode == 2
    assert "has no option --out; name one of its commands before options" in done.stderr


@pytest.mark.parametrize("name", PARTS)
def test_every_part_has_a_help_of_its_own(name: str) -> None:
    result = CliRunner().invoke(app, [name, "--help"])
    assert result.exit_code == 0 and f"Usage: root {name}" in result.output
    assert "--install-completion" not in result.output


def test_an_unknown_command_is_answered_with_the_nearest() -> None:
    result = CliRunner().invoke(app, ["exprt"])
    assert result.exit_code == 2 and "export" in result.output


def test_the_version_is_that_of_the_package() -> None:
    assert CliRunner().invoke(app, ["--version"]).output.strip() == f"verl-coder {version('verl-coder')}"


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("verl-coder doc", "doctor"),
        ("verl-coder doctor --comp", "--component"),
        ("verl-coder train --recipe tiny_c", "tiny_cpu"),
    ],
)
def test_the_shell_completes_commands_options_and_recipes(words: str, offered: str) -> None:
    environment = {**os.environ, "_VERL_CODER_COMPLETE": "complete_bash", "COMP_WORDS": words}
    environment["COMP_CWORD"] = str(len(words.split()) - 1)
    program = "import sys; sys.argv = ['verl-coder']; from verl_coder.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert offered in done.stdout.split()
