"""Hostile programs end within their limits, leave nothing, and a victim beside them keeps its answer."""

import asyncio
from pathlib import Path

import psutil
import pytest

import verl_coder
from verl_coder.sandbox import RunRequest, SandboxClient
from verl_coder.sandbox.embedded import EmbeddedSandbox

HOSTILE = {
    "fork_bomb": "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass",
    "memory_bomb": "x = []\nwhile True:\n    x.append(bytearray(1 << 24))",
    "memory_bomb_in_children": (
        "import os, time\nfor _ in range(20):\n    if os.fork() == 0:\n        x = bytearray(200 << 20)\n        "
        "time.sleep(20)\ntime.sleep(20)"
    ),
    "inode_fill": "i = 0\nwhile True:\n    open(f'f{i}', 'w').close()\n    i += 1",
    "output_flood": "import os\nwhile True:\n    os.write(1, b'y' * 65536)",
    "infinite_loop": "while True: pass",
    "sigterm_ignored": "import signal\nfor s in (1, 2, 15):\n    signal.signal(s, signal.SIG_IGN)\nwhile True: pass",
    "daemon": (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(77)\n"
        "    os._exit(0)"
    ),
    "zombies": "import os, time\nfor _ in range(40):\n    if os.fork() == 0:\n        os._exit(0)\ntime.sleep(0.1)",
    "closed_stdout": "import os, time\nos.close(1)\nos.close(2)\ntime.sleep(60)",
    "threads_outlive_main": "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()",
    "kill_everyone": (
        "import os\nfor pid in (os.getppid(), 1, -1):\n    try:\n        os.kill(pid, 9)\n"
        "    except OSError:\n        pass"
    ),
    "stop_everyone": "import os, signal\nos.kill(-1, signal.SIGSTOP)",
    "deep_recursion": "import sys\nsys.setrecursionlimit(10**9)\ndef f(): f()\nf()",
}
DENIED = {
    "ptrace": "import ctypes\nassert ctypes.CDLL(None).ptrace(0, 0, 0, 0) == -1",
    "mount": "import ctypes\nassert ctypes.CDLL(None).mount(b'none', b'/tmp', b'tmpfs', 0, None) == -1",
    "user_namespace": "import ctypes\nassert ctypes.CDLL(None).unshare(0x10000000) == -1",
    "raise_own_limit": (
        "import resource\ntry:\n    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)\n"
        "except ValueError:\n    pass\nelse:\n    raise SystemExit('raised')"
    ),
    "internet": (
        "import socket\ntry:\n    socket.create_connection(('1.1.1.1', 53), timeout=2)\n"
        "except OSError:\n    pass\nelse:\n    raise SystemExit('connected')"
    ),
    "host_files": (
        f"import os, sys\nneeded = [sys.prefix, sys.base_prefix, {str(Path(verl_coder.__file__).parent)!r}]\n"
        "needed += [os.path.realpath(place) for place in needed]\n"
        "def look(path):\n"
        "    if path in needed:\n        return\n"
        "    try:\n        found = os.listdir(path) if os.path.isdir(path) else open(path).read(1)\n"
        "    except OSError:\n        return\n"
        "    assert isinstance(found, list), path\n"
        "    for name in found:\n"
        "        inner = os.path.join(path, name)\n"
        "        assert any((place + '/').startswith(inner + '/') for place in needed), inner\n"
        "        look(inner)\n"
        "for path in ('/etc/shadow', '/root', '/home', '/work', '/proc/1/mem', '/proc/1/environ'):\n    look(path)"
    ),
    "write_system": (
        "try:\n    open('/usr/evil', 'w')\nexcept OSError:\n    pass\nelse:\n    raise SystemExit('written')"
    ),
    "raw_device": "import os\nassert not os.path.exists('/dev/vda') or not os.access('/dev/vda', os.R_OK)",
    "environment": "import os\nassert 'VERL_TEST_SECRET' not in os.environ",
    "files_in_memory": (
        "import ctypes, os\nassert ctypes.CDLL(None).syscall(447, 0) == -1\ntry:\n    os.memfd_create('x')\n"
        "except OSError:\n    pass\nelse:\n    raise SystemExit('made')"
    ),
    "a_longer_stdin": (
        "import os\ntry:\n    os.write(os.open('/proc/self/fd/0', os.O_RDWR), b'longer')\n"
        "except OSError:\n    pass\nelse:\n    raise SystemExit('written')"
    ),
    "no_new_privileges": "import ctypes\nassert ctypes.CDLL(None).prctl(39, 0, 0, 0, 0) == 1",
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_it_ends_and_the_victim_is_unharmed(protected_server: EmbeddedSandbox, name: str) -> None:
    async with SandboxClient(protected_server.url, max_attempts=1) as client:
        request = RunRequest(code=HOSTILE[name], run_timeout=0.6, memory_limit_MB=256)
        hostile = asyncio.ensure_future(client.run_code(request))
        for number in range(3):
            victim = await client.run_code(RunRequest(code=f"print({number})", run_timeout=20))
            assert victim.run_result is not None and victim.run_result.stdout == f"{number}\n"
        response = await asyncio.wait_for(hostile, 15)
        assert response.run_result is not None and response.run_result.status in (
            "Finished",
            "TimeLimitExceeded",
        )


SHARED_MEMORY = {
    "maps_of_processes_that_hide": (
        "import ctypes, mmap, os, time\nctypes.CDLL(None).prctl(4, 0, 0, 0, 0)\nfor n in range(7):\n"
        "    if os.fork() == 0:\n        m = mmap.mmap(-1, 40 << 20)\n        m.write(b'x' * (40 << 20))\n"
        "        time.sleep(5)\n        os._exit(0)\ntime.sleep(5)"
    ),
    "of_threads_whose_process_lost_its_first": (
        "import ctypes, os, threading, time\nfor n in range(7):\n    if os.fork() == 0:\n"
        "        threading.Thread(target=lambda: (x := b'x' * (40 << 20), time.sleep(5))).start()\n"
        "        ctypes.CDLL(None).syscall(60 if os.uname().machine == 'x86_64' else 93, 0)\ntime.sleep(5)"
    ),
    "maps_of_each_child": (
        "import mmap, os, time\nfor n in range(7):\n    if os.fork() == 0:\n        m = mmap.mmap(-1, 40 << 20)\n"
        "        m.write(b'x' * (40 << 20))\n        time.sleep(5)\n        os._exit(0)\ntime.sleep(5)"
    ),
    "maps_shared_with_children": (
        "import mmap, os, time\nfor n in range(4):\n    m = mmap.mmap(-1, 60 << 20)\n    m.write(b'x' * (60 << 20))\n"
        "    if os.fork(): break\ntime.sleep(5)"
    ),
}


@pytest.mark.parametrize("name", SHARED_MEMORY)
async def test_memory_that_is_shared_counts(protected_server: EmbeddedSandbox, name: str) -> None:
    async with SandboxClient(protected_server.url, max_attempts=1) as client:
        request = RunRequest(code=SHARED_MEMORY[name], run_timeout=8, memory_limit_MB=128)
        result = (await client.run_code(request)).run_result
        assert result is not None and "memory limit" in (result.stderr or ""), result


async def test_memory_that_many_processes_share_counts_once(protected_server: EmbeddedSandbox) -> None:
    code = (
        "import mmap, os, time\nm = mmap.mmap(-1, 50 << 20)\nm.write(b'x' * (50 << 20))\nfor n in range(6):\n"
        "    if os.fork() == 0:\n        sum(m[::4096])\n        time.sleep(0.5)\n        os._exit(0)\n"
        "for n in range(6): os.wait()\nprint('whole')"
    )
    async with SandboxClient(protected_server.url, max_attempts=1) as client:
        response = await client.run_code(RunRequest(code=code, run_timeout=20, memory_limit_MB=256))
        assert response.run_result is not None and response.run_result.stdout == "whole\n", response


@pytest.mark.parametrize("name", DENIED)
async def test_it_is_denied(protected_server: EmbeddedSandbox, name: str) -> None:
    async with SandboxClient(protected_server.url, max_attempts=1) as client:
        response = await client.run_code(RunRequest(code=DENIED[name], stdin="in"))
        assert response.status == "Success", response.run_result


async def test_nothing_stays_of_a_program_for_the_next(server: EmbeddedSandbox) -> None:
    async with SandboxClient(server.url, max_attempts=1) as client:
        leave = (
            "import os, socket, time\nopen('secret', 'w').write('s')\nopen('/dev/shm/x', 'w').write('s')\n"
            "s = socket.create_server(('127.0.0.1', 5555))\nc = socket.create_connection(('127.0.0.1', 5555))\n"
            "if os.fork() == 0:\n    time.sleep(50)"
        )
        look = (
            "import os, socket\nassert os.listdir('.') == ['main.py'], os.listdir('.')\n"
            "assert 'secret' not in os.listdir('/tmp') and 'x' not in os.listdir('/dev/shm')\n"
            "mine = {str(os.getpid()), '1'}\nassert {n for n in os.listdir('/proc') if n.isdigit()} <= mine\n"
            "socket.create_server(('127.0.0.1', 5555)).close()"
        )
        for _ in range(12):
            await client.run_code(RunRequest(code=leave))
        for response in await asyncio.gather(*(client.run_code(RunRequest(code=look)) for _ in range(24))):
            assert response.status == "Success", response.run_result


async def test_a_disk_fill_stops_at_the_tmpfs(server: EmbeddedSandbox) -> None:
    async with SandboxClient(server.url, max_attempts=1) as client:
        code = "f = open('big', 'wb')\nwhile True:\n    f.write(b'z' * (1 << 20))"
        response = await client.run_code(RunRequest(code=code, run_timeout=10))
        assert response.run_result is not None and response.run_result.status == "Finished"
        assert response.run_result.return_code != 0


def test_a_stopped_server_leaves_no_process() -> None:
    with EmbeddedSandbox() as sandbox:
        server = psutil.Process(sandbox.pid)
        below = server.children(recursive=True)
        assert len(below) > 3
    assert not server.is_running()
    _, left = psutil.wait_procs(below, timeout=5)  # init may still have to collect them
    assert left == []
