"""The child process of a task: its output in a log, signals handed on, nothing of it left behind."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil

from verl_coder.launch.leftovers import end_leftovers
from verl_coder.launch.signals import SAVING, EndSignals
from verl_coder.launch.supervise import Interrupted, become_subreaper, ended_descendants
from verl_coder.words import counted

PIPELINE_MARKER = "VERL_CODER_PIPELINE"
"""Environment variable, set to the pipeline's folder in every process of its tasks."""
CHILD = ("-m", "verl_coder.pipeline.child")
"""What Python runs for a task, before this process's id and the command."""
_POLL_S = 0.2
_SIGTERM_BY_ITSELF_S = 1.5
"""A batch system sends SIGTERM to every process of a job: so long the child may show that it has had one."""
_INTERRUPT_GRACE_S = 60.0
_ANSI = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
_FRAME = set("┏┓┗┛┡┩└┘├┤─━│┃╇┳┴┼┬╈╋═ ")
_FOREIGN = re.compile(
    r"^\[[A-Z]\d{4} |^(DEBUG|INFO|WARNING|ERROR) \d\d-\d\d |^nanobind: |^ ?- leaked |it/s\]$|s/it\]$"
)
"""torch's and vLLM's logs, and the bars of tqdm."""


def end_older_children(out: Path) -> str:
    """End what an earlier start of the pipeline in `out` has left; a line about it, empty where there was nothing."""
    ended = end_leftovers(out, marker=PIPELINE_MARKER)
    return (
        f"ended {counted(ended, 'process', 'processes')} that an earlier start left behind" if ended else ""
    )


def run_child(
    command: Sequence[str],
    *,
    out: Path,
    log: Path,
    on_poll: Callable[[], None],
    stop_request: Path | None = None,
) -> int:
    """Run `verl-coder COMMAND` with its output behind what `log` holds; its exit status.

    Interrupted where SIGINT, SIGTERM or SIGHUP came, when the child has ended: it is sent SIGINT, and has a minute; one
    with a `stop_request` is sent SIGTERM in place of the last two, and saves as long as it takes. A second signal ends
    it at once.
    """
    become_subreaper()
    not_ours = [process.pid for process in psutil.Process().children()]
    environment = {
        **os.environ,
        PIPELINE_MARKER: str(out),
        "PYTHONUNBUFFERED": "1",
        "COLUMNS": os.environ.get("COLUMNS", "160"),
    }
    with EndSignals() as signals:
        with ended_descendants(not_ours), log.open("ab") as output:
            # A session of its own: Ctrl-C in the terminal reaches this process only, which hands it on.
            process = subprocess.Popen(
                [sys.executable, *CHILD, str(os.getpid()), *command],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            status = _wait(process, signals, on_poll, stop_request)
        if late := signals.take():  # one may have come while the descendants ended
            raise Interrupted(late.name)
        return status


def _wait(
    process: "subprocess.Popen[bytes]",
    signals: EndSignals,
    on_poll: Callable[[], None],
    stop_request: Path | None,
) -> int:
    first: signal.Signals | None = None
    since, sent = 0.0, False
    while process.poll() is None:
        received = signals.take()
        if first is None:
            first, since = received, time.monotonic()
        elif received or (sent and _is_late(first, since, stop_request)):
            raise Interrupted(first.name)
        if first and not sent:
            saves = first in SAVING and stop_request is not None
            knows = saves and stop_request is not None and stop_request.is_file()
            if knows or not saves or time.monotonic() - since > _SIGTERM_BY_ITSELF_S:
                sent = True
                if not knows:
                    process.send_signal(signal.SIGTERM if saves else signal.SIGINT)
        on_poll()
        time.sleep(_POLL_S)
    if first := first or signals.take():
        raise Interrupted(first.name)
    return process.returncode


def _is_late(first: signal.Signals, since: float, stop_request: Path | None) -> bool:
    saves = first in SAVING and stop_request is not None
    return not saves and time.monotonic() - since > _INTERRUPT_GRACE_S


def last_line(log: Path, start: int = 0) -> str:
    """What a command has said last, in a log from byte `start` on, without colours.

    Where there are others, no line of a library's own log and no bar of its progress.
    """
    try:
        with log.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(start, end - 4096))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    lines = [line.strip() for line in re.split(r"[\r\n]+", _ANSI.sub("", text))]
    said = [line for line in reversed(lines) if line and not set(line) <= _FRAME]
    return next((line for line in said if not _FOREIGN.search(line)), next(iter(said), ""))


def error_line(log: Path, start: int) -> str:
    """The command's own error, else what it said last."""
    try:
        text = _ANSI.sub("", log.read_bytes()[start:].decode(errors="replace"))
    except OSError:
        return ""
    errors = re.findall(r"^error: (.*)$", text, flags=re.M)
    return errors[-1] if errors else last_line(log, start)
