"""Solutions graded per second, for one commit against another: run it in turns with each one's `src` on PYTHONPATH.

    PYTHONPATH=/path/to/old/src python benchmarks/grading_rate.py --seconds 1
    PYTHONPATH=/path/to/new/src python benchmarks/grading_rate.py --seconds 1

A right solution of each style with 1, 10 and 50 tests, 8 in flight, on the embedded server. One JSON line: by style and
tests, solutions/s and the milliseconds of processor time that one solution takes in all processes together, which
other work on the machine changes less.
"""

import argparse
import asyncio
import contextlib
import json
import time

import psutil

from verl_coder.grading import grade
from verl_coder.problems import (
    AssertTests,
    CheckTests,
    FunctionCase,
    FunctionTests,
    PytestTests,
    StdioCase,
    StdioTests,
    TestSuite,
)
from verl_coder.sandbox import SandboxClient
from verl_coder.sandbox.embedded import EmbeddedSandbox

IN_FLIGHT = 8
COUNTS = (1, 10, 50)
FUNCTION = "def solve(xs):\n    return sum(x * x for x in xs) + 7\n"
PROGRAM = "xs = list(map(int, input().split()))\nprint(sum(x * x for x in xs) + 7)\n"


def _cases(count: int) -> list[tuple[list[int], int]]:
    return [([n, n + 1, n + 2], 3 * n * n + 6 * n + 5 + 7) for n in range(count)]


def suites(count: int) -> dict[str, tuple[str, TestSuite]]:
    """By style: a right solution and its tests."""
    cases = _cases(count)
    asserts = [f"assert solve({xs}) == {value}" for xs, value in cases]
    functions = "".join(f"def test_{n}():\n    {text}\n" for n, text in enumerate(asserts))
    plain = "from solution import solve\n" + functions
    calls = tuple(FunctionCase(args=(xs,), expected=value) for xs, value in cases)
    runs = tuple(StdioCase(input=" ".join(map(str, xs)), output=str(value)) for xs, value in cases)
    variables = tuple(f"a = {xs}\nassert solve(a) == {value} and a" for xs, value in cases)
    body = "".join(f"    {text.replace('solve', 'candidate')}\n" for text in asserts)
    return {
        "function": (FUNCTION, FunctionTests(entry_point="solve", tests=calls)),
        "stdio": (PROGRAM, StdioTests(tests=runs)),
        "assert": (FUNCTION, AssertTests(tests=tuple(asserts), entry_point="solve")),
        "assert with variables": (FUNCTION, AssertTests(tests=variables, entry_point="solve")),
        "check": (FUNCTION, CheckTests(entry_point="solve", check="def check(candidate):\n" + body)),
        "pytest, functions only": (FUNCTION, PytestTests(test=plain)),
        "pytest": (FUNCTION, PytestTests(test="import pytest\n" + plain)),
    }


def processor_s() -> float:
    """Processor time of this process, of all below it, and of their children that have ended."""
    this = psutil.Process()
    times = [this.cpu_times()]
    for process in this.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            times.append(process.cpu_times())
    return sum(t.user + t.system + t.children_user + t.children_system for t in times)


async def rate(client: SandboxClient, code: str, tests: TestSuite, seconds: float) -> tuple[float, float]:
    """Solutions graded per second, processor time of one in ms; RuntimeError where one does not pass."""
    done, used_s, began = 0, processor_s(), time.perf_counter()

    async def one() -> None:
        nonlocal done
        while time.perf_counter() < began + seconds:
            report = await grade(code, tests, client)
            if report.outcome != "passed":
                raise RuntimeError(report.explain())
            done += 1

    await asyncio.gather(*(one() for _ in range(IN_FLIGHT)))
    wall_s = time.perf_counter() - began
    return round(done / wall_s, 1), round(1000 * (processor_s() - used_s) / done, 1)


async def measure(url: str, seconds: float) -> dict[str, tuple[float, float]]:
    """Rates and processor times by style and number of tests."""
    rates = {}
    async with SandboxClient(url) as client:
        for count in COUNTS:
            for style, (code, tests) in suites(count).items():
                await grade(code, tests, client)
                rates[f"{style}, {count}"] = await rate(client, code, tests, seconds)
    return rates


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=1.0)
    options = parser.parse_args()
    with EmbeddedSandbox() as sandbox:
        print(json.dumps(asyncio.run(measure(sandbox.url, options.seconds))))


if __name__ == "__main__":
    main()
