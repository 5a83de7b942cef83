"""Where each program starts: `judge_main` and `candidate_main` of a pair, `single_main` where there is no pair."""

import contextlib
import json
import os
import socket
import sys
from typing import Any


def _take_json(name: str) -> Any:
    """Read a file and remove it: a sandbox has less to clean where nothing is left."""
    with open(name, "rb") as file:
        value = json.loads(file.read())
    with contextlib.suppress(OSError):
        os.unlink(name)
    return value


def candidate_main() -> None:
    """The candidate of a pair: the solution is in job.json."""
    from verl_coder.grading.programs.candidate import run_harness

    run_harness(socket.socket(fileno=int(os.environ.pop("PEER_FD"))), _take_json("job.json"))
    os._exit(0)


def judge_main() -> None:
    """The judge of a pair: the tests are in spec.json, the report goes to its stdout."""
    fields = _take_json("spec.json")
    _report(socket.socket(fileno=int(os.environ["PEER_FD"])), fields)


def _report(control: socket.socket, fields: list[Any]) -> None:
    from verl_coder.grading.programs.audit import guard_process
    from verl_coder.grading.programs.judge import judge
    from verl_coder.grading.programs.spec import Spec

    # What the tests print must not mix with the report.
    sys.stdout.flush()
    out = os.dup(1)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)
    sys.setrecursionlimit(5000)
    spec = Spec(*fields)
    guard_process()
    report = judge(control, spec)
    data = (spec.nonce + json.dumps(report) + "\n").encode()
    while data:
        data = data[os.write(out, data) :]
    os._exit(0)


def single_main() -> None:
    """Both in one request: the child is forked before the tests are read from stdin (see grading/README.md)."""
    from verl_coder.grading.programs.candidate import run_harness

    job = _take_json("job.json")
    ours, theirs = socket.socketpair()
    go_read, go_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        ours.close()
        os.close(go_write)
        null = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(null, number)
        if os.read(go_read, 1) == b"g":
            _drop_privileges()
            run_harness(theirs, job)
        os._exit(0)
    theirs.close()
    os.close(go_read)
    _hide_memory()
    # The solution may write to the folder, so nothing is imported from there once it runs.
    sys.path[:] = [folder for folder in sys.path if folder and os.path.realpath(folder) != os.getcwd()]
    fields = json.loads(sys.stdin.buffer.read())
    os.write(go_write, b"g")
    _report(ours, fields)


def _hide_memory() -> None:
    """Not dumpable: /proc/<pid>/mem and ptrace are closed to processes of the same user."""
    with contextlib.suppress(Exception):
        import ctypes

        ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)


def _drop_privileges() -> None:
    """Root would see through that: become nobody, where nobody can read the interpreter's library."""
    if os.geteuid() != 0:
        return
    folder = os.path.dirname(os.path.realpath(os.__file__))
    while folder != "/":
        if not os.stat(folder).st_mode & 0o001:
            return
        folder = os.path.dirname(folder)
    with contextlib.suppress(OSError):
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
