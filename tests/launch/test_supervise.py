"""A supervised process leaves nothing behind."""

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from verl_coder.launch import supervise
from verl_coder.launch.supervise import Interrupted, own_reason_in_log, reason_in_log, run_supervised

_SCRIPT = """
import sys
from functools import partial
from pathlib import Path
from verl_coder.launch import supervise
from verl_coder.launch.supervise import Interrupted, run_supervised
supervise.end_descendants = partial(supervise.end_descendants, grace_s=0.5)  # the daemon uses all of it
log, marker = Path(sys.argv[1]), Path(sys.argv[2])
daemon = (
    "import os,sys,time\\n"
    "if os.fork() == 0:\\n"
    "    os.setsid()\\n"
    "    if os.fork() == 0:\\n"
    "        open(sys.argv[1], 'w').write(str(os.getpid()))\\n"
    "        import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\\n"
    "        time.sleep(600)\\n"
    "    os._exit(0)\\n"
    "time.sleep(float(sys.argv[2]))\\n"
    "print('said', flush=True)\\n"
    "sys.exit(3)\\n"
)
try:
    status = run_supervised(
        [sys.executable, "-c", daemon, str(marker), sys.argv[3]], environment={}, log=log, on_poll=lambda: None
    )
except Interrupted as error:
    print("interrupted", error)
    status = 130
print("status", status)
"""


def _start(tmp_path: Path, seconds: str) -> subprocess.Popen[str]:
    arguments = [str(tmp_path / "log"), str(tmp_path / "pid"), seconds]
    return subprocess.Popen([sys.executable, "-c", _SCRIPT, *arguments], stdout=subprocess.PIPE, text=True)


def test_a_daemon_that_ignores_sigterm_is_gone_and_the_status_is_the_childs(tmp_path: Path) -> None:
    process = _start(tmp_path, "0.5")
    output, _ = process.communicate(timeout=60)
    assert "status 3" in output
    assert "said" in (tmp_path / "log").read_text()
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_an_interrupt_ends_everything(tmp_path: Path) -> None:
    process = _start(tmp_path, "600")
    deadline = time.monotonic() + 30
    while not (tmp_path / "pid").is_file() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.2)
    os.kill(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert "interrupted SIGINT" in output
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


_KEPT_STARTS_LATE = """
import subprocess, sys, time
from pathlib import Path
from verl_coder.launch.supervise import become_subreaper, end_descendants
folder = Path(sys.argv[1])
become_subreaper()
keeps = (
    "import pathlib, subprocess, sys, time\\n"
    "folder = pathlib.Path(sys.argv[1])\\n"
    "while not (folder / 'ending').exists(): time.sleep(0.02)\\n"
    "child = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)\\n"
    "(folder / 'late').write_text(str(child.pid))\\n"
    "input()\\n"
    "(folder / 'told').write_text(str(child.poll()))\\n"
    "child.communicate(b'x')\\n"
)
ends_late = (
    "import pathlib, signal, sys, time\\n"
    "folder = pathlib.Path(sys.argv[1])\\n"
    "signal.signal(signal.SIGTERM, lambda *_: (folder / 'ending').touch())\\n"
    "(folder / 'ready').touch()\\n"
    "while not (folder / 'late').exists(): time.sleep(0.02)\\n"
    "time.sleep(1)\\n"
)
kept = subprocess.Popen([sys.executable, "-c", keeps, str(folder)], stdin=subprocess.PIPE)
slow = subprocess.Popen([sys.executable, "-c", ends_late, str(folder)])
while not (folder / "ready").exists(): time.sleep(0.02)
end_descendants([kept.pid], grace_s=60)
kept.communicate(b"x")
"""


def test_what_a_kept_process_starts_during_the_ending_is_kept(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", _KEPT_STARTS_LATE, str(tmp_path)], check=True, timeout=100)
    assert (tmp_path / "told").read_text() == "None"


def test_the_reason_of_a_failure_is_the_last_exception_that_is_not_rays_own(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        "x\n\x1b[36m(TaskRunner pid=12)\x1b[0m ValueError: earlier\n"
        "\x1b[36m(TaskRunner pid=12)\x1b[0m verl_coder.errors.DataError: the real one\n"
        "ray.exceptions.RayTaskError(DataError): ray::run()\n"
    )
    assert reason_in_log(log) == "verl_coder.errors.DataError: the real one"


_JOB = """
import subprocess, sys, signal
from pathlib import Path
from verl_coder.launch.supervise import run_supervised, sigterm_blocked
folder = Path(sys.argv[1])
inner = (
    "import subprocess,sys,time,pathlib\\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\\n"
    "folder = pathlib.Path(sys.argv[1])\\n"
    "(folder / 'started').write_text(str(child.pid))\\n"
    "while not (folder / 'asked').exists(): time.sleep(0.05)\\n"
    "(folder / 'saved').write_text(str(child.poll()))\\n"
)
with sigterm_blocked():
    beside = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
(folder / "beside").write_text(str(beside.pid))
def asked():
    print("asked", flush=True)
    (folder / "asked").touch()
    return True
status = run_supervised(
    [sys.executable, "-c", inner, str(folder)], environment={}, log=folder / "log", on_poll=lambda: None,
    on_terminate=asked, keep=[beside.pid], sigterm_for_us_alone=True,
)
print("status", status, "beside", beside.poll())
beside.kill()
"""


def test_sigterm_to_every_process_reaches_the_launcher_alone(tmp_path: Path) -> None:
    """As a batch system ends a job: the others live until the work is saved, and none is left."""
    job = subprocess.Popen([sys.executable, "-c", _JOB, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    while not (tmp_path / "started").exists():
        time.sleep(0.05)
    family = [psutil.Process(job.pid), *psutil.Process(job.pid).children(recursive=True)]
    assert len(family) == 4
    for process in (*family, family[0]):  # and the job's script hands it on
        process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
    output, _ = job.communicate(timeout=60)
    assert "status 0 beside None" in output
    assert (tmp_path / "saved").read_text() == "None"
    assert not psutil.pid_exists(int((tmp_path / "started").read_text()))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_command_that_the_same_signal_has_ended_is_interrupted_and_has_not_failed(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The process of the tests adopts nothing: it would keep the zombies of others.
    monkeypatch.setattr(supervise, "become_subreaper", lambda: None)
    left = ["once"]

    def both_get_it() -> None:
        if left:
            left.clear()
            child = max(psutil.Process().children(), key=lambda one: one.create_time())
            child.send_signal(number)
            while child.status() != psutil.STATUS_ZOMBIE:
                time.sleep(0.01)
            os.kill(os.getpid(), number)

    keep = [process.pid for process in psutil.Process().children()]
    sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
    with pytest.raises(Interrupted, match=signal.Signals(number).name):
        run_supervised(sleep, environment={}, log=tmp_path / "log", on_poll=both_get_it, keep=keep)


def test_a_terminal_that_is_closed_lets_the_work_be_saved(tmp_path: Path) -> None:
    ours, its = pty.openpty()
    command = ["setsid", "--ctty", sys.executable, "-c", _JOB, str(tmp_path)]
    job = subprocess.Popen(command, stdin=its, stdout=its, stderr=its)
    os.close(its)
    while not (tmp_path / "started").exists():
        time.sleep(0.05)
    os.close(ours)
    assert job.wait(60) == 0
    assert (tmp_path / "saved").read_text() == "None"
    assert not psutil.pid_exists(int((tmp_path / "started").read_text()))


def test_an_echo_of_a_death_is_no_reason_of_the_runs_own(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("ray.exceptions.ActorDiedError: The actor died unexpectedly\n")
    assert not own_reason_in_log(log)
    log.write_text("verl_coder.errors.RolloutsLostError: none of 48 answers of the evaluation came back\n")
    assert not own_reason_in_log(log)
    log.write_text("ray.exceptions.ActorDiedError: The actor died\nValueError: a batch of 3\n")
    assert own_reason_in_log(log)
