"""The processes of a run: which is which, how each stands, and where it stood when the run was ended."""

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psutil

WORKER = "worker that drives Ray"
ROLES = (
    ("verl_coder.launch.worker", WORKER),
    ("gcs_server", "Ray's GCS"),
    ("raylet/raylet", "Ray's raylet"),
    ("ray::CoderTaskRunner", "trainer"),
    ("ray::TaskRunner", "trainer"),
    ("ray::WorkerDict", "FSDP actor"),
    ("ray::vLLMHttpServer", "vLLM server"),
    ("VLLM::", "vLLM engine"),
    ("ray::CoderAgentLoopWorker", "agent-loop worker"),
    ("ray::AgentLoopWorker", "agent-loop worker"),
    ("ray::RewardLoopWorker", "reward worker"),
    ("ray::SimpleStorageUnit", "TransferQueue's store"),
    ("ray::TransferQueueController", "TransferQueue's controller"),
    ("ray::GlobalRequestLoadBalancer", "vLLM's load balancer"),
)
"""(part of the command line, what it is): processes without which a run cannot go on."""
SANDBOX = "sandbox server"
_NAMED = re.compile(r"\((\w+) pid=(\d+)[,)]")
"""How Ray begins each line that a worker has written."""
_DIED = re.compile(r"A worker died or was killed while executing a task .*?Worker PID: (\d+)")
_KILLED = re.compile(
    r"Selected to kill: [^\n]*?task name=(\w+)[^\n]*?\bpid=(\d+), actual memory used=([\d.]+)GB"
)
"""What Ray's memory monitor says of a worker that it has killed, in the exception that ends the run."""
_STACK_TIMEOUT_S = 10.0


@dataclass(frozen=True, kw_only=True)
class RunProcess:
    """One process at one moment."""

    pid: int
    role: str
    status: str
    """psutil's: running, sleeping, stopped, ..."""
    rss_bytes: int

    @property
    def halted(self) -> bool:
        """Stopped by a signal (SIGSTOP) or a debugger."""
        return self.status in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)

    def describe(self) -> str:
        """`trainer (process 123)`."""
        return f"{self.role} (process {self.pid})"


class ProcessTable:
    """The processes of the run that matter: descendants of this one with a role, and its sandbox server.

    Ray names a process by the method that it runs, so that a role, once known, stays.
    """

    def __init__(self, sandbox_pids: Sequence[int] = ()) -> None:
        self._sandbox_pids = frozenset(sandbox_pids)
        self._roles: dict[psutil.Process, str] = {}

    def look(self) -> list[RunProcess]:
        """How they stand now; one that has ended is not among them."""
        family = psutil.Process().children(recursive=True)
        roles = {process.pid: role for process in family if (role := self._role(process))}
        found = []
        for process in family:
            role = roles.get(process.pid, "")
            try:
                with process.oneshot():
                    # A fork has its parent's command line until it runs a program of its own, and may end at any time.
                    if not role or roles.get(process.ppid()) == role:
                        continue
                    self._roles.setdefault(process, role)
                    if process.status() != psutil.STATUS_ZOMBIE:
                        rss = process.memory_info().rss
                        found.append(
                            RunProcess(pid=process.pid, role=role, status=process.status(), rss_bytes=rss)
                        )
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
        return found

    def _role(self, process: psutil.Process) -> str:
        if process.pid in self._sandbox_pids:
            return SANDBOX
        if process in self._roles:
            return self._roles[process]
        try:
            return role_of(" ".join(process.cmdline()))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return ""


class DeathsInLog:
    """Workers that Ray itself says have died in the middle of a task: one may die before a look has seen its role."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._read = log.stat().st_size if log.is_file() else 0
        self._torn = b""
        self._names: dict[int, str] = {}
        self.for_memory = False
        """Whether Ray's memory monitor has killed one."""

    def look(self) -> list[RunProcess]:
        """Those of which the log's new lines tell; their memory is not known."""
        try:
            with self._log.open("rb") as file:
                file.seek(self._read)
                new = file.read()
        except FileNotFoundError:
            return []
        self._read += len(new)
        whole, newline, self._torn = (self._torn + new).rpartition(b"\n")
        text = (whole + newline).decode(errors="replace")
        self._names |= {int(pid): name for name, pid in _NAMED.findall(text)}
        return [*self._killed(text), *(self._dead(int(pid)) for pid in _DIED.findall(text))]

    def _killed(self, text: str) -> list[RunProcess]:
        """Those that a run needs: Ray starts another in the place of an idle one."""
        found = [(role_of(f"ray::{name}"), int(pid), float(gb)) for name, pid, gb in _KILLED.findall(text)]
        self.for_memory = self.for_memory or any(role for role, _, _ in found)
        return [
            RunProcess(pid=pid, role=role, status=psutil.STATUS_DEAD, rss_bytes=int(gb * 2**30))
            for role, pid, gb in found
            if role
        ]

    def _dead(self, pid: int) -> RunProcess:
        role = role_of(f"ray::{self._names.get(pid, '')}") or "worker of Ray"
        return RunProcess(pid=pid, role=role, status=psutil.STATUS_DEAD, rss_bytes=0)


def role_of(command: str) -> str:
    """What a command line is in a run; empty for one that the run can do without."""
    return next((role for part, role in ROLES if part in command), "")


def memory_words(processes: Sequence[RunProcess]) -> str:
    """`FSDP actor 8.1, vLLM engine 5.2, trainer 0.9 GiB`, the largest first."""
    largest = sorted(processes, key=lambda process: -process.rss_bytes)[:4]
    return ", ".join(f"{p.role} {p.rss_bytes / 2**30:.1f}" for p in largest) + " GiB" if largest else ""


def dump(path: Path, processes: Sequence[RunProcess], headline: str) -> None:
    """Write where every process stands: state, memory, and the stacks of its threads (py-spy; else the kernel's)."""
    with ThreadPoolExecutor(max_workers=4) as threads:
        stacks = list(threads.map(lambda process: _stacks(process.pid), processes))
    parts = [headline, time.strftime("%Y-%m-%d %H:%M:%S"), ""]
    for process, stack in zip(processes, stacks, strict=True):
        parts += [
            f"== {process.describe()}: {process.status}, {process.rss_bytes / 2**20:,.0f} MiB"
            + _wait_channel(process.pid),
            stack,
            "",
        ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(parts))


def _stacks(pid: int) -> str:
    """Python stacks of all threads of a process."""
    beside = Path(sys.executable).with_name("py-spy")
    spy = str(beside) if beside.is_file() else shutil.which("py-spy")
    if spy is None:
        return "(py-spy is not installed: no Python stacks)"
    try:
        # Not pausing it: a halted process would never answer.
        result = subprocess.run(
            [spy, "dump", "--nonblocking", "--pid", str(pid)],
            capture_output=True,
            text=True,
            timeout=_STACK_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "(py-spy had no answer)"
    return (result.stdout or result.stderr).strip()


def _wait_channel(pid: int) -> str:
    try:
        name = Path(f"/proc/{pid}/wchan").read_text().strip()
    except OSError:
        return ""
    return f", in the kernel at {name}" if name not in ("", "0") else ""
