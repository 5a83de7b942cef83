"""The worker takes its environment and its log from the launcher's order, or hears that there is none."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from verl_coder.launch.order import Order, give_order

_WORKER = """
import json, os, sys, tempfile
from verl_coder.launch.order import take_order
tempfile.gettempdir()
print("before")
sys.stdout.flush()
order = take_order()
if order is None:
    print("none")
    sys.exit(5)
facts = {
    "config": order.config,
    "environment": dict(os.environ),
    "folder": tempfile.gettempdir(),
    "input": sys.stdin.read(),
    "child": __import__("subprocess").check_output(["sh", "-c", "echo $NEW-$OLD"], text=True),
}
print(json.dumps(facts), flush=True)
print("an error", file=sys.stderr)
"""


def _started(tmp_path: Path) -> subprocess.Popen[bytes]:
    (tmp_path / "before").mkdir(exist_ok=True)
    environment = {**os.environ, "OLD": "old", "TMPDIR": str(tmp_path / "before")}
    return subprocess.Popen(
        [sys.executable, "-c", _WORKER], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


@pytest.fixture
def after(tmp_path: Path) -> tuple[str, list[str]]:
    """What a worker says in its first output, and in its log, which has a line already."""
    (tmp_path / "log").write_text("a line\n")
    (tmp_path / "after").mkdir()
    environment = {"NEW": "new", "TMPDIR": str(tmp_path / "after"), "PATH": os.environ["PATH"]}
    with _started(tmp_path) as worker:
        assert worker.stdin is not None and worker.stdout is not None
        give_order(worker.stdin, Order("a/config.yaml", str(tmp_path / "log"), environment))
        first = worker.stdout.read().decode()
    return first, (tmp_path / "log").read_text().splitlines()


def test_what_is_said_after_the_order_is_added_to_the_log(after: tuple[str, list[str]]) -> None:
    first, log = after
    assert first == "before\n"
    assert log[0] == "a line" and log[2] == "an error" and len(log) == 3


def test_the_environment_is_the_orders_alone_for_children_too(
    after: tuple[str, list[str]], tmp_path: Path
) -> None:
    facts = json.loads(after[1][1])
    assert facts["environment"].items() >= {"NEW": "new", "TMPDIR": str(tmp_path / "after")}.items()
    assert "OLD" not in facts["environment"] and facts["child"] == "new-\n"


def test_temporary_files_go_to_the_orders_folder_and_the_input_is_empty(
    after: tuple[str, list[str]], tmp_path: Path
) -> None:
    facts = json.loads(after[1][1])
    assert facts["folder"] == str(tmp_path / "after") and facts["input"] == ""
    assert facts["config"] == "a/config.yaml"


@pytest.mark.parametrize("written", [b"", b'{"config": "half'])
def test_a_launcher_that_gives_up_or_dies_gives_no_order(tmp_path: Path, written: bytes) -> None:
    with _started(tmp_path) as worker:
        said, _ = worker.communicate(written, timeout=60)
    assert said == b"before\nnone\n" and worker.returncode == 5


def test_a_worker_that_has_ended_takes_no_order() -> None:
    with subprocess.Popen(["true"], stdin=subprocess.PIPE) as ended:
        ended.wait()
        assert ended.stdin is not None
        with pytest.raises(BrokenPipeError):
            give_order(ended.stdin, Order("config", "log", {}))
