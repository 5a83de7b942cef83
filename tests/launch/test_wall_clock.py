"""Wall time and memory are those of all starts together."""

import json
from pathlib import Path

import pytest

from verl_coder.launch import wall_clock
from verl_coder.launch.wall_clock import WallClock


def test_starts_add_up_and_the_highest_memory_stays(tmp_path: Path) -> None:
    path = tmp_path / "wall.json"
    path.write_text(json.dumps({"wall_s": 100.0, "peak_memory_bytes": 2**60}))
    WallClock(path).write()
    values = json.loads(path.read_text())
    assert values["wall_s"] > 100.0 and values["peak_memory_bytes"] == 2**60


def test_a_start_that_is_killed_has_written_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wall_clock, "_WRITE_S", 0.0)
    WallClock(tmp_path / "wall.json").poll()
    assert json.loads((tmp_path / "wall.json").read_text())["wall_s"] > 0


def test_a_full_disk_is_told_once_and_again_after_it_was_free(tmp_path: Path) -> None:
    path, told = tmp_path / "wall.json", []
    clock = WallClock(path, on_error=told.append)
    for _ in range(2):
        path.mkdir()  # cannot be replaced by a file
        clock.write()
        clock.write()
        path.rmdir()
        clock.write()
        path.unlink()
    assert len(told) == 2
