"""Checkpoints on disk: whole or not there, the older ones intact, the last K and the best kept."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from verl_coder.run.checkpoint_files import (
    SAVING,
    TRACKER,
    commit,
    is_better,
    is_whole,
    planned_bytes,
    prune,
    saved_steps,
    step_folder,
    steps_to_remove,
)
from verl_coder.run.run_dir import RunDir


def write_temporary(checkpoints: Path, step: int, text: str = "weights") -> None:
    folder = step_folder(checkpoints / SAVING, step) / "actor"
    folder.mkdir(parents=True)
    (folder / "model.pt").write_text(text)
    (folder.parent / "data.pt").write_text("order")


def test_a_commit_names_the_checkpoint_and_leaves_nothing_temporary(tmp_path: Path) -> None:
    write_temporary(tmp_path, 3)
    folder = commit(tmp_path, 3)
    assert is_whole(folder) and (tmp_path / TRACKER).read_text() == "3"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["global_step_3", TRACKER])


def test_a_checkpoint_that_lacks_bytes_is_not_whole(tmp_path: Path) -> None:
    write_temporary(tmp_path, 3)
    folder = commit(tmp_path, 3)
    (folder / "actor" / "model.pt").write_text("weigh")
    assert not is_whole(folder)


def test_a_save_again_replaces_what_a_kill_left_under_the_final_name(tmp_path: Path) -> None:
    write_temporary(tmp_path, 3, "old")
    commit(tmp_path, 3)
    write_temporary(tmp_path, 3, "new")
    assert (commit(tmp_path, 3) / "actor" / "model.pt").read_text() == "new"


@pytest.mark.parametrize(
    ("latest", "keep", "best", "removed"),
    [
        (40, 2, None, [10, 20]),
        (40, 2, 10, [20]),
        (40, 1, 40, [10, 20, 30]),
        (40, None, 10, []),
        (30, 2, None, [10]),  # 40 never became the tracker's
        (40, 0, None, [10, 20, 30]),
    ],
)
def test_the_last_k_and_the_best_stay(
    latest: int, keep: int | None, best: int | None, removed: list[int]
) -> None:
    assert steps_to_remove([10, 20, 30, 40], latest=latest, keep=keep, best=best) == removed


def test_pruning_removes_folders(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        write_temporary(tmp_path, step)
        commit(tmp_path, step)
    assert prune(tmp_path, latest=3, keep=1, best=1) == [2]
    assert saved_steps(tmp_path) == [1, 3] and not (tmp_path / SAVING).exists()


@pytest.mark.parametrize("earlier", [1, 0])
def test_a_kill_at_any_point_of_a_commit_leaves_the_last_whole_checkpoint(
    tmp_path: Path, earlier: int
) -> None:
    """The process dies at its n-th file system call of the commit, for every n."""
    program = """
import os, sys, pathlib
from verl_coder.run import checkpoint_files
left = int(sys.argv[2])
def dies(function):
    def call(*arguments, **options):
        global left
        left -= 1
        if left < 0:
            os._exit(9)
        return function(*arguments, **options)
    return call
os.fsync = dies(os.fsync)
pathlib.Path.rename, pathlib.Path.replace = dies(pathlib.Path.rename), dies(pathlib.Path.replace)
checkpoint_files.commit(pathlib.Path(sys.argv[1]), 2)
"""
    ended = False
    for calls in range(40):
        root = tmp_path / str(calls) / "checkpoints"
        for step in (1, 2) if earlier else (2,):
            write_temporary(root, step)
            if step == 1:
                commit(root, 1)
        result = subprocess.run(
            [sys.executable, "-c", program, str(root), str(calls)], env=os.environ, check=False
        )
        step = RunDir(root.parent).checkpoint_step()  # raises where what is named is not whole
        assert step in (earlier, 2) and (not earlier or is_whole(step_folder(root, earlier)))
        ended = result.returncode == 0
        if ended:
            assert step == 2
            break
    assert ended


def test_a_copy_without_what_only_training_reads_is_whole_for_all_else(tmp_path: Path) -> None:
    write_temporary(tmp_path, 3)
    optimiser = step_folder(tmp_path / SAVING, 3) / "actor" / "optim_world_size_1_rank_0.pt"
    optimiser.write_text("moments")
    folder = commit(tmp_path, 3)
    for left_out in ("data.pt", f"actor/{optimiser.name}"):
        (folder / left_out).unlink()
    assert is_whole(folder, to_go_on=False) and not is_whole(folder)
    (folder / "actor" / "model.pt").write_text("wei")
    assert not is_whole(folder, to_go_on=False) and not is_whole(tmp_path / "none", to_go_on=False)


def test_a_rate_that_is_no_number_is_never_the_best() -> None:
    assert not is_better(2, float("nan"), None) and not is_better(2, float("nan"), (1, 0.5))
    assert is_better(2, 0.5, None) and is_better(2, 0.5, (1, 0.5)) and not is_better(2, 0.4, (1, 0.5))


def test_a_checkpoint_that_is_a_link_is_removed_and_saved_again_and_what_it_names_stays(
    tmp_path: Path,
) -> None:
    checkpoints, elsewhere = tmp_path / "checkpoints", tmp_path / "elsewhere"
    for step in (1, 2):
        write_temporary(checkpoints, step)
        commit(checkpoints, step)
    for step in (1, 2):
        step_folder(checkpoints, step).rename(elsewhere.with_name(f"elsewhere{step}"))
        step_folder(checkpoints, step).symlink_to(elsewhere.with_name(f"elsewhere{step}"))
    assert prune(checkpoints, latest=2, keep=1, best=None) == [1]
    write_temporary(checkpoints, 2)
    commit(checkpoints, 2)
    assert sorted(path.name for path in checkpoints.iterdir()) == ["global_step_2", TRACKER]
    assert not step_folder(checkpoints, 2).is_symlink()
    assert all(is_whole(elsewhere.with_name(f"elsewhere{step}")) for step in (1, 2))


@pytest.mark.parametrize(
    ("adapter", "options", "numbers"),
    [
        (0, {}, 100 + 200),
        (3, {}, 103 + 6),
        (3, {"adapter_alone": True}, 3 + 6),
        (0, {"adapter_alone": True}, 100 + 200),
        (0, {"contents": ["model", "hf_model"]}, 100 + 100),
    ],
)
def test_a_checkpoint_holds_the_moments_of_what_is_trained(
    adapter: int, options: dict[str, Any], numbers: int
) -> None:
    assert planned_bytes(100, adapter, **options) == 4 * numbers
