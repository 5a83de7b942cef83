"""A dry run imports thousands of modules: they are neither looked through for garbage nor freed at its end."""

import gc
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from verl_coder.many_modules import collector_paused


@pytest.fixture(autouse=True)
def _collector_as_it_was() -> object:
    yield
    gc.unfreeze()
    gc.enable()


def _run(*lines: str, arguments: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    program = "\n".join(("import sys", "from verl_coder.many_modules import collector_paused, leave", *lines))
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, timeout=300, check=False
    )


def test_nothing_is_collected_in_the_block_and_all_that_comes_after_it() -> None:
    with collector_paused():
        assert not gc.isenabled()
        with collector_paused():
            pass
        assert not gc.isenabled()  # the inner block leaves it to the outer one
    assert gc.isenabled()
    cycle: list[object] = []
    cycle.append(cycle)
    del cycle
    assert gc.collect() >= 1


def test_a_block_that_raises_leaves_the_collector_on() -> None:
    with pytest.raises(ImportError), collector_paused():
        raise ImportError("no such module")
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off() -> None:
    gc.disable()
    with collector_paused():
        pass
    assert not gc.isenabled()


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")
def test_an_ordinary_exit_leaks_nothing_that_a_library_counts() -> None:
    done = _run("with collector_paused():", "    import triton._C.libtriton")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_leaving_writes_what_was_printed_and_runs_what_is_registered_for_the_exit() -> None:
    done = _run(
        "import atexit",
        "atexit.register(print, 'registered')",
        "class Freed:",
        "    def __del__(self): print('freed')",
        "kept = Freed()",
        "print('printed', end=' ')",
        "leave(3)",
    )
    assert (done.returncode, done.stdout, done.stderr) == (3, "printed registered\n", "")


def test_leaving_waits_for_a_thread_that_still_runs() -> None:
    done = _run(
        "import threading, time",
        "def work():",
        "    time.sleep(0.3)",
        "    print('done')",
        "threading.Thread(target=work).start()",
        "leave(1)",
    )
    assert (done.returncode, done.stdout) == (1, "done\n")


def test_leaving_says_as_python_does_that_nobody_reads_its_output() -> None:
    reads, writes = os.pipe()
    os.close(reads)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    program = "from verl_coder.many_modules import leave; print('lost'); leave(0)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment, stdout=writes, stderr=subprocess.PIPE, text=True, timeout=60, check=False,
    )  # fmt: skip
    os.close(writes)
    assert done.returncode == 120 and "BrokenPipeError" in done.stderr


def test_a_dry_run_does_not_look_through_what_it_imports_again_and_again(tmp_path: Path) -> None:
    """A collection of all generations looks at every object: with the collector on, eight of them at two million."""
    arguments = ("train", "--recipe", "tiny_cpu", "--dry-run", "--out", str(tmp_path / "out"))
    done = _run(
        "import atexit, gc",
        "looked_at = []",
        "def look(phase, info):",
        "    if phase == 'start' and info['generation'] == 2: looked_at.append(len(gc.get_objects()))",
        "gc.callbacks.append(look)",
        "atexit.register(lambda: print(len(sys.modules), sum(looked_at)))",
        "from verl_coder.cli import main",
        "main()",
        arguments=arguments,
    )
    assert (done.returncode, done.stderr) == (0, "")
    modules, objects = map(int, done.stdout.split()[-2:])
    assert modules > 1000 and objects < 500_000
