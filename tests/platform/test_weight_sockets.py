"""Two runs on one machine do not take the weight sync's socket from each other."""

import importlib.util
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

from verl_coder.platform.environment import SOCKET_FOLDER
from verl_coder.platform.weight_sockets import PREFIX, apply, of_this_run

_ADDRESS = f"{PREFIX}01000000-replica-0-rank-0.sock"


@pytest.fixture
def context(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A zmq context; `bind` and `connect` are put back afterwards."""
    for name in ("bind", "connect"):
        monkeypatch.setattr(zmq.Socket, name, getattr(zmq.Socket, name))
    apply()
    with zmq.Context() as made:
        yield made


def _socket(context: Any, kind: int) -> Any:
    socket = context.socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.RCVTIMEO, 10_000)
    socket.setsockopt(zmq.SNDTIMEO, 10_000)
    return socket


@pytest.fixture
def folders() -> Iterator[list[str]]:
    """Scratch folders of two runs; `tmp_path` is too long for a socket."""
    with tempfile.TemporaryDirectory(prefix="vc-") as one, tempfile.TemporaryDirectory(prefix="vc-") as two:
        yield [one, two]


def test_each_run_receives_its_own_weights_although_both_use_one_name(
    context: Any, folders: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    senders, receivers = {}, {}
    for run in folders:
        monkeypatch.setenv(SOCKET_FOLDER, run)
        senders[run] = _socket(context, zmq.REQ)
        senders[run].bind(_ADDRESS)
    for run in senders:
        monkeypatch.setenv(SOCKET_FOLDER, run)
        receivers[run] = _socket(context, zmq.REP)
        receivers[run].connect(_ADDRESS)
    for run, sender in senders.items():
        sender.send_string(run)
    assert {run: receiver.recv_string() for run, receiver in receivers.items()} == {
        run: run for run in senders
    }
    for socket in (*senders.values(), *receivers.values()):
        socket.close()


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:5000", "ipc:///tmp/other.sock"])
def test_other_sockets_keep_their_address(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SOCKET_FOLDER, "/one")
    assert of_this_run(address) == address


def test_outside_a_run_verls_name_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SOCKET_FOLDER, raising=False)
    assert of_this_run(_ADDRESS) == _ADDRESS


def test_both_ends_of_verl_still_use_the_name() -> None:
    found = importlib.util.find_spec("verl")
    assert found is not None
    assert found.origin is not None
    folder = Path(found.origin).parent / "workers/rollout/vllm_rollout"
    for name in ("utils.py", "vllm_rollout.py"):
        assert PREFIX in (folder / name).read_text()
