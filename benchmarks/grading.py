"""Solutions graded per second, by style and number of tests, beside verl's own scorers in the same run.

    python benchmarks/grading.py [--seconds 2] [--tests 1,10,50,100] [--url http://127.0.0.1:8080]

One JSON line per measurement: ours over the embedded server (or --url), verl's `sandbox_fusion` over the same
server, verl's `prime_code` in its own processes. `ratio` is ours over that alternative, both measured
alternately within the same seconds. `--verdicts` prints where the verdicts differ on a list of programs.
"""

import argparse
import asyncio
import contextlib
import io
import json
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

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
"""Solutions graded at the same time, by every scorer."""
FUNCTION = "def solve(xs):\n    return sum(x * x for x in xs) + 7\n"
PROGRAM = "xs = list(map(int, input().split()))\nprint(sum(x * x for x in xs) + 7)\n"

PROGRAMS: dict[str, tuple[str, bool]] = {
    "right": (FUNCTION, True),
    "wrong": (FUNCTION.replace("+ 7", "+ 8"), False),
    "right, prints a debug line": (FUNCTION.replace("return", "print(xs); return"), True),
    "right, as a tuple": ("def solve(xs):\n    return (sum(x * x for x in xs) + 7,)\n", True),
    "right, as a float": (FUNCTION.replace("+ 7", "+ 7.0"), True),
    "right, leaves a main guard": (FUNCTION + "if __name__ == '__main__':\n    print(solve([1]))\n", True),
    "os._exit(0)": ("import os\nos._exit(0)\n" + FUNCTION, False),
    "sys.exit(0) in the call": ("import sys\ndef solve(xs):\n    sys.exit(0)\n", False),
    "__eq__ always true": (
        "class Yes(int):\n    def __eq__(self, other): return True\ndef solve(xs):\n    return Yes()\n",
        False,
    ),
    "__class__ of an int": (
        "class Yes:\n    __class__ = int\n    def __eq__(self, other): return True\ndef solve(xs):\n    return Yes()\n",
        False,
    ),
    "patched builtins": (
        "import builtins, json\njson.dumps = lambda *a, **k: 'true'\nbuiltins.print = lambda *a, **k: None\n"
        "def solve(xs):\n    return 0\n",
        False,
    ),
    "raises StopIteration": ("def solve(xs):\n    raise StopIteration\n", False),
    "atexit": (
        "import atexit, os\natexit.register(os._exit, 0)\ndef solve(xs):\n    raise SystemExit\n",
        False,
    ),
}
"""For --verdicts: source and whether it should get full marks."""


def inputs(count: int) -> list[list[int]]:
    """Arguments of `count` tests."""
    return [[(7 * i + j * j) % 50 for j in range(5)] for i in range(count)]


def answer(xs: list[int]) -> int:
    """What the problem asks for."""
    return sum(x * x for x in xs) + 7


def suites(count: int) -> dict[str, tuple[str, TestSuite]]:
    """Style -> right solution and suite of `count` tests."""
    cases = [(xs, answer(xs)) for xs in inputs(count)]
    asserts = [f"assert solve({xs}) == {right}" for xs, right in cases]
    check = "def check(candidate):\n" + "".join(
        f"    assert candidate(xs = {xs}) == {r}\n" for xs, r in cases
    )
    functions = "".join(f"def test_{i}():\n    {line}\n" for i, line in enumerate(asserts))
    stdio = tuple(StdioCase(input=" ".join(map(str, xs)), output=str(right)) for xs, right in cases)
    calls = tuple(FunctionCase(args=(xs,), expected=right) for xs, right in cases)
    return {
        "function": (FUNCTION, FunctionTests(entry_point="solve", tests=calls)),
        "assert": (FUNCTION, AssertTests(entry_point="solve", tests=tuple(asserts))),
        "check": (FUNCTION, CheckTests(entry_point="solve", check=check)),
        "pytest": (FUNCTION, PytestTests(test="from solution import solve\n" + functions)),
        "stdio": (PROGRAM, StdioTests(tests=stdio)),
    }


def verl_cases(style: str, count: int) -> dict[str, Any]:
    """The same tests in the format of verl's scorers."""
    lists = inputs(count)
    if style == "function":
        texts = [json.dumps(xs) for xs in lists]
        return {"fn_name": "solve", "inputs": texts, "outputs": [json.dumps(answer(xs)) for xs in lists]}
    return {"inputs": [" ".join(map(str, xs)) for xs in lists], "outputs": [str(answer(xs)) for xs in lists]}


def answers_in_lists(suite: FunctionTests, cases: dict[str, Any]) -> tuple[FunctionTests, dict[str, Any]]:
    """The same problem with its answer in a list of one."""
    tests = tuple(replace(case, expected=[case.expected]) for case in suite.tests)
    outputs = [json.dumps([json.loads(text)]) for text in cases["outputs"]]
    return replace(suite, tests=tests), {**cases, "outputs": outputs}


class Bench:
    """Scorers over one server: `ours` is asynchronous, verl's two are called from threads."""

    def __init__(self, url: str, seconds: float) -> None:
        self.url = url
        self.seconds = seconds
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.client = SandboxClient(url)

    def ours(self, code: str, suite: TestSuite) -> bool:
        report = asyncio.run_coroutine_threadsafe(grade(code, suite, self.client), self.loop).result()
        return report.outcome == "passed"

    def sandbox_fusion(self, code: str, cases: dict[str, Any]) -> bool:
        from verl.utils.reward_score import sandbox_fusion

        score, _ = sandbox_fusion.compute_score(
            f"{self.url}/run_code", None, 1024, f"```python\n{code}```", dict(cases)
        )
        return score == 1.0

    def prime_code(self, code: str, cases: dict[str, Any]) -> bool:
        from verl.utils.reward_score import prime_code

        copied = {key: list(value) if isinstance(value, list) else value for key, value in cases.items()}
        try:
            success, _ = prime_code.compute_score(f"```python\n{code}```", copied)
        except UnboundLocalError:
            # verl 0.9.1 raises it (`metadata_list`) for every wrong solution unless continuous=True.
            return False
        return success is True

    def rate(self, work: Callable[[], bool]) -> float:
        """Calls of `work` per second, IN_FLIGHT at a time."""
        done: list[bool] = []
        deadline = time.perf_counter() + self.seconds

        def caller() -> None:
            while time.perf_counter() < deadline:
                done.append(work())

        start = time.perf_counter()
        with ThreadPoolExecutor(IN_FLIGHT) as pool:
            for future in [pool.submit(caller) for _ in range(IN_FLIGHT)]:
                future.result()
        if not all(done):
            raise SystemExit(f"{done.count(False)} of {len(done)} right solutions did not pass")
        return len(done) / (time.perf_counter() - start)

    def measure(self, style: str, count: int, rounds: int) -> Iterator[dict[str, Any]]:
        """Lines of one style and number of tests; the scorers take turns."""
        code, suite = suites(count)[style]
        works: dict[str, Callable[[], bool]] = {"ours": lambda: self.ours(code, suite)}
        if style in ("function", "stdio"):
            cases = verl_cases(style, count)
            works["verl_sandbox_fusion"] = lambda: self.sandbox_fusion(code, cases)
            works["verl_prime_code"] = lambda: self.prime_code(code, cases)
        rates: dict[str, list[float]] = {name: [] for name in works}
        works["ours"]()
        for _ in range(rounds):
            for name, work in works.items():
                with quiet():
                    rates[name].append(self.rate(work))
        ours = statistics.median(rates["ours"])
        for name, values in rates.items():
            value = statistics.median(values)
            yield {
                "style": style,
                "tests": count,
                "scorer": name,
                "solutions_per_s": round(value, 2),
                "ratio": round(ours / value, 2),
            }

    def verdicts(self) -> Iterator[dict[str, Any]]:
        """Programs on which a scorer is wrong."""
        suite = suites(3)["function"][1]
        assert isinstance(suite, FunctionTests)
        cases = verl_cases("function", 3)
        asserts = {"assert_case": [f"assert solve({xs}) == {answer(xs)}" for xs in inputs(3)]}
        for name, (code, right) in PROGRAMS.items():
            in_list = "tuple" in name
            suite_of, cases_of = answers_in_lists(suite, cases) if in_list else (suite, cases)
            with quiet():
                given = {
                    "ours": self.ours(code, suite_of),
                    "verl_sandbox_fusion": self.sandbox_fusion(code, cases_of),
                    # An assert says itself that a tuple is no list.
                    "verl_sandbox_fusion_assert_case": in_list or self.sandbox_fusion(code, asserts),
                    "verl_prime_code": self.prime_code(code, cases_of),
                }
            wrong = [scorer for scorer, passed in given.items() if passed != right]
            yield {"program": name, "should_pass": right, **given, "wrong": wrong}


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """verl's scorers print."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


def main() -> None:
    """Run the measurements."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tests", default="1,10,50,100")
    parser.add_argument("--styles", default="function,assert,check,pytest,stdio")
    parser.add_argument("--url", default="")
    parser.add_argument("--verdicts", action="store_true")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        url = options.url or stack.enter_context(EmbeddedSandbox()).url
        bench = Bench(url, options.seconds)
        if options.verdicts:
            for line in bench.verdicts():
                print(json.dumps(line), flush=True)
            return
        for style in options.styles.split(","):
            for count in map(int, options.tests.split(",")):
                for line in bench.measure(style, count, options.rounds):
                    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
