"""Gradings over several sandboxes, one of them killed (SIGKILL) under load: verdicts lost, wrong, and how long.

    python benchmarks/sandbox_failover.py --gradings 5000 --servers 2
    python benchmarks/sandbox_failover.py --gradings 5000 --servers 2 --restart

The first server is killed after a third of the verdicts; with --restart another one takes its port after two thirds.
Right, wrong, crashing and endless solutions in turn, whose verdict is known. One JSON line.
"""

import argparse
import asyncio
import json
import os
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from urllib.parse import urlsplit

import httpx

from verl_coder.grading import grade
from verl_coder.problems import AssertTests
from verl_coder.sandbox import SandboxClient
from verl_coder.sandbox.embedded import EmbeddedSandbox

SOLUTIONS = {
    "passed": "def solve(n):\n    return n * n + {n}\n",
    "failed": "def solve(n):\n    return n * n + {n} + 1\n",
    "error": "def solve(n):\n    raise KeyError({n})\n",
    "timeout": "def solve(n):\n    while True:\n        n += {n}\n",
}
"""Outcome -> a solution that has it."""
ENDLESS_EVERY = 100


class Load:
    """So many gradings of known outcome, and what becomes of the first server meanwhile."""

    def __init__(
        self, servers: list[EmbeddedSandbox], *, gradings: int, in_flight: int, restart: bool
    ) -> None:
        self._urls = [server.url for server in servers]
        self._victim = servers[0]
        self._gradings, self._in_flight = gradings, in_flight
        self._restart = restart
        self._later = ExitStack()
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.slowest_s = 0.0

    async def run(self) -> dict[str, object]:
        """Grade all; what came of it."""
        numbers = iter(range(self._gradings))
        began = time.perf_counter()
        with self._later:
            async with SandboxClient(self._urls, max_concurrency=self._in_flight) as client:
                await asyncio.gather(*(self._worker(client, numbers) for _ in range(self._in_flight)))
                wall_s = time.perf_counter() - began
                answers = [await _answers(url) for url in self._urls]
        return {
            "gradings": self._gradings,
            "verdicts": sum(self.counts.values()) - self.counts["sandbox_unavailable"],
            "lost": self.counts["sandbox_unavailable"],
            "wrong": len(self.wrong),
            "first_wrong": self.wrong[:3],
            "outcomes": dict(self.counts),
            "wall_s": round(wall_s, 1),
            "slowest_s": round(self.slowest_s, 2),
            "answers_by_server": answers,
        }

    async def _worker(self, client: SandboxClient, numbers: Iterator[int]) -> None:
        for number in numbers:
            outcome = _outcome(number)
            tests = AssertTests(
                tests=(f"assert solve({number}) == {number * number + number}",),
                entry_point="solve",
                timeout_s=1.0 if outcome == "timeout" else 20.0,
            )
            began = time.perf_counter()
            report = await grade(SOLUTIONS[outcome].format(n=number), tests, client)
            self.slowest_s = max(self.slowest_s, time.perf_counter() - began)
            self.counts[report.outcome] += 1
            if report.outcome not in (outcome, "sandbox_unavailable"):
                self.wrong.append(f"{outcome} was graded {report.outcome}: {report.explain()[:200]}")
            await self._change_the_victim(sum(self.counts.values()))

    async def _change_the_victim(self, done: int) -> None:
        if done == self._gradings // 3:
            os.kill(self._victim.pid, signal.SIGKILL)
        elif done == 2 * self._gradings // 3 and self._restart:
            port = urlsplit(self._victim.url).port or 0
            another = EmbeddedSandbox(port=port)
            await asyncio.to_thread(self._later.enter_context, another)


def _outcome(number: int) -> str:
    if number % ENDLESS_EVERY == ENDLESS_EVERY - 1:
        return "timeout"
    return ("passed", "failed", "passed", "error")[number % 4]


async def _answers(url: str) -> int | None:
    """Requests that a server has answered since it started; None of a dead one."""
    try:
        async with httpx.AsyncClient(trust_env=False) as http:
            text = (await http.get(url + "/metrics", timeout=5)).text
    except httpx.HTTPError:
        return None
    return sum(int(float(value)) for value in re.findall(r"^sandbox_requests_total\{.*\} (\S+)$", text, re.M))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gradings", type=int, default=5000)
    parser.add_argument("--servers", type=int, default=2)
    parser.add_argument("--workers", type=int, default=0, help="slots of a server; 0: its default")
    parser.add_argument("--in-flight", type=int, default=32)
    parser.add_argument("--restart", action="store_true")
    options = parser.parse_args()
    with ExitStack() as stack:
        extra = ["--workers", str(options.workers)]
        servers = [stack.enter_context(EmbeddedSandbox(extra=extra)) for _ in range(options.servers)]
        load = Load(servers, gradings=options.gradings, in_flight=options.in_flight, restart=options.restart)
        print(json.dumps(asyncio.run(load.run())))


if __name__ == "__main__":
    main()
