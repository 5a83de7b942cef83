"""Shared memory of a killed run is found again and removed; that of others is not touched."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import pytest
from rich.console import Console

from verl_coder.launch.leftovers import SharedMemoryWatch, clear_leftovers, scratch_folder
from verl_coder.run.checkpoint_files import SAVING
from verl_coder.run.run_dir import RunDir

_CHILD = """
from multiprocessing import resource_tracker, shared_memory
memory = shared_memory.SharedMemory(create=True, size=4096)
resource_tracker.unregister(memory._name, "shared_memory")
print(memory.name, flush=True)
input()
"""


@pytest.fixture
def child() -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """A process with a segment, and the segment's file."""
    process = subprocess.Popen(
        [sys.executable, "-c", _CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    file = Path("/dev/shm") / process.stdout.readline().strip()
    yield process, file
    process.kill()
    process.communicate()
    file.unlink(missing_ok=True)


def test_what_a_killed_process_left_is_removed_by_the_next_start(
    tmp_path: Path, child: tuple[subprocess.Popen[str], Path]
) -> None:
    process, file = child
    SharedMemoryWatch(tmp_path / "names").poll()
    process.kill()
    process.wait()
    assert file.exists()
    assert SharedMemoryWatch(tmp_path / "names").clear() == 1
    assert not file.exists() and not (tmp_path / "names").exists()


def test_memory_of_other_processes_is_not_noted(tmp_path: Path) -> None:
    memory = SharedMemory(create=True, size=4096)  # of this process, which is nobody's descendant here
    try:
        watch = SharedMemoryWatch(tmp_path / "names")
        watch.poll()
        assert watch.clear() == 0 and (Path("/dev/shm") / memory.name).exists()
    finally:
        memory.close()
        memory.unlink()


def test_leftovers_of_a_killed_start_are_removed(tmp_path: Path) -> None:
    run_dir, scratch = RunDir(tmp_path / "run"), tmp_path / "vc-scratch"
    scratch.mkdir()
    run_dir.path.mkdir()
    (run_dir.path / ".scratch").write_text(json.dumps({"run": str(run_dir.path), "outside": [str(scratch)]}))
    (run_dir.checkpoints / SAVING / "global_step_4").mkdir(parents=True)
    for path in (run_dir.phase, run_dir.stop_request, run_dir.stopped):
        path.touch()
    clear_leftovers(run_dir, Console(quiet=True))
    left = (scratch, run_dir.checkpoints / SAVING, run_dir.phase, run_dir.stop_request, run_dir.stopped)
    assert not any(path.exists() for path in left)


def test_a_copy_of_the_folder_leaves_alone_what_the_run_that_was_copied_has_outside(
    tmp_path: Path, child: tuple[subprocess.Popen[str], Path]
) -> None:
    run_dir, copy = RunDir(tmp_path / "run"), RunDir(tmp_path / "copy")
    run_dir.path.mkdir()
    with scratch_folder(run_dir) as scratch:
        SharedMemoryWatch(run_dir.shared_memory).poll()
        shutil.copytree(run_dir.path, copy.path)
        assert sorted(path.name for path in copy.path.iterdir()) == [".scratch", ".shared_memory"]
        clear_leftovers(copy, Console(quiet=True))
        assert scratch.is_dir() and child[1].exists() and not any(copy.path.iterdir())
        clear_leftovers(run_dir, Console(quiet=True))
        assert not scratch.exists() and not child[1].exists()
        scratch.mkdir()  # which ends as it began
