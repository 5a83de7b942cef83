"""What counts as a change."""

import ast
import os
import shutil
from functools import cache
from pathlib import Path

import pytest

from verl_coder.pipeline import fingerprint
from verl_coder.pipeline.config import STAGES
from verl_coder.pipeline.fingerprint import CODE_LEFT_OUT, PACKAGE, Digests, changes, code_of, flat

ENTRIES = {
    "data": ("data/cli.py", "data/script.py", "tiny/problems.py", "tiny/traces.py", "tiny/trace_file.py"),
    "teacher": ("teacher/generate_cli.py", "teacher/cli.py", "tiny/traces.py", "tiny/trace_file.py"),
    "sft": ("sft/cli.py", "sft/trainer.py", "sft/dataset.py"),
    "train": ("launch/launch.py", "launch/worker.py", "trainer/task_runner.py", "agent_loops/code_agent.py"),
    "evaluate": ("evaluation/cli.py", "evaluation/compare.py"),
    "report": ("report/cli.py",),
}
"""Where the code of a stage begins: its command, and what it starts by name."""
ALSO_STARTED = {
    "sft": ("platform/fsdp_cpu.py", "platform/fsdp_gpu.py", "platform/plugin.py"),
    "train": (
        "platform/fsdp_cpu.py",
        "platform/vllm_extension.py",
        "agent_loops/tool_agent.py",
        "tools/run_tests.py",
    ),
    "evaluate": (
        "agent_loops/code_agent.py",
        "agent_loops/tool_agent.py",
        "tools/run_tests.py",
        "platform/plugin.py",
    ),
}
"""What verl or vLLM loads by name."""


@cache
def imported(path: Path) -> set[Path]:
    """Files of the package that a file imports, wherever the import stands, with the packages they are in."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    found = set()
    for name in names:
        parts = name.split(".")
        if parts[0] == PACKAGE.name:
            stem = PACKAGE.joinpath(*parts[1:])
            found |= {file for file in (stem.with_suffix(".py"), stem / "__init__.py") if file.is_file()}
            found |= {file for folder in stem.parents if (file := folder / "__init__.py").is_file()}
    return found


@pytest.mark.parametrize("stage", STAGES)
def test_no_import_of_a_stage_leads_into_code_that_is_left_out(stage: str, tmp_path: Path) -> None:
    reached: set[Path] = set()
    waiting = {PACKAGE / name for name in (*ENTRIES[stage], *ALSO_STARTED.get(stage, ()))}
    while waiting:
        path = waiting.pop()
        reached.add(path)
        waiting |= imported(path) - reached
    counted = set(code_of(stage, Digests(tmp_path / "digests.json")))
    missed = {path.relative_to(PACKAGE).as_posix() for path in reached} - counted
    assert {name for name in missed if not name.startswith("pipeline/")} == set()


def test_what_is_left_out_is_there() -> None:
    assert all((PACKAGE / folder).is_dir() for folders in CODE_LEFT_OUT.values() for folder in folders)


def test_the_libraries_count(tmp_path: Path) -> None:
    assert {"verl", "torch"} <= set(code_of("train", Digests(tmp_path / "digests.json")))


def test_a_file_counts_by_its_content_and_is_read_once(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("one")
    digests = Digests(tmp_path / "cache.json")
    first = digests.of(path)
    digests.save()
    again = Digests(tmp_path / "cache.json")
    path.chmod(0o000)  # and cannot be read any more
    assert os.geteuid() == 0 or again.of(path) == first
    path.chmod(0o644)
    path.write_text("two")
    assert Digests(tmp_path / "cache.json").of(path) != first


def test_a_folder_counts_with_the_names_of_its_files(tmp_path: Path) -> None:
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
    (tmp_path / "x" / "a").write_text("1")
    (tmp_path / "y" / "b").write_text("1")
    digests = Digests(tmp_path / "cache.json")
    assert digests.of(tmp_path / "x") != digests.of(tmp_path / "y")
    assert digests.of(tmp_path / "none") is None


def test_changes_name_three_and_count_the_rest() -> None:
    assert changes({"epochs": 1}, {"epochs": 2}) == "epochs 1 -> 2"
    assert changes({"tools": None}, {"tools": "a.yaml"}) == "tools unset -> a.yaml"
    assert changes(dict.fromkeys("abcde", 1), {}, values=False) == "a, b, c and 2 more"
    assert changes({"a": 1}, {"a": 1}) == ""


def test_overrides_are_flat_settings() -> None:
    assert flat({"train": {"overrides": ("trainer.seed=1", "a.b=c")}}) == {
        "train.overrides.trainer.seed": "1",
        "train.overrides.a.b": "c",
    }


@pytest.mark.parametrize(
    "text", ["5", "null", "[1]", "[]", '"x"', "[" * 100_000, "{", '{"%s": 5}', '{"%s": [1, 2]}']
)
def test_a_broken_cache_is_as_none(text: str, tmp_path: Path) -> None:
    file, cache = tmp_path / "a", tmp_path / "digests.json"
    file.write_text("1")
    cache.write_text(text.replace("%s", str(file)))
    assert Digests(cache).of(file) == Digests(tmp_path / "none").of(file)


def test_what_an_editor_leaves_is_no_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(fingerprint, "PACKAGE", tmp_path)
    (tmp_path / "a.py").write_text("1")
    before = code_of("train", Digests(tmp_path / "none"))
    for name in (".a.py.swp", "a.py~", ".#a.py", "#a.py#", "a.py.orig", "README.md"):
        (tmp_path / name).write_text("1")
    (tmp_path / ".ipynb_checkpoints").mkdir()
    (tmp_path / ".ipynb_checkpoints" / "a.py").write_text("1")
    assert code_of("train", Digests(tmp_path / "none")) == before and "a.py" in before


def test_a_linked_folder_counts_by_what_is_behind_the_link(tmp_path: Path) -> None:
    folder, real = tmp_path / "model", tmp_path / "real"
    folder.mkdir()
    real.mkdir()
    (real / "w.bin").write_text("1")
    (folder / "sub").symlink_to(real)
    found = [Digests(tmp_path / "none").of(folder)]
    (real / "w.bin").write_text("22")
    found.append(Digests(tmp_path / "none").of(folder))
    (real / "up").symlink_to(folder)  # round and round
    found.append(Digests(tmp_path / "none").of(folder))
    (folder / "twice").symlink_to(real)
    found.append(Digests(tmp_path / "none").of(folder))
    assert len(set(found)) == 4


def test_a_copy_of_the_files_in_the_place_of_a_link_is_the_same(tmp_path: Path) -> None:
    for name in ("linked", "copied", "real"):
        (tmp_path / name).mkdir()
    (tmp_path / "real" / "w.bin").write_text("1")
    (tmp_path / "linked" / "sub").symlink_to(tmp_path / "real")
    shutil.copytree(tmp_path / "real", tmp_path / "copied" / "sub")
    digests = Digests(tmp_path / "none")
    assert digests.of(tmp_path / "linked") == digests.of(tmp_path / "copied")
