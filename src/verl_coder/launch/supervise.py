"""A child process and everything it starts: run it, and leave nothing of it behind."""

import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO

import psutil

from verl_coder.launch.signals import SAVING, EndSignals

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_POLL_S = 0.2
_GRACE_S = 5.0


def become_subreaper() -> None:
    """Adopt orphaned descendants (Ray's daemons, vLLM's engine), so that they can be found and ended."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_with_parent(parent: int | None = None) -> None:
    """Get SIGKILL when the parent dies, however it dies: SIGTERM may be blocked.

    Ends this process at once where the process `parent` has died before.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if parent is not None and os.getppid() != parent:
        sys.exit(1)


@contextmanager
def sigterm_blocked() -> Iterator[None]:
    """What is started in the block, and all that it starts, does not take SIGTERM.

    A batch system sends it to every process of a job; here only the launcher acts on it, so that the others live
    until the trainer has saved. SIGKILL ends them (`end_descendants`).
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _blocks_sigterm(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    mask = re.search(r"^SigBlk:\s*([0-9a-f]+)$", status, re.M)
    return bool(mask and int(mask[1], 16) >> (signal.SIGTERM - 1) & 1)


def end_descendants(keep: Sequence[int] = (), grace_s: float = _GRACE_S) -> int:
    """Terminate, then kill, all descendants of this process but `keep` (and theirs); returns how many."""
    kept: set[int] = set()
    ended = 0
    for deadline in (time.monotonic() + grace_s, time.monotonic() + 2 * grace_s):
        while True:
            below = psutil.Process().children(recursive=True)
            kept |= _families(keep)  # after that list: what is new in it may be a kept process's new child
            alive = [p for p in below if p.pid not in kept and p.is_running() and not _reap(p)]
            if not alive:
                return ended
            last = time.monotonic() > deadline
            for process in alive:
                try:
                    kill = last or _blocks_sigterm(process.pid)
                    process.kill() if kill else process.terminate()
                    ended += last
                except psutil.NoSuchProcess:
                    continue
            if last:
                break
            time.sleep(_POLL_S)
    return ended


def _families(pids: Sequence[int]) -> set[int]:
    found = set(pids)
    for pid in pids:
        try:
            found |= {child.pid for child in psutil.Process(pid).children(recursive=True)}
        except psutil.NoSuchProcess:
            continue
    return found


@contextmanager
def ended_descendants(keep: Sequence[int] = ()) -> Iterator[None]:
    """However the block ends, no descendant but `keep` (and theirs) is left."""
    try:
        yield
    finally:
        end_descendants(keep)


def _reap(process: psutil.Process) -> bool:
    """True when the process has ended (its status is collected if it was ours)."""
    try:
        if process.status() != psutil.STATUS_ZOMBIE:
            return False
        os.waitpid(process.pid, os.WNOHANG)
    except (psutil.NoSuchProcess, ChildProcessError):
        pass
    return True


class Interrupted(Exception):
    """The user (SIGINT), the system (SIGTERM) or a closed terminal (SIGHUP) asked for an end; its text is that name."""


def run_supervised(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    log: Path,
    on_poll: Callable[[], None],
    on_terminate: Callable[[], bool] = lambda: False,
    keep: Sequence[int] = (),
    sigterm_for_us_alone: bool = False,
) -> int:
    """Run `command` with its output in `log`, as `supervise` does; returns its exit status.

    With `sigterm_for_us_alone` the command and all that it starts block SIGTERM.
    """

    def start() -> subprocess.Popen[bytes]:
        with log.open("ab") as output, sigterm_blocked() if sigterm_for_us_alone else nullcontext():
            return start_apart(command, environment=environment, output=output)

    return supervise(
        start,
        on_poll=on_poll,
        on_terminate=on_terminate,
        keep=keep,
        sigterm_for_us_alone=sigterm_for_us_alone,
    )


def start_apart(
    command: Sequence[str], *, environment: Mapping[str, str], output: BinaryIO, told: bool = False
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own: Ctrl-C in the terminal reaches this process only.

    With `told` its standard input is a pipe, else empty.
    """
    return subprocess.Popen(
        command,
        env=dict(environment),
        stdin=subprocess.PIPE if told else subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def supervise(
    start: Callable[[], subprocess.Popen[bytes]],
    *,
    on_poll: Callable[[], None],
    on_terminate: Callable[[], bool] = lambda: False,
    keep: Sequence[int] = (),
    sigterm_for_us_alone: bool = False,
) -> int:
    """Wait for the end of the process that `start` gives; its status. Interrupted on SIGINT, SIGTERM and SIGHUP.

    The first SIGTERM or SIGHUP calls `on_terminate`: where that says True, the process will end by itself. It does not
    get SIGTERM itself where it is `sigterm_for_us_alone`. Whatever happens, no descendant is left but those in `keep`.
    """
    become_subreaper()
    asked = False
    with EndSignals() as signals, ended_descendants(keep):
        process = start()
        while process.poll() is None:
            if received := signals.take():
                again, asked = asked, True
                if again or received not in SAVING or not on_terminate():
                    raise Interrupted(received.name)
            on_poll()
            time.sleep(_POLL_S)
        failed = process.returncode and not sigterm_for_us_alone
        if failed and (received := signals.take()):  # it had the same signal, and was faster
            raise Interrupted(received.name)
        return process.returncode


_OF_RAY = ("RayTaskError", "ActorDiedError", "ActorUnavailableError", "ChildFailedError", "RayActorError")
"""Exceptions that only say that another process has failed."""
_OF_A_DEATH = (
    *_OF_RAY,
    "OutOfMemoryError",
    "NodeDiedError",
    "WorkerCrashedError",
    "EngineDeadError",
    "OwnerDiedError",
    "RuntimeError: cancelled",
    "ConnectionError",
    "ConnectError",
    "ClientConnectorError",
    "ServerDisconnectedError",
    "TimeoutError",
    "RpcError",
    "EOFError",
    "RolloutsLostError",
    "no materializable trajectories",  # the same of a step, in verl's words
    "Failed to connect to GCS",
)


def reason_in_log(log: Path, start: int = 0) -> str:
    """The last exception in a log from byte `start` on: its last line `Name: message`, without Ray's colours."""
    named = _exceptions(log, start)
    told = [line for line in named if not any(wrapper in line for wrapper in _OF_RAY)]
    return (told or named or ["no exception in the log"])[-1].strip()[:400]


def own_reason_in_log(log: Path, start: int = 0) -> bool:
    """Whether the log has an exception that is more than the echo of a process that died."""
    return any(not any(word in line for word in _OF_A_DEATH) for line in _exceptions(log, start))


def _exceptions(log: Path, start: int) -> list[str]:
    with log.open("rb") as file:
        file.seek(start)
        text = file.read().decode(errors="replace")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    plain = re.sub(r"^(?:\([^)]*pid=\d+\)|\[rank\d+\]:)\s?", "", plain, flags=re.M)
    return re.findall(r"^((?:[\w.]+\.)?\w*(?:Error|Exception|Interrupt)\b:? ?.*)$", plain, flags=re.M)
