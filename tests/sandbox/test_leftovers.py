"""After hostile programs: the same processes, descriptors, mounts and files as before; and none sees another's."""

import asyncio
import contextlib
import os
from collections import Counter

import pytest
from process_tree import processes_below

from verl_coder.sandbox import RunRequest, SandboxClient
from verl_coder.sandbox.embedded import EmbeddedSandbox

# ruff: noqa: E501 - a table of programs

PROGRAMS = [
    "import os\nwhile True:\n    try:\n        if os.fork() == 0: os.setsid()\n    except OSError: pass",
    "import subprocess, time\nsubprocess.Popen(['sleep', '77'], start_new_session=True)\ntime.sleep(0.05)",
    "print(1)",
    "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(77)\n    os._exit(0)",
    "import os\nfor n in range(200):\n    open(f'f{n}', 'w').close()\nos.makedirs('a/b/c')\nos.chmod('a', 0)\nos.chmod('.', 0)",
    "import os\nos.close(1)\nos.close(2)\nwhile True: pass",
    "import os\nfor pid in (os.getppid(), 1, -1):\n    try:\n        os.kill(pid, 9)\n    except OSError:\n        pass",
    "import os, signal\nos.kill(-1, signal.SIGSTOP)",
    "import os\nfor _ in range(30):\n    if os.fork() == 0: os._exit(0)\nos.mkfifo('p')\nos.open('p', os.O_RDWR)",
    "import socket\ns = socket.socket(socket.AF_UNIX)\ns.bind('sock')\ns.listen()\nimport mmap\nmmap.mmap(-1, 1 << 24)",
    "import os\nfor n in range(40):\n    os.open('.', os.O_RDWR | os.O_TMPFILE)\nos.symlink('/', 'root')\nraise SystemExit(3)",
]


def census(server: int) -> Counter[str]:
    """Processes of a server, their descriptors, the mounts and the files that they see as theirs."""
    count = Counter[str]()
    own = os.stat("/tmp").st_dev
    for pid in (server, *processes_below(server)):
        count["processes"] += 1
        with contextlib.suppress(OSError):
            count["descriptors"] += len(os.listdir(f"/proc/{pid}/fd"))
            with open(f"/proc/{pid}/mounts") as file:
                count["mounts"] += len(file.readlines())
            for home in ("tmp", "box"):
                folder = f"/proc/{pid}/root/{home}"
                if os.path.isdir(folder) and os.stat(folder).st_dev != own:
                    count["files"] += sum(len(names) for _, _, names in os.walk(folder))
    return count


async def test_hostile_programs_leave_nothing(protected_server: EmbeddedSandbox) -> None:
    async def run(rounds: int) -> None:
        async with SandboxClient(protected_server.url, max_attempts=2) as client:
            requests = [
                RunRequest(code=code, run_timeout=0.3, memory_limit_MB=256) for code in PROGRAMS * rounds
            ]
            await asyncio.gather(*map(client.run_code, requests))
        await _settle(protected_server.pid)

    await run(1)
    before = census(protected_server.pid)
    await run(6)
    left = census(protected_server.pid) - before
    for _ in range(50):  # a connection or a slot may still be closing
        if not left:
            break
        await asyncio.sleep(0.1)
        left = census(protected_server.pid) - before
    assert not left
    async with SandboxClient(protected_server.url, max_attempts=1) as client:
        response = await client.run_code(RunRequest(code="import os\nprint(os.listdir('.'))"))
        assert response.run_result is not None and response.run_result.stdout == "['main.py']\n"


async def _settle(server: int) -> None:
    """Until the counts of a whole second are the same: a slot may be dead but not replaced yet, for long on a busy machine."""
    last, same = Counter[str](), 0
    for _ in range(300):
        await asyncio.sleep(0.1)
        now = census(server)
        same = same + 1 if now == last else 0
        if same == 10:
            return
        last = now


async def test_a_program_finds_nothing_of_one_that_runs_beside_it(protected_server: EmbeddedSandbox) -> None:
    async with SandboxClient(protected_server.url, max_attempts=1) as client:
        hide = (
            "import os, time\nopen('secret.txt', 'w').write('THE-' + 'SECRET')\nos.environ['K'] = 'THE-' + 'SECRET'\n"
            "x = 'THE-' + 'SECRET'\ntime.sleep(1.5)"
        )
        look = """
import glob, os
found = []
for pattern in ('/tmp/**/secret.txt', '/box/**/secret.txt', '/proc/*/cwd/secret.txt', '/proc/*/root/tmp/**/secret.txt',
                '/dev/shm/**/secret.txt', '../*/secret.txt', '/proc/*/environ', '/proc/*/cmdline', '/proc/*/mem'):
    for path in glob.glob(pattern, recursive=True):
        if '/self/' in path or f'/{os.getpid()}/' in path or 'thread-self' in path:
            continue
        try:
            with open(path, 'rb') as file:
                data = file.read(1 << 16)
        except OSError:
            continue
        if b'THE-SEC' + b'RET' in data or path.endswith('secret.txt'):
            found.append(path)
print(found)
"""
        hidden = [asyncio.ensure_future(client.run_code(RunRequest(code=hide))) for _ in range(3)]
        await asyncio.sleep(0.3)
        for response in await asyncio.gather(*(client.run_code(RunRequest(code=look)) for _ in range(4))):
            assert response.run_result is not None
            assert (response.run_result.stdout, response.run_result.stderr) == ("[]\n", "")
        ended = await asyncio.gather(*hidden)
        assert [response.run_result for response in ended if response.status != "Success"] == []


ORPHAN = """
import os, time
read, write = os.pipe()
if os.fork() == 0:
    {detach}
    until = time.process_time() + 0.4
    while time.process_time() < until: pass
    os.write(write, b"x")
    time.sleep(60)
os.read(read, 1)
"""


async def test_the_cpu_time_of_processes_that_a_program_leaves_is_its_own(
    protected_server: EmbeddedSandbox,
) -> None:
    async with SandboxClient(protected_server.url, max_attempts=2) as client:
        for detach in ("pass", "os.setsid(); os.fork() == 0 or os._exit(0)"):
            left = (await client.run_code(RunRequest(code=ORPHAN.format(detach=detach)))).run_result
            next_one = (await client.run_code(RunRequest(code="print(1)"))).run_result
            assert left is not None and left.cpu_time is not None and left.cpu_time >= 0.4
            assert next_one is not None and next_one.cpu_time is not None and next_one.cpu_time < 0.3


@pytest.mark.skipif(
    not os.access("/proc/sys/kernel/ns_last_pid", os.W_OK), reason="the counter is read only here"
)
async def test_a_programs_process_id_tells_nothing_of_those_before_it() -> None:
    code = "import os\nprint(os.getpid())\nfor _ in range(5):\n    if os.fork() == 0: os._exit(0)"
    with EmbeddedSandbox(isolation="namespaces", extra=["--workers", "1"]) as sandbox:
        async with SandboxClient(sandbox.url) as client:
            told = [(await client.run_code(RunRequest(code=code))).run_result for _ in range(4)]
    assert len({result.stdout for result in told if result is not None}) == 1
