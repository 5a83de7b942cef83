"""Sessions of the embedded sandbox: how long they take to begin, how long a call takes, how much memory many hold.

    python benchmarks/sessions.py --many 500 [--jupyter PYTHON]

Beside it the same calls by replay, as tools without a live process have it: every call runs all the code before it;
with --jupyter, the interpreter of an environment with ipykernel, also by a Jupyter kernel (jupyter_kernel.py).
JSON lines: milliseconds (medians), MB of proportional set size of the server and all below it.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil

from verl_coder.sandbox import RunRequest, SandboxClient
from verl_coder.sandbox.embedded import EmbeddedSandbox

CALLS = 20
PAUSE_S = 0.05
KERNELS = 10
"""Of a Jupyter kernel, held at once; each is a process of its own that shares nothing."""


async def _ms(work: Callable[[], Awaitable[object]]) -> float:
    began = time.perf_counter()
    await work()
    return 1000 * (time.perf_counter() - began)


def memory_mb(pid: int) -> float:
    """Proportional set size of a process and of all below it."""
    server = psutil.Process(pid)
    total = 0
    for process in [server, *server.children(recursive=True)]:
        try:
            total += process.memory_full_info().pss
        except psutil.Error:
            continue
    return round(total / (1 << 20), 1)


async def latencies(client: SandboxClient, rounds: int) -> dict[str, float]:
    """Begin a session, `CALLS` calls in it, its end; and the same calls by replay."""
    begin: list[float] = []
    call: list[float] = []
    end: list[float] = []
    replay: list[float] = []
    await (await client.open_session(kind="python")).close()
    for _ in range(rounds):
        await asyncio.sleep(PAUSE_S)
        began = time.perf_counter()
        session = await client.open_session(kind="python")
        begin.append(1000 * (time.perf_counter() - began))
        await session.run("x = 0")
        code = "x = 0\n"
        for _ in range(CALLS):
            call.append(await _ms(lambda: session.run("x += 1")))  # noqa: B023
        for _ in range(CALLS):
            code += "x += 1\n"
            replay.append(await _ms(lambda: client.run_code(RunRequest(code=code))))  # noqa: B023
        end.append(await _ms(session.close))
    return {
        name: round(statistics.median(values), 2)
        for name, values in (("begin_ms", begin), ("call_ms", call), ("replay_ms", replay), ("end_ms", end))
    }


async def many(client: SandboxClient, pid: int, count: int) -> dict[str, float]:
    """Hold `count` sessions, each with a list of its own, and use each once."""
    before = memory_mb(pid)
    began = time.perf_counter()
    sessions = [await client.open_session(kind="python", idle_timeout=600) for _ in range(count)]
    opened_s = time.perf_counter() - began
    for number, session in enumerate(sessions):
        await session.run(f"kept = list(range({number}))")
    held = memory_mb(pid)
    answers = [await session.run("len(kept)") for session in sessions]
    assert [int(answer["result"]) for answer in answers] == list(range(count))
    for session in sessions:
        await session.close()
    return {
        "many": count,
        "begin_all_s": round(opened_s, 1),
        "idle_server_mb": before,
        "held_mb": held,
        "mb_each": round((held - before) / count, 2),
        "after_mb": memory_mb(pid),
    }


async def measure(url: str, pid: int, rounds: int, count: int) -> dict[str, float]:
    """All of it on one server."""
    async with SandboxClient(url) as client:
        result = await latencies(client, rounds)
        return {**result, **(await many(client, pid, count) if count else {})}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--many", type=int, default=0)
    parser.add_argument("--jupyter", type=Path, help="Python of an environment with ipykernel.")
    options = parser.parse_args()
    with EmbeddedSandbox(extra=["--max-sessions", str(max(options.many, 64))]) as sandbox:
        print(json.dumps(asyncio.run(measure(sandbox.url, sandbox.pid, options.rounds, options.many))))
    if options.jupyter:
        script = Path(__file__).with_name("jupyter_kernel.py")
        peer = [options.jupyter, script, "--rounds", options.rounds, "--calls", CALLS, "--many", KERNELS]
        subprocess.run([str(word) for word in peer], check=True, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    main()
