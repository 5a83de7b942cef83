"""What a control group leaves of the machine's memory is read, of both versions and at every level."""

from pathlib import Path

import psutil
import pytest

from verl_coder.launch import control_group, memory_plan
from verl_coder.launch.control_group import memory_limit, memory_room, own_groups

GIB = 2**30


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The mount of a machine on which this process is in the group /slice/job of version 2."""
    root = tmp_path / "cgroup"
    monkeypatch.setattr(control_group, "_GROUPS", root)
    monkeypatch.setattr(control_group, "_OWN", tmp_path / "own")
    (tmp_path / "own").write_text("0::/slice/job\n")
    return root


def put(folder: Path, **files: str) -> None:
    """Files `memory.<name>` of a group."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / f"memory.{name}").write_text(text)


def test_without_a_limit_the_machine_is_what_counts(groups: Path) -> None:
    put(groups / "slice" / "job", max="max\n", current="5\n")
    assert (memory_limit(), memory_room()) == (None, None)


def test_the_least_of_all_levels_is_the_limit(groups: Path) -> None:
    put(groups / "slice" / "job", max=f"{9 * GIB}\n", current=f"{GIB}\n")
    put(groups / "slice", max=f"{4 * GIB}\n", current=f"{3 * GIB}\n")
    assert (memory_limit(), memory_room()) == (4 * GIB, GIB)


def test_files_that_are_only_kept_take_no_room(groups: Path) -> None:
    stat = f"anon 7\ninactive_file {GIB}\nactive_file {GIB}\nfile 9\n"
    put(groups / "slice" / "job", max=f"{4 * GIB}", current=f"{3 * GIB}", stat=stat)
    assert memory_room() == 3 * GIB


def test_version_one_is_read(groups: Path) -> None:
    (groups.parent / "own").write_text("7:cpu,cpuacct:/x\n4:memory:/job\n1:name=systemd:/y\n")
    stat = f"inactive_file 1\nactive_file 1\ntotal_inactive_file {GIB}\ntotal_active_file 0\n"
    put(groups / "memory" / "job", limit_in_bytes=f"{4 * GIB}", usage_in_bytes=f"{2 * GIB}", stat=stat)
    put(groups / "memory", limit_in_bytes="9223372036854771712", usage_in_bytes="0")
    assert own_groups()[0] == groups / "memory" / "job"
    assert (memory_limit(), memory_room()) == (4 * GIB, 3 * GIB)


def test_no_more_is_free_than_the_group_may_have(groups: Path) -> None:
    """`the machine has 3.0 GiB, of which 21.1 GiB are free` was said of a container."""
    put(groups / "slice" / "job", max=f"{GIB}\n", current=f"{GIB // 4}\n")
    assert memory_plan.machine_bytes() == GIB < psutil.virtual_memory().total
    assert memory_plan.free_memory() <= 3 * GIB // 4
