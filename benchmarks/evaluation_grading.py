"""Grading as an evaluation does it: answers of a model beside other load, and hostile answers.

    python benchmarks/evaluation_grading.py --answers outputs/<run>/validation/0.jsonl --busy 8
    python benchmarks/evaluation_grading.py --slow 100 --busy 8
    python benchmarks/evaluation_grading.py --hostile 10000 --second-tries 300

`--answers` grades the answers of a validation dump (`output`, `gts`) once as the machine is, and once with `--busy`
processes that compute without end, each with second tries; it prints both scores and the answers whose verdict moved.
`--slow` does the same with right answers that compute for 5% to 195% of the limit of one second, evenly: half of them
have to pass, and which do shows how the limit is kept (those within 10% of it may go either way).
`--hostile` grades so many hostile answers and counts verdicts, what passed without solving, and what hung. Second tries
come one at a time, and many of these answers take ten seconds each: `--second-tries` takes so many of them, evenly
spread. One JSON line each; progress goes to the error stream.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import sys
import time
from collections import Counter
from itertools import count
from pathlib import Path
from typing import Any

from verl_coder.evaluation.grading_queue import GradingQueue
from verl_coder.extraction import extract_code
from verl_coder.files import json_lines
from verl_coder.problems import FunctionCase, FunctionTests, Problem, parse_test_suite
from verl_coder.sandbox import SandboxClient
from verl_coder.sandbox.embedded import EmbeddedSandbox

SOLVED = "def f(xs):\n    return sum(xs)\n"
ENDS = (
    "import os\nos._exit({n})\n",
    "import os, signal\nos.kill(os.getpid(), {signal})\n",
    "import sys\nsys.exit({n})\n",
    "raise SystemExit('{text}')\n",
    "import atexit, os\natexit.register(os._exit, 0)\n",
    "def f(xs):\n    import os\n    os._exit(0)\n",
    "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True:\n    pass\n",
    "def f(xs):\n    while True:\n        pass\n",
    "def f(xs):\n    return f(xs)\n",
    "def f(xs):\n    return [0] * 10**{big}\n",
    "def f(xs):\n    return 10**10**{big}\n",
    "x = 'a' * 10**9\nx = [x + str(i) for i in range(100)]\n",
    "import os\nfor _ in range({n} + 50):\n    os.fork()\n",
    "import os\nwhile os.fork() == 0:\n    pass\n",
    "import threading\nthreading.Thread(target=threading.Event().wait).start()\n",
    "print('{text}' * 10**6)\n",
    "import sys\nsys.stdout.write('\\0</script>\\x1b[2J\\u202e' * {n}000)\n",
    "import os\nos.write(3, b'{text}' * {n})\n",
    "import os\nfor fd in range(3, 300):\n    try:\n        os.close(fd)\n    except OSError:\n        pass\n",
    "import gc\nfor o in gc.get_objects():\n    try:\n        o.clear()\n    except Exception:\n        pass\n",
    "class A(int):\n    def __eq__(self, other):\n        return True\ndef f(xs):\n    return A({n})\n",
    "class A:\n    def __getattr__(self, name):\n        raise SystemExit\ndef f(xs):\n    return A()\n",
    "def f(xs):\n    a = []\n    a.append(a)\n    return a\n",
    "def f(xs):\n    a = []\n    for _ in range({n}0000):\n        a = [a]\n    return a\n",
    "import time\ntime.sleep({n})\n",
    "def f(xs):\n    return input()\n",
    "open('/tmp/{text}', 'w').write('x' * 10**9)\n",
    "import sys\nsys.setrecursionlimit(10**9)\ndef f(xs):\n    return f(xs)\n",
    "import builtins\nbuiltins.sum = None\nbuiltins.len = None\n",
    "def f(xs:\n",
    "(" * 5000,
    "x = {text}\n",
)


def hostile_answers(total: int) -> list[tuple[str, bool]]:
    """(program, whether it also holds a solution), the same at every call."""
    rng = random.Random(0)
    found = []
    for number in range(total):
        text = ENDS[number % len(ENDS)]
        for name, value in (
            ("n", rng.randrange(1, 200)),
            ("big", rng.randrange(8, 13)),
            ("signal", rng.choice((6, 9, 11, 15))),
        ):
            text = text.replace(f"{{{name}}}", str(value))
        text = text.replace("{text}", f"t{number}")
        solves = "def f" not in text and rng.random() < 0.5
        found.append((SOLVED + text if solves else text + f"# {number}\n", solves))
    return found


async def grade_all(
    url: str, answers: list[tuple[Problem, str]], most_second_tries: int | None = None
) -> tuple[list[Any], float, int, float]:
    """(reports, seconds, second tries owed, longest time of one verdict from its start)."""
    async with SandboxClient(url) as client:
        queue = GradingQueue(client, concurrency=8)
        started = time.monotonic()
        done = count(1)

        async def one(problem: Problem, code: str) -> Any:
            graded = await queue.verdict(problem, code)
            if (number := next(done)) % 500 == 0:
                print(f"{number} of {len(answers)}, {time.monotonic() - started:.0f} s", file=sys.stderr)
            return graded

        first = await asyncio.gather(*(one(problem, code) for problem, code in answers))
        owing = [number for number, graded in enumerate(first) if graded.provisional]
        owed = len(owing)
        taken = owing[:: 1 if most_second_tries is None else max(1, -(-owed // max(1, most_second_tries)))]
        print(
            f"first verdicts after {time.monotonic() - started:.0f} s, second tries: {owed}; "
            f"{dict(Counter(graded.report.outcome for graded in first))}",
            file=sys.stderr,
        )
        tried = count(1)

        async def again(which: int) -> Any:
            graded = await queue.second_try(*answers[which])
            if (number := next(tried)) % 100 == 0:
                print(
                    f"second try {number} of {len(taken)}, {time.monotonic() - started:.0f} s",
                    file=sys.stderr,
                )
            return graded

        last = list(first)
        for which, graded in zip(taken, await asyncio.gather(*map(again, taken)), strict=True):
            last[which] = graded
        longest = max(graded.seconds for graded in (*first, *last))
        return [graded.report for graded in last], time.monotonic() - started, owed, longest


def compute_without_end() -> None:
    os.setsid()  # as other jobs are: Linux may share the processors out by session
    while True:
        pass


def with_load(url: str, answers: list[tuple[Problem, str]], busy: int) -> tuple[list[Any], dict[str, Any]]:
    """Reports beside `busy` computing processes, and what to print of them."""
    context = multiprocessing.get_context("spawn")
    load = [context.Process(target=compute_without_end, daemon=True) for _ in range(busy)]
    for process in load:
        process.start()
    try:
        reports, seconds, again, longest = asyncio.run(grade_all(url, answers))
    finally:
        for process in load:
            process.kill()
    passed = sum(report.outcome == "passed" for report in reports)
    return reports, {
        "busy": busy,
        "score": round(100 * passed / len(reports), 2),
        "seconds": round(seconds, 1),
        "second_tries": again,
        "longest_s": round(longest, 1),
        "outcomes": dict(Counter(report.outcome for report in reports)),
    }


def as_problem(number: int, tests: Any) -> Problem:
    return Problem(data_source="d", problem_id=str(number), prompt=(), tests=tests, split="test")


def model_answers(path: Path, limit: int | None) -> list[tuple[Problem, str]]:
    """The answers of a validation dump."""
    return [
        (as_problem(number, parse_test_suite(row["gts"])), extract_code(row["output"]) or "")
        for number, row in enumerate(list(json_lines(path))[:limit])
    ]


def slow_answers(total: int) -> list[tuple[Problem, str]]:
    """Right answers, the n-th of which computes for (0.05 + 1.9 n / total) s; the limit is 1 s."""
    tests = FunctionTests(entry_point="f", tests=(FunctionCase(args=([1, 2],), expected=3),), timeout_s=1.0)
    code = (
        "import time\ndef f(xs):\n    began = time.process_time()\n"
        "    while time.process_time() - began < {seconds}:\n        pass\n    return sum(xs)\n"
    )
    return [
        (as_problem(n, tests), code.replace("{seconds}", f"{0.05 + 1.9 * n / total:.4f}"))
        for n in range(total)
    ]


def measure_answers(answers: list[tuple[Problem, str]], busy: int, url: str) -> dict[str, Any]:
    """Both scores, and which verdicts moved."""
    quiet, alone = with_load(url, answers, 0)
    loaded, beside = with_load(url, answers, busy)
    moved = [
        (n, a.outcome, b.outcome)
        for n, (a, b) in enumerate(zip(quiet, loaded, strict=True))
        if a.outcome != b.outcome
    ]
    return {"answers": len(answers), "alone": alone, "beside": beside, "moved": moved}


def measure_hostile(total: int, second_tries: int | None, url: str) -> dict[str, Any]:
    """Verdicts of hostile answers; `wrong` are those that passed without a solution."""
    cases = tuple(FunctionCase(args=([n, 2],), expected=n + 2) for n in (1, 5))
    tests = FunctionTests(entry_point="f", tests=cases, timeout_s=1.0)
    programs = hostile_answers(total)
    answers = [(as_problem(number, tests), code) for number, (code, _) in enumerate(programs)]
    reports, seconds, again, longest = asyncio.run(grade_all(url, answers, second_tries))
    return {
        "hostile": total,
        "seconds": round(seconds, 1),
        "second_tries_owed": again,
        "most_taken": second_tries,
        "longest_s": round(longest, 1),
        "hung": sum(report is None for report in reports),
        "wrong": [
            n for n, (_, solves) in enumerate(programs) if reports[n].outcome == "passed" and not solves
        ],
        "outcomes": dict(Counter(report.outcome for report in reports)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--answers", type=Path)
    parser.add_argument("--limit", type=int)
    parser.add_argument("--busy", type=int, default=8)
    parser.add_argument("--slow", type=int)
    parser.add_argument("--hostile", type=int)
    parser.add_argument("--second-tries", type=int, help="With --hostile: at most so many of them.")
    options = parser.parse_args()
    with EmbeddedSandbox() as sandbox:
        if options.hostile:
            print(json.dumps(measure_hostile(options.hostile, options.second_tries, sandbox.url)), flush=True)
        if options.answers:
            answers = model_answers(options.answers, options.limit)
            print(json.dumps(measure_answers(answers, options.busy, sandbox.url)), flush=True)
        if options.slow:
            answers = slow_answers(options.slow)
            print(json.dumps(measure_answers(answers, options.busy, sandbox.url)), flush=True)


if __name__ == "__main__":
    main()
