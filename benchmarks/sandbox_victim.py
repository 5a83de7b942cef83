"""How much a hostile program slows down a victim beside it, and whether the victim's answer stays right.

    python benchmarks/sandbox_victim.py --embedded namespaces --embedded light [--seconds 3]

One JSON line per hostile program: the victim is `print(1+1)` by one caller, measured alone and then beside one
caller who sends the hostile program again and again (1 s of run time, 256 MB), in turns. `ratio` is beside / alone.
"""

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import statistics
import time
from collections.abc import Iterator
from typing import Any

from sandbox import Connection, servers

HOSTILE: dict[str, dict[str, Any]] = {
    "fork bomb": {"code": "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass"},
    "memory bomb": {"code": "x = []\nwhile True: x.append(bytearray(1 << 24))"},
    "memory bomb in children": {
        "code": "import os, time\nfor _ in range(20):\n    if os.fork() == 0:\n        x = bytearray(100 << 20)\n"
        "        time.sleep(9)\ntime.sleep(9)"
    },
    "disk fill": {"code": "f = open('big', 'wb')\nwhile True: f.write(b'z' * (1 << 20))"},
    "inode fill": {"code": "i = 0\nwhile True:\n    open(f'f{i}', 'w').close(); i += 1"},
    "output flood": {"code": "import os\nwhile True: os.write(1, b'y' * 65536)"},
    "infinite loop": {"code": "while True: pass"},
    "loops in 8 threads": {
        "code": "import threading\ndef f():\n    while True: pass\n"
        "for _ in range(8): threading.Thread(target=f).start()"
    },
    "loops in 8 processes": {"code": "import os\nfor _ in range(3): os.fork()\nwhile True: pass"},
    "signals ignored": {
        "code": "import signal\nfor s in (1, 2, 15): signal.signal(s, signal.SIG_IGN)\nwhile True: pass"
    },
    "daemon": {
        "code": "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: time.sleep(77)\n"
        "    os._exit(0)"
    },
    "zombies": {
        "code": "import os, time\nfor _ in range(40):\n    if os.fork() == 0: os._exit(0)\ntime.sleep(0.1)"
    },
    "closed stdout": {"code": "import os, time\nos.close(1); os.close(2)\ntime.sleep(60)"},
    "kills everyone": {
        "code": "import os\nfor pid in (os.getppid(), 1, -1):\n    try: os.kill(pid, 9)\n    except OSError: pass"
    },
    "stops everyone": {"code": "import os, signal\nos.kill(-1, signal.SIGSTOP)"},
    "10 MB of stdin": {"code": "import sys\nprint(len(sys.stdin.read()))", "stdin": "x" * 10_000_000},
    "loopback flood": {
        "code": "import socket\na, b = socket.socketpair()\na.setblocking(False)\nwhile True:\n"
        "    try: a.send(b'x' * 65536)\n    except BlockingIOError: b.recv(1 << 20)"
    },
}
VICTIM = {"language": "python", "code": "print(1+1)", "run_timeout": 20}


async def victim_latencies(url: str, seconds: float) -> tuple[list[float], int]:
    """Milliseconds of each request of one caller, and how many answers were wrong."""
    connection = Connection(url)
    body = json.dumps(VICTIM).encode()
    latencies_ms: list[float] = []
    wrong = 0
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        started = time.monotonic()
        status, content = await connection.post("/run_code", body)
        latencies_ms.append((time.monotonic() - started) * 1000)
        answer = json.loads(content)
        wrong += status != 200 or answer["status"] != "Success" or answer["run_result"]["stdout"] != "2\n"
        await asyncio.sleep(0.005)
    connection.close()
    return latencies_ms, wrong


async def attack(url: str, program: dict[str, Any]) -> None:
    """Send the hostile program again and again."""
    connection = Connection(url)
    limits = {"language": "python", "run_timeout": 1, "memory_limit_MB": 256}
    body = json.dumps({**limits, **program}).encode()
    while True:
        await connection.post("/run_code", body)


@contextlib.contextmanager
def attacker(url: str, program: dict[str, Any]) -> Iterator[None]:
    """A process of its own that attacks: what sending costs must not delay the victim."""
    process = multiprocessing.get_context("fork").Process(target=lambda: asyncio.run(attack(url, program)))
    process.start()
    try:
        yield
    finally:
        process.kill()
        process.join()


def measure(url: str, program: dict[str, Any], seconds: float) -> dict[str, Any]:
    """The victim alone and beside the program, two turns of each."""
    alone: list[float] = []
    beside: list[float] = []
    wrong = 0
    for _ in range(2):
        latencies_ms, missed = asyncio.run(victim_latencies(url, seconds / 2))
        alone += latencies_ms
        wrong += missed
        with attacker(url, program):
            time.sleep(0.1)
            latencies_ms, missed = asyncio.run(victim_latencies(url, seconds / 2))
        beside += latencies_ms
        wrong += missed
        # What the server still runs of it ends with its connection.
        time.sleep(0.3)
    result: dict[str, Any] = {"victims": len(alone) + len(beside), "wrong_answers": wrong}
    for name, values in (("alone", alone), ("beside", beside)):
        cuts = statistics.quantiles(values, n=20)
        result |= {f"{name}_p50_ms": round(cuts[9], 2), f"{name}_p95_ms": round(cuts[18], 2)}
    result["ratio_p50"] = round(result["beside_p50_ms"] / result["alone_p50_ms"], 2)
    result["ratio_p95"] = round(result["beside_p95_ms"] / result["alone_p95_ms"], 2)
    return result


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", action="append", default=[], help="a running server")
    parser.add_argument("--embedded", action="append", default=[], help="namespaces, light, none: start one")
    parser.add_argument("--hostile", default=",".join(HOSTILE), help="names, with commas between")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each program: half of it alone")
    arguments = parser.parse_args()
    if not arguments.url and not arguments.embedded:
        parser.error("give --url or --embedded")
    with servers(arguments.url, arguments.embedded) as (urls, _):
        for name in arguments.hostile.split(","):
            program = HOSTILE[name]
            for server, url in urls.items():
                result = measure(url, program, arguments.seconds)
                print(json.dumps({"hostile": name, "server": server, **result}), flush=True)


if __name__ == "__main__":
    main()
