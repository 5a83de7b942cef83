"""What a stage reads beside its options: the YAML of its loops and tools, and the user's own Python, never imported."""

from pathlib import Path
from typing import Any

import pytest
from pipeline.fake_pipeline import digests_of

import verl_coder.pipeline.tasks as tasks
from verl_coder.paths import repository_root
from verl_coder.pipeline.config import read_config
from verl_coder.pipeline.read_files import with_modules
from verl_coder.pipeline.stages import tasks_of
from verl_coder.pipeline.tasks import PipelineTask, Workplace

EXAMPLES = repository_root() / "config" / "pipeline"
FATAL = "raise SystemExit('imported')\n"
"""The first line of a module that must not be imported."""


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the recipe is composed to; to be filled."""
    found: dict[str, Any] = {}
    monkeypatch.setattr(tasks, "recipe_settings", lambda request, cache: dict(found))
    return found


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, where the user's modules are."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def planned(path: Path, out: Path) -> dict[str, PipelineTask]:
    place = Workplace(read_config(path, out=str(out)))
    return {task.name: task for stage in place.config.stages for task in tasks_of(stage, place)}


def modules(*paths: Path, **settings: Any) -> dict[str, Path]:
    """What these inputs bring with them, by module."""
    inputs = {f"input {number}": path for number, path in enumerate(paths)}
    found = with_modules(inputs, settings)
    return {name.removeprefix("module "): path for name, path in found.items() if name not in inputs}


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def checkout(folder: Path) -> Path:
    """A repository of the user's own: the content folders that a pipeline reads."""
    root = repository_root()
    for name in ("recipes", "data_prep", "rewards"):
        (folder / name).symlink_to(root / name)
    for name in ("config", "tool_config"):
        (folder / name).mkdir()
        for path in (root / name).glob("*.yaml"):
            written(folder / name / path.name, path.read_text())
    (folder / "config" / "speculation").symlink_to(root / "config" / "speculation")
    return folder


@pytest.mark.parametrize(
    ("file", "tasks_changed"),
    [
        ("config/agent_loops.yaml", {"evaluate/base"}),
        ("config/base.yaml", {"evaluate/base"}),
        ("tool_config/python_interpreter.yaml", {"teacher", "evaluate/base"}),
        ("tool_config/feedback.yaml", {"teacher", "evaluate/base"}),
        ("tool_config/python_session.yaml", {"evaluate/base"}),
    ],
)
def test_a_file_that_a_command_reads_unasked_counts(
    file: str, tasks_changed: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "root").mkdir()
    root = checkout(tmp_path / "root")
    monkeypatch.setenv("VERL_CODER_ROOT", str(root))
    text = "model: owner/m\ndata: {datasets: {mbpp: {}}}\nteacher: {repairs: {}}\nsft:\nevaluate: {models: [base]}\n"
    path = written(tmp_path / "c.yaml", text)

    def digests() -> dict[str, Any]:
        return {name: digests_of(task, tmp_path) for name, task in planned(path, tmp_path / "out").items()}

    before = digests()
    (root / file).write_text((root / file).read_text() + "\n# changed\n")
    now = digests()
    assert {name for name in now if now[name] != before[name]} == tasks_changed


def test_tools_that_are_named_are_the_only_ones(tmp_path: Path, recipe: dict[str, Any]) -> None:
    brief = "tool_config/python_interpreter_brief.yaml"
    recipe["actor_rollout_ref.rollout.multi_turn.tool_config_path"] = brief
    task = planned(EXAMPLES / "tiny.yaml", tmp_path / "out")["evaluate/base"]
    assert task.inputs["tools"] == repository_root() / brief
    assert not any(name.startswith("tool_config/") for name in task.inputs)


@pytest.mark.parametrize(
    ("option", "files"),
    [("tools: none", []), ("evaluate: {protocol: session}", ["tool_config/python_session.yaml"])],
)
def test_a_protocol_says_which_tools_are_read(option: str, files: list[str], tmp_path: Path) -> None:
    text = "model: owner/m\ndata: {datasets: {mbpp: {}}}\nevaluate:\n"
    text = (
        text.replace("evaluate:\n", f"{option}\n") if option.startswith("evaluate") else f"{text}{option}\n"
    )
    inputs = planned(written(tmp_path / "c.yaml", text), tmp_path / "out")["evaluate/base"].inputs
    assert [name for name in inputs if name.startswith("tool_config/")] == files


def test_the_module_of_a_tool_counts_with_its_packages_and_all_that_they_import(here: Path) -> None:
    tools = written(here / "tools.yaml", "tools:\n  - {class_name: my_tools.calc.Calculator, config: {}}\n")
    written(here / "my_tools" / "__init__.py", FATAL)
    written(here / "my_tools" / "calc.py", f"{FATAL}from . import parts\nfrom .deep.words import text\n")
    written(here / "my_tools" / "parts.py", f"{FATAL}import json, my_tools.calc\n")
    written(here / "my_tools" / "deep" / "words.py", FATAL)  # in a folder without __init__.py
    written(here / "my_tools" / "unused.py", FATAL)
    assert set(modules(tools)) == {"my_tools", "my_tools.calc", "my_tools.parts", "my_tools.deep.words"}


def test_the_module_of_an_agent_loop_and_of_a_setting_count(here: Path) -> None:
    loops = written(here / "loops.yaml", "- {name: a, _target_: my_loops.Loop}\n")
    for name in ("my_loops", "my_optimizers", "my_unused"):
        written(here / f"{name}.py", FATAL)
    named = {"actor.optim.optimizer_impl": "my_optimizers", "a.text": "my_unused.name"}
    assert set(modules(loops, **named)) == {"my_loops", "my_optimizers"}
    assert set(modules(loops, **{"actor.optim.optimizer_impl": "torch.optim"})) == {"my_loops"}


def test_what_a_reward_imports_counts(here: Path, recipe: dict[str, Any]) -> None:
    written(here / "helper.py", f"{FATAL}WEIGHT = 1\n")
    reward = written(here / "reward.py", "def compute_score(*_, **__):\n    import helper\n    return 1\n")
    recipe["reward.custom_reward_function.path"] = str(reward)

    def digests() -> dict[str, str | None]:
        return digests_of(planned(EXAMPLES / "tiny.yaml", here / "out")["train"], here)

    before = digests()
    written(here / "helper.py", f"{FATAL}WEIGHT = 2\n")
    now = digests()
    assert [name for name in now if now[name] != before[name]] == ["module helper"]


def test_libraries_count_by_what_is_imported_and_those_with_a_version_by_that(here: Path) -> None:
    mine = written(here / "mine.py", "import sys, json, torch, verl.utils, verl_coder.grading, pydantic\n")
    assert set(modules(mine)) == {"pydantic"}


@pytest.mark.parametrize("text", ["def broken(:", "\0", "import nowhere.to.be.found", "from ... import up"])
def test_python_that_cannot_be_read_or_found_is_left_to_its_command(text: str, here: Path) -> None:
    assert modules(written(here / "mine.py", text)) == {}


@pytest.mark.parametrize("text", ["a: [", "class_name: 3", "tools: [{class_name: no dots}]", "\udcff"])
def test_yaml_of_any_form_is_left_to_its_command(text: str, here: Path) -> None:
    path = here / "tools.yaml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    assert modules(path) == {}


def test_the_shipped_files_name_nothing_of_the_users_own(tmp_path: Path) -> None:
    shipped = [
        *(repository_root() / "tool_config").glob("*.yaml"),
        *(repository_root() / "rewards").glob("*.py"),
    ]
    shipped += [repository_root() / "config" / "agent_loops.yaml"]
    assert modules(*shipped) == {}
