"""Every command that the documentation shows is one that the real argument parser takes. Nothing of it is run."""

import re
from functools import cache
from pathlib import Path

import pytest
from command_lines import parse
from documented_commands import (
    ROOT,
    DocumentedCommand,
    commands_of_blocks,
    documented_commands,
    head_of,
    is_ours,
)

COMMANDS = list({(command.file, command.text): command for command in documented_commands()}.values())
NOT_PARSED: dict[str, str] = {
    "verl-coder --install-completion": "it writes into the start-up files of the shell",
}
"""Text of a command -> why its arguments are not looked at."""
SCRIPTS = {
    "run_qwen_grpo.sh": ("train", "--recipe", "tiny_cpu"),
    "run_sft.sh": ("sft", "--model", "m", "--traces", "t", "--out", "o"),
    "run_pipeline.sh": ("pipeline", "--config", "c"),
    "run_ablation.sh": ("ablation", "run", "--out", "o"),
    "start_sandbox.sh": ("sandbox", "serve"),
}
"""Script -> the command that its further arguments go to."""
PASSED_ON = {
    "run_tests.sh": "its arguments are pytest's",
    "build_docs.sh": "its arguments are those of sphinx-build",
    "check_release.sh": "it takes none",
    "pack_gpu_site.sh": "it takes none",
    "start_teacher.sh": "its arguments are those of vllm serve",
    "start_ray_cluster.sh": "its arguments are a role and a command",
}
NOT_RUN = {
    "docker": "no engine is here; tests/docker/ holds the files, services and options",
    "pip": "tests/test_wheel.py makes the wheel by other means",
    "cp": "it makes the reader's own file",
    "source": "it is the shell's, of an environment that a script has made",
    "echo": "what it prints goes to the command behind it",
}
"""First word of the other commands in the documents' blocks -> why nothing looks at its arguments."""
SHELL = {
    *NOT_RUN,
    "bash",
    "cd",
    "curl",
    "export",
    "git",
    "hf",
    "kubectl",
    "python",
    "python3",
    "ray",
    "sbatch",
    "srun",
    "ssh",
}
"""A line that begins so makes its block one of commands."""
EXAMPLE = re.compile(r"mine|my_|<|\$")
"""In the name of a file that a reader is to make."""


def name_of(command: DocumentedCommand) -> str:
    return f"{command.file}: {command.text}"[:150]


@cache
def known_names() -> set[str]:
    """Names of environment variables that a script, the package or a YAML reads."""
    found: set[str] = set()
    for folder, suffixes in (("run_scripts", (".sh",)), ("src", (".py",)), ("config", (".yaml",))):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in suffixes:
                found |= set(re.findall(r"\b[A-Z][A-Z0-9_]+\b", path.read_text(encoding="utf-8")))
    return found


def knobs(script: Path) -> set[str]:
    """Upper-case variables of a script, and of what it sources."""
    text = script.read_text() + (script.parent / "environment.sh").read_text()
    return set(re.findall(r"\$\{([A-Z_]+)", text)) | {"N_GPUS", "SANDBOX_URL"}


def test_there_are_many() -> None:
    assert len(COMMANDS) > 100
    assert {command.file for command in COMMANDS} >= {
        "README.md",
        "data_prep/README.md",
        "run_scripts/run_sft.sh",
    }


def test_every_line_of_a_block_of_commands_is_looked_at_or_named_with_the_reason() -> None:
    found = list(commands_of_blocks(SHELL))
    assert len(found) > 100
    others = [(file, text) for file, text in found if not is_ours(text) and head_of(text)]
    assert [(file, text) for file, text in others if head_of(text) not in NOT_RUN] == []
    assert {head_of(text) for _, text in others} == set(NOT_RUN)


def test_a_variable_with_a_space_in_it_is_part_of_a_command() -> None:
    assert is_ours('SEEDS=0 ARMS="grpo grpo_teacher" bash run_scripts/run_ablation.sh')
    arms = [command.environment.get("ARMS", "") for command in COMMANDS]
    assert any(" " in value for value in arms)


@pytest.mark.parametrize("command", COMMANDS, ids=name_of)
def test_it_is_taken_by_the_parser(command: DocumentedCommand) -> None:
    if command.text in NOT_PARSED:
        pytest.skip(NOT_PARSED[command.text])
    if command.words[0] == "verl-coder":
        arguments = command.words[1:]
    elif command.words[0] == "python":
        return check_python_file(command)
    else:
        script = ROOT / command.words[1]
        assert script.is_file(), f"there is no {command.words[1]}"
        if script.name in PASSED_ON:
            return None
        arguments = (*SCRIPTS[script.name], *command.words[2:])
    try:
        parse(arguments)
    except ValueError as error:
        if not (command.is_mention and str(error).startswith("Missing ")):
            raise
    return None


def check_python_file(command: DocumentedCommand) -> None:
    """The file is there, and has what looks like each of the options."""
    path = ROOT / command.words[1]
    assert path.is_file(), f"there is no {command.words[1]}"
    text = path.read_text(encoding="utf-8")
    if path.parent.name == "data_prep":
        parse(("data", "prepare", path.stem, *command.words[2:]))
        return
    for word in command.words[2:]:
        if word.startswith("--"):
            name = word.partition("=")[0]
            assert name in text or f"{name[2:].replace('-', '_')}:" in text, (
                f"{path.name} has no option {name}"
            )


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.environment], ids=name_of)
def test_its_variables_are_read_by_something(command: DocumentedCommand) -> None:
    known = knobs(ROOT / command.words[1]) if command.words[0] == "bash" else known_names()
    assert set(command.environment) <= known | {"CUDA_VISIBLE_DEVICES"}


@pytest.mark.parametrize("command", COMMANDS, ids=name_of)
def test_the_files_of_the_repository_that_it_names_are_there(command: DocumentedCommand) -> None:
    given = dict(command.environment)
    given |= {
        name[2:].upper(): value
        for name, value in zip(command.words, command.words[1:], strict=False)
        if name[:2] == "--"
    }
    for name in ("TOOLS", "REWARD", "CONFIG", "RECIPE", "MODEL"):
        value = given.get(name, "")
        if not value or EXAMPLE.search(value):
            continue
        if name == "RECIPE" and value != "R":
            assert (ROOT / "recipes" / value / "recipe.yaml").is_file(), value
        elif value.startswith(("tool_config/", "rewards/", "config/", "src/")):
            assert (ROOT / value).exists(), value


def test_what_is_not_parsed_is_there() -> None:
    assert set(NOT_PARSED) <= {command.text for command in COMMANDS}
