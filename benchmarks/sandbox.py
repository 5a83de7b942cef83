"""Requests per second and latency of sandbox servers, and a soak that counts what is left.

    python benchmarks/sandbox.py --url http://127.0.0.1:8080 [--url http://127.0.0.1:8081]
    python benchmarks/sandbox.py --embedded namespaces --embedded light      # starts the servers itself
    python benchmarks/sandbox.py --embedded namespaces --embedded light --soak 10000

One JSON line per measurement; of two servers the measurements are interleaved and the ratio (first / second)
is printed. Each concurrent caller keeps one connection open. `server_cpu_ms` is the CPU time of an embedded
server and its programs for one request, which says on a busy machine what the rate of an idle one would be.
"""

import argparse
import asyncio
import contextlib
import json
import random
import statistics
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from census import census, cpu_seconds

from verl_coder.sandbox.embedded import EmbeddedSandbox

PROGRAMS: dict[str, dict[str, Any]] = {
    "print": {"code": "print(1+1)"},
    "20ms": {
        "code": "import time\nend = time.process_time() + 0.02\nwhile time.process_time() < end: pass\nprint(1)"
    },
    "1MB": {"code": "import sys\nsys.stdout.write('x' * 1_000_000)"},
    "stdin": {"code": "import sys\nprint(len(sys.stdin.read()))", "stdin": "line of input\n" * 2000},
}
EXPECTED_BYTES = {"print": 2, "20ms": 2, "1MB": 1_000_000, "stdin": 6}
SOAK_PROGRAMS: list[tuple[str, dict[str, Any]]] = [
    ("print", {"code": "print(1+1)"}),
    ("print", {"code": "import numpy; print(int(numpy.arange(10).sum()) - 43)"}),
    ("any", {"code": "raise SystemExit(3)"}),
    ("any", {"code": "echo hi > a; sleep 100 & disown", "language": "bash"}),
    (
        "any",
        {"code": "import os\nfor _ in range(500):\n    try:\n        os.fork()\n    except OSError: pass"},
    ),
    ("any", {"code": "x = bytearray(8 << 30)"}),
    ("any", {"code": "import sys\nwhile True: sys.stdout.write('y' * 65536)"}),
    ("any", {"code": "while True: pass"}),
    ("any", {"code": "import signal, time\nsignal.signal(15, signal.SIG_IGN)\ntime.sleep(50)"}),
    ("any", {"code": "f = open('big', 'wb')\nwhile True: f.write(b'z' * (1 << 20))"}),
    ("any", {"code": "i = 0\nwhile True:\n    open(f'f{i}', 'w').close(); i += 1"}),
    (
        "any",
        {
            "code": "import os\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        while True: pass"
        },
    ),
    ("any", {"code": "import os\nos.close(1); os.close(2)\nwhile True: pass"}),
    ("any", {"code": "import os\nos.kill(os.getppid(), 9); os.kill(-1, 9)"}),
    ("any", {"code": "import threading, time\nthreading.Thread(target=time.sleep, args=(30,)).start()"}),
]
SOAK_WEIGHTS = [100, 40, 20, 4, *[1] * 11]


class Connection:
    """One keep-alive connection that posts JSON."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def post(self, path: str, content: bytes) -> tuple[int, bytes]:
        """Status and body of the answer."""
        if self._writer is None or self._reader is None:
            self._reader, self._writer = await asyncio.open_connection(self._host, self._port, limit=1 << 24)
        head = (
            f"POST {path} HTTP/1.1\r\nhost: {self._host}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(content)}\r\n\r\n"
        )
        self._writer.write(head.encode() + content)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        status = int(answer.split(b" ", 2)[1])
        for line in answer.lower().split(b"\r\n"):
            if line.startswith(b"content-length:"):
                return status, await self._reader.readexactly(int(line.split(b":")[1]))
        raise ValueError("an answer without content-length")

    def close(self) -> None:
        """Close the connection."""
        if self._writer is not None:
            self._writer.close()


async def measure(url: str, program: str, concurrency: int, seconds: float) -> dict[str, Any]:
    """Load one server for a while; every answer is checked."""
    body = json.dumps({"language": "python", "run_timeout": 20, **PROGRAMS[program]}).encode()
    latencies_ms: list[float] = []
    failures = 0
    deadline = time.monotonic() + seconds

    async def caller() -> None:
        nonlocal failures
        connection = Connection(url)
        while time.monotonic() < deadline:
            started = time.monotonic()
            status, content = await connection.post("/run_code", body)
            latencies_ms.append((time.monotonic() - started) * 1000)
            answer = json.loads(content)
            good = status == 200 and answer["status"] == "Success"
            failures += not good or len(answer["run_result"]["stdout"]) != EXPECTED_BYTES[program]
        connection.close()

    started = time.monotonic()
    await asyncio.gather(*(caller() for _ in range(concurrency)))
    wall_s = time.monotonic() - started
    cuts = statistics.quantiles(latencies_ms, n=100) if len(latencies_ms) > 1 else latencies_ms * 99
    return {
        "requests_per_s": round(len(latencies_ms) / wall_s, 1),
        "p50_ms": round(cuts[49], 2),
        "p95_ms": round(cuts[94], 2),
        "p99_ms": round(cuts[98], 2),
        "requests": len(latencies_ms),
        "failures": failures,
    }


async def compare(
    urls: dict[str, str], pids: dict[str, int], concurrencies: list[int], seconds: float, rounds: int
) -> None:
    """All programs and concurrencies; servers take turns."""
    for program in PROGRAMS:
        for concurrency in concurrencies:
            results: dict[str, list[dict[str, Any]]] = {name: [] for name in urls}
            for _ in range(rounds):
                for name, url in urls.items():
                    before = cpu_seconds(pids[name]) if name in pids else 0.0
                    result = await measure(url, program, concurrency, seconds / rounds)
                    used_s = cpu_seconds(pids[name]) - before if name in pids else 0.0
                    result["server_cpu_ms"] = 1000 * used_s / max(1, result["requests"])
                    results[name].append(result)
            rates = []
            for name, parts in results.items():
                best = {
                    key: round(statistics.median(part[key] for part in parts), 2)
                    for key in ("requests_per_s", "p50_ms", "p95_ms", "p99_ms", "server_cpu_ms")
                }
                best |= {key: sum(part[key] for part in parts) for key in ("requests", "failures")}
                rates.append(best["requests_per_s"])
                print(
                    json.dumps({"server": name, "program": program, "concurrency": concurrency, **best}),
                    flush=True,
                )
            if len(rates) == 2:
                ratio = round(rates[0] / rates[1], 2)
                print(
                    json.dumps({"program": program, "concurrency": concurrency, "ratio": ratio}), flush=True
                )


async def soak(name: str, url: str, pid: int, count: int, concurrency: int) -> None:
    """Mixed programs, hostile ones among them; then counts before and after."""
    chooser = random.Random(0)
    plan = chooser.choices(SOAK_PROGRAMS, SOAK_WEIGHTS, k=count)
    connections = [Connection(url) for _ in range(concurrency)]
    wrong: list[str] = []
    latencies_ms: list[float] = []

    async def caller(connection: Connection) -> None:
        while plan:
            kind, program = plan.pop()
            body = json.dumps(
                {"language": "python", "run_timeout": 1, "memory_limit_MB": 256, **program}
            ).encode()
            started = time.monotonic()
            status, content = await connection.post("/run_code", body)
            answer = json.loads(content)
            if kind == "print":
                latencies_ms.append((time.monotonic() - started) * 1000)
                expected = (
                    status == 200
                    and answer["status"] == "Success"
                    and answer["run_result"]["stdout"] == "2\n"
                )
            else:
                expected = status == 200 and answer["status"] != "SandboxError"
            if not expected:
                wrong.append(f"{program['code'][:40]}: {status} {str(answer)[:200]}")

    warm, plan = plan[:200], plan[200:]
    plan, rest = warm, plan
    await asyncio.gather(*map(caller, connections))
    await asyncio.sleep(1)
    before = census(pid)
    plan = rest
    started = time.monotonic()
    await asyncio.gather(*map(caller, connections))
    wall_s = time.monotonic() - started
    await asyncio.sleep(2)
    after = census(pid)
    cuts = statistics.quantiles(latencies_ms, n=100)
    print(
        json.dumps(
            {
                "server": name,
                "soak": count,
                "wall_s": round(wall_s, 1),
                "wrong_answers": len(wrong),
                "first_wrong": wrong[:3],
                "victim_p50_ms": round(cuts[49], 1),
                "victim_p95_ms": round(cuts[94], 1),
                "before": before,
                "after": after,
            }
        ),
        flush=True,
    )
    for connection in connections:
        connection.close()


@contextlib.contextmanager
def servers(urls: list[str], embedded: list[str]) -> Iterator[tuple[dict[str, str], dict[str, int]]]:
    """Name -> URL of all servers, name -> process id of the embedded ones."""
    with contextlib.ExitStack() as stack:
        found = {url: url for url in urls}
        pids: dict[str, int] = {}
        for isolation in embedded:
            extra = ["--unsafe"] if isolation == "none" else []
            sandbox = stack.enter_context(EmbeddedSandbox(isolation=isolation, extra=extra))
            found[isolation] = sandbox.url
            pids[isolation] = sandbox.pid
        yield found, pids


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--url", action="append", default=[], help="a running server; once or twice")
    parser.add_argument("--embedded", action="append", default=[], help="namespaces, light, none: start one")
    parser.add_argument("--concurrency", default="1,8,32")
    parser.add_argument("--seconds", type=float, default=4.0, help="of load for each measurement")
    parser.add_argument("--rounds", type=int, default=2, help="turns that the servers take")
    parser.add_argument("--programs", default=",".join(PROGRAMS))
    parser.add_argument("--soak", type=int, default=0, help="number of programs; needs --embedded")
    arguments = parser.parse_args()
    if not arguments.url and not arguments.embedded:
        parser.error("give --url or --embedded")
    for name in set(PROGRAMS) - set(arguments.programs.split(",")):
        del PROGRAMS[name]
    with servers(arguments.url, arguments.embedded) as (urls, pids):
        if arguments.soak:
            if not pids:
                parser.error("--soak needs --embedded: it counts the server's processes")
            for name, pid in pids.items():
                asyncio.run(soak(name, urls[name], pid, arguments.soak, 16))
            return
        concurrencies = [int(part) for part in arguments.concurrency.split(",")]
        asyncio.run(compare(urls, pids, concurrencies, arguments.seconds, arguments.rounds))


if __name__ == "__main__":
    main()
