"""The sandbox, asked by the client that training uses: latency, many at once, output, outcomes, and what gets out."""

import asyncio
import json
import os
import socket
import statistics
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

from verl_coder.doctor.check import CheckResult, DoctorCheck, failed, of_each_server, passed, warned
from verl_coder.doctor.situation import SECRET, Situation
from verl_coder.errors import SandboxUnavailableError
from verl_coder.sandbox import SandboxClient
from verl_coder.sandbox.types import CommandResult, RunRequest, RunResponse

SLOW_S = 0.25
"""A call of the median that takes longer is named: a rollout waits for it at every turn."""
AT_ONCE = 32
OUTPUT_CHARS = 1_000_000
ISOLATION_HEADER = "x-sandbox-isolation"
_START = "start it (verl-coder sandbox serve), or leave verl_coder.sandbox_url and SANDBOX_URL out"
_LIES = "the server does not do what it says: restart it, or take the embedded one (no sandbox_url)"


def _reachable(situation: Situation, url: str) -> CheckResult:
    began = time.monotonic()
    response = situation.ask_sandbox(url, lambda client: client.run_code(RunRequest(code="print(6 * 7)")))
    printed = _run(response).stdout or ""
    if printed != "42\n":
        return failed(f"{url}: print(6 * 7) gave {printed[:40]!r}", _LIES)
    return passed(f"{url}: the first answer in {(time.monotonic() - began) * 1000:.0f} ms")


def _latency(situation: Situation, url: str) -> CheckResult:
    async def measure(client: SandboxClient) -> list[float]:
        times = []
        for number in range(9):
            began = time.monotonic()
            await client.run_code(RunRequest(code=f"print({number})"))
            times.append(time.monotonic() - began)
        return times[1:]

    times = situation.ask_sandbox(url, measure)
    words = f"median {statistics.median(times) * 1000:.0f} ms, slowest {max(times) * 1000:.0f} ms of {len(times)} calls"
    if statistics.median(times) > SLOW_S:
        return warned(words, "a sandbox on this machine or nearer, or fewer other programs on its cores")
    return passed(words)


def _many(situation: Situation, url: str) -> CheckResult:
    async def ask(client: SandboxClient) -> tuple[list[RunResponse], float]:
        requests = [RunRequest(code=f"import time; time.sleep(0.1); print({n} ** 2)") for n in range(AT_ONCE)]
        began = time.monotonic()
        responses = await asyncio.gather(*(client.run_code(request) for request in requests))
        return responses, time.monotonic() - began

    responses, seconds = situation.ask_sandbox(url, ask)
    wrong = [n for n, response in enumerate(responses) if (_run(response).stdout or "") != f"{n * n}\n"]
    if wrong:
        printed = (_run(responses[wrong[0]]).stdout or "")[:40]
        return failed(f"{len(wrong)} of {AT_ONCE} answers are wrong: {wrong[0]} ** 2 gave {printed!r}", _LIES)
    words = f"{AT_ONCE} programs of 0.1 s in {seconds:.1f} s, each with its own answer"
    if seconds > 0.1 * AT_ONCE + 2:
        return warned(f"{words}: one after another", "verl-coder sandbox serve --workers 8 or more")
    return passed(words)


def _output(situation: Situation, url: str) -> CheckResult:
    request = RunRequest(
        code=f"import sys; sys.stdout.write('ab' * {OUTPUT_CHARS // 2}); sys.stderr.write('end')"
    )
    result = _run(situation.ask_sandbox(url, lambda client: client.run_code(request)))
    got = result.stdout or ""
    if got != "ab" * (OUTPUT_CHARS // 2) or (result.stderr or "") != "end":
        return warned(
            f"of {OUTPUT_CHARS:,} characters {len(got):,} came: verdicts on long outputs are lost",
            "verl-coder sandbox serve --output-mb 2 or more",
        )
    return passed(f"{OUTPUT_CHARS:,} characters of stdout come whole, and stderr beside them")


_PROGRAMS = {
    "a right program": ("print('ok')", 10.0),
    "a failing program": ("print('before'); raise ValueError('the reason')", 10.0),
    "a program without end": ("while True: pass", 0.5),
    "a program that takes 4 GiB": ("x = bytearray(4 << 30); print(len(x))", 10.0),
}


def wrong_outcome(what: str, response: RunResponse) -> str:
    """What is wrong with the outcome of one of the known programs; empty where nothing is."""
    result = response.run_result
    if result is None:
        return "no run_result"
    shown = f"{response.status}, {result.status}, return code {result.return_code}"
    if what == "a right program":
        good = response.status == "Success" and result.status == "Finished" and result.return_code == 0
    elif what == "a failing program":
        good = response.status == "Failed" and result.status == "Finished" and result.return_code == 1
        good = good and "ValueError: the reason" in (result.stderr or "")
    elif what == "a program without end":
        good = response.status == "Failed" and result.status == "TimeLimitExceeded"
    else:
        good = response.status == "Failed" and not (result.stdout or "")
    return "" if good else shown


def _outcomes(situation: Situation, url: str) -> CheckResult:
    async def ask(client: SandboxClient) -> list[RunResponse]:
        requests = (
            RunRequest(code=code, run_timeout=timeout, memory_limit_MB=512)
            for code, timeout in _PROGRAMS.values()
        )
        return list(await asyncio.gather(*map(client.run_code, requests)))

    for what, response in zip(_PROGRAMS, situation.ask_sandbox(url, ask), strict=True):
        if fault := wrong_outcome(what, response):
            return failed(f"{what} came back as {fault}", _LIES)
    return passed(f"{', '.join(_PROGRAMS)}: each told as what it is")


def _files(situation: Situation, url: str) -> CheckResult:
    async def twice(client: SandboxClient) -> list[CommandResult]:
        write = RunRequest(
            code="open('mine', 'w').write('x'); print(open('given').read())", files={"given": "aGk="}
        )
        read = RunRequest(code="import os; print(os.path.exists('mine'))")
        return [_run(await client.run_code(request)) for request in (write, read)]

    written, looked = situation.ask_sandbox(url, twice)
    if written.stdout != "hi\n":
        return failed(f"a file of the request was read as {(written.stdout or '')[:40]!r}", _LIES)
    if looked.stdout != "False\n":
        return failed("a program found the file of the program before it", _LIES)
    return passed("files of a request are there, and gone for the next")


def isolation_of(url: str) -> str | None:
    """How the server says that it isolates programs; None where it does not say."""
    import httpx

    return httpx.get(f"{url}/v1/ping", timeout=5, trust_env=False).headers.get(ISOLATION_HEADER)


def _mode(situation: Situation, url: str) -> CheckResult:
    mode = isolation_of(url)
    if mode is None:
        return warned(
            f"{url} does not say how it isolates programs (a SandboxFusion in a container of its own?)",
            "trust it only where the container is all that a program may harm",
        )
    if mode.startswith("none"):
        return warned(
            f"{mode}: programs run without protection", "verl_coder.sandbox_isolation=auto, no sandbox_unsafe"
        )
    if mode.startswith("light"):
        return warned(
            f"{mode}: Landlock and seccomp only", "allow user namespaces, or run as root in the container"
        )
    return passed(mode)


# Nothing that it tries may last: where it does get out, the machine must be as before (no mount, no signal).
_HOSTILE = """
import json, os, socket
folder, port, pid, variable = {folder!r}, {port}, {pid}, {variable!r}
got_out = []
def tried(what, action):
    try:
        if action():
            got_out.append(what)
    except BaseException:
        pass
def connects():
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
def writes():
    with open(folder + "/written", "w") as file:
        return file.write("x")
tried("it read a file of this machine", lambda: open(folder + "/secret").read())
tried("it wrote a file of this machine", writes)
tried("it connected to a port of this machine", connects)
tried("it saw this process's environment", lambda: variable in os.environ)
tried("it read this process's environment in /proc", lambda: variable in open(f"/proc/{{pid}}/environ").read())
print(json.dumps(got_out))
"""


# What it finds at the server's side, wherever that is. It sends nothing: a datagram's socket asks for a route.
_ASIDE = """
import json, os, socket
found, port = [], {port}
def tried(what, action):
    try:
        if action():
            found.append(what)
    except BaseException:
        pass
def connects():
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
def has_a_route():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.connect(("192.0.2.1", 9))
        return True
def others():
    return [pid for pid in os.listdir("/proc") if pid.isdigit() and int(pid) != os.getpid()]
tried("it saw processes that are not its own", others)
tried("it read the environment of the process above it", lambda: open(f"/proc/{{os.getppid()}}/environ").read())
tried("it connected to the server's port", connects)
tried("its network has a way out", has_a_route)
print(json.dumps(found))
"""


def is_this_machine(url: str) -> bool:
    """Whether the host of `url` is an address of this machine: one that a socket can be bound to."""
    host = urlsplit(url).hostname or ""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
    except OSError:
        return False
    for family, kind, _, _, address in found:
        try:
            with socket.socket(family, kind) as asking:
                asking.bind((address[0], 0))
                return True
        except OSError:
            continue
    return False


def _hostile(situation: Situation, url: str) -> CheckResult:
    """What programs reach of this machine, where the server may be on it, and of the server's own side."""
    is_here = is_this_machine(url)
    got_out = _reached_here(situation, url) if is_here else []
    if got_out:
        return failed(f"a hostile program got out: {', '.join(got_out)}", "verl_coder.sandbox_isolation=auto")
    port = urlsplit(url).port or 80
    aside = _account(situation, url, _ASIDE.format(port=port))
    if aside:
        words = f"a hostile program at {url}: {', '.join(aside)}"
        if (isolation_of(url) or "none").startswith("none"):
            return warned(
                f"{words}; programs may read and change each other's tests and answers",
                "the embedded server (verl-coder sandbox serve) isolates each program",
            )
        return failed(words, _LIES)
    if not is_here:
        return passed(
            f"{url} is another machine: a hostile program saw no process, environment or port of it and has no way "
            "out of its network; its files were not tried"
        )
    return passed("a hostile program reached no file, port, process or variable of this machine")


def _account(situation: Situation, url: str, code: str) -> list[str]:
    """What a hostile program says that it reached; SandboxUnavailableError where it says nothing that can be read."""
    result = _run(situation.ask_sandbox(url, lambda client: client.run_code(RunRequest(code=code))))
    try:
        return list(json.loads(result.stdout or ""))
    except (ValueError, TypeError) as error:
        raise SandboxUnavailableError(
            f"the hostile program gave no account of itself: {(result.stdout or '')[:80]!r}"
        ) from error


def _reached_here(situation: Situation, url: str) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="vc-doctor-") as folder, socket.socket() as listening:
        Path(folder).chmod(0o777)
        (Path(folder) / "secret").write_text("secret")
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        code = _HOSTILE.format(
            port=listening.getsockname()[1], folder=folder, variable=SECRET, pid=os.getpid()
        )
        got_out = _account(situation, url, code)
        written = (Path(folder) / "written").exists()
    if written and "it wrote a file of this machine" not in got_out:
        got_out.append("it wrote a file of this machine")
    return got_out


def _run(response: RunResponse) -> CommandResult:
    if response.run_result is None:
        raise SandboxUnavailableError(
            f"an answer without run_result ({response.status}: {response.message[:80]})"
        )
    return response.run_result


CHECKS = (
    DoctorCheck(name="sandbox", component="sandbox", look=of_each_server(_reachable), fix=_START),
    DoctorCheck(name="sandbox-latency", component="sandbox", look=of_each_server(_latency), fix=_START),
    DoctorCheck(name="sandbox-many", component="sandbox", look=of_each_server(_many), fix=_LIES),
    DoctorCheck(name="sandbox-output", component="sandbox", look=of_each_server(_output), fix=_LIES),
    DoctorCheck(name="sandbox-outcomes", component="sandbox", look=of_each_server(_outcomes), fix=_LIES),
    DoctorCheck(name="sandbox-files", component="sandbox", look=of_each_server(_files), fix=_LIES),
    DoctorCheck(name="sandbox-mode", component="sandbox", look=of_each_server(_mode), fix=_START),
    DoctorCheck(
        name="sandbox-hostile",
        component="sandbox",
        look=of_each_server(_hostile),
        fix="verl_coder.sandbox_isolation=auto",
    ),
)
