"""Killed processes of the server are the service's failure, never a wrong verdict."""

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import time

import pytest
from process_tree import children_by_parent, processes_below

from verl_coder.errors import SandboxUnavailableError
from verl_coder.sandbox import RunRequest, SandboxClient
from verl_coder.sandbox.embedded import EmbeddedSandbox

KINDS = {"lean": b"\0lean\0", "full": b"\0full\0"}


def _of_kind(server: int, kind: str) -> list[int]:
    """Processes of a server: one `zygote`, all `slots` (keepers and programs), or the `programs` alone."""
    children = children_by_parent()
    zygotes = {pid: _command_line(pid) for pid in children.get(server, [])}
    if kind in KINDS:
        return [pid for pid, command in zygotes.items() if KINDS[kind] in command]
    slots = [pid for pid in processes_below(server) if pid not in zygotes]
    return slots if kind == "slots" else [pid for pid in slots if pid not in children]


def _command_line(pid: int) -> bytes:
    with contextlib.suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read()
    return b""


async def _one(client: SandboxClient, number: int, imports: str = "") -> None:
    """A program that prints its number: the right answer or none."""
    code = f"{imports}import time\ntime.sleep(0.05)\nprint({number})"
    try:
        response = await client.run_code(RunRequest(code=code, run_timeout=20))
    except SandboxUnavailableError:
        return
    assert response.run_result is not None
    assert (response.status, response.run_result.stdout) == ("Success", f"{number}\n")


@pytest.mark.parametrize("kind", ["lean", "full", "slots", "programs"])
async def test_killing_every_process_of_a_kind_never_gives_a_wrong_verdict(
    protected_mode: str, kind: str
) -> None:
    with EmbeddedSandbox(isolation=protected_mode) as sandbox:
        async with SandboxClient(sandbox.url, max_attempts=8, max_backoff_s=0.2) as client:

            async def killer() -> None:
                for _ in range(2):
                    await asyncio.sleep(0.1)
                    for pid in _of_kind(sandbox.pid, kind):
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(pid, signal.SIGKILL)

            await asyncio.gather(
                killer(), *(_one(client, n, "import numpy\n" if n % 4 == 0 else "") for n in range(40))
            )
            for _ in range(4):
                response = await client.run_code(
                    RunRequest(code="import numpy\nprint('alive')", run_timeout=20)
                )
                assert response.status == "Success", response


async def test_killing_any_process_below_the_server_never_gives_a_wrong_verdict() -> None:
    chooser = random.Random(1)
    with EmbeddedSandbox() as sandbox:
        async with SandboxClient(sandbox.url, max_attempts=8, max_backoff_s=0.2) as client:

            async def killer() -> None:
                for _ in range(12):
                    await asyncio.sleep(0.1)
                    with contextlib.suppress(ProcessLookupError, IndexError):
                        os.kill(chooser.choice(processes_below(sandbox.pid)), signal.SIGKILL)

            await asyncio.gather(killer(), *(_one(client, n) for n in range(120)))
            assert (
                await client.run_code(RunRequest(code="print('alive')", run_timeout=20))
            ).status == "Success"


async def test_a_killed_server_is_unavailable_and_its_processes_end() -> None:
    sandbox = EmbeddedSandbox()
    sandbox.__enter__()
    async with SandboxClient(sandbox.url, max_attempts=2, max_backoff_s=0.05) as client:
        running = asyncio.ensure_future(client.run_code(RunRequest(code="while True: pass", run_timeout=30)))
        await asyncio.sleep(0.3)
        below = processes_below(sandbox.pid)
        os.kill(sandbox.pid, signal.SIGKILL)
        with pytest.raises(SandboxUnavailableError):
            await running
    await asyncio.to_thread(_wait_for_the_end, below)
    assert [pid for pid in below if _alive(pid)] == []
    sandbox.__exit__(None, None, None)


def _wait_for_the_end(pids: list[int]) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and any(_alive(pid) for pid in pids):
        time.sleep(0.05)


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_a_server_whose_parent_is_killed_leaves_nothing() -> None:
    code = (
        "import time\nfrom verl_coder.sandbox.embedded import EmbeddedSandbox\n"
        "s = EmbeddedSandbox()\ns.__enter__()\nprint(s.pid, flush=True)\ntime.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    below = [pid, *processes_below(pid)]
    assert len(below) > 3
    parent.kill()
    parent.wait()
    _wait_for_the_end(below)
    assert [pid for pid in below if _alive(pid)] == []


def test_what_a_terminal_sends_to_the_group_of_its_parent_does_not_end_a_server() -> None:
    code = (
        "import signal, time, urllib.request\n"
        "from verl_coder.sandbox.embedded import EmbeddedSandbox\n"
        "for number in (signal.SIGINT, signal.SIGHUP):\n    signal.signal(number, lambda *_: None)\n"
        "with EmbeddedSandbox(isolation='none', extra=['--unsafe']) as server:\n"
        "    print(server.url, flush=True)\n    input()\n"
        "    print(urllib.request.urlopen(server.url + '/v1/ping', timeout=30).status)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert parent.stdout is not None and parent.stdout.readline().startswith("http://")
    for number in (signal.SIGINT, signal.SIGHUP):
        os.killpg(parent.pid, number)
    time.sleep(0.5)
    assert parent.communicate("\n", timeout=60)[0] == "200\n"


async def test_a_program_that_kills_itself_is_its_own_failure() -> None:
    with EmbeddedSandbox() as sandbox:
        async with SandboxClient(sandbox.url, max_attempts=1) as client:
            for number in (9, 11, 15):
                response = await client.run_code(
                    RunRequest(code=f"import os\nos.kill(os.getpid(), {number})")
                )
                assert response.status == "Failed"
                assert response.run_result is not None and response.run_result.return_code == -number


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_request_that_its_program_never_took_is_not_the_next_ones(
    protected_mode: str, number: signal.Signals
) -> None:
    limit_s = 0.3 if number == signal.SIGSTOP else 10
    with EmbeddedSandbox(isolation=protected_mode, extra=["--workers", "2"]) as sandbox:
        async with SandboxClient(sandbox.url, max_attempts=1) as client:
            for _ in range(3):
                # As on a busy machine, where they get no time before their limit.
                for pid in _of_kind(sandbox.pid, "programs"):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, number)
                request = RunRequest(code="print('held')", run_timeout=limit_s)
                held = [client.run_code(request) for _ in range(2)]
                for response in await asyncio.gather(*held):
                    assert response.run_result is not None
                    if number == signal.SIGSTOP:
                        assert response.run_result.status == "TimeLimitExceeded"
                    else:
                        assert response.run_result.stdout == "held\n"
                await asyncio.gather(*(_one(client, n) for n in range(4)))
