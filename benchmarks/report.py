"""A report of many trajectories: seconds to build it, then to its first view, memory, and a search, in Chromium.

    python benchmarks/report.py [--trajectories 100000] [--steps 200] [--chars 1500] [--out FOLDER] [--rounds 3]

Makes a training run of so many rollouts, groups of 8 with tool calls, answers of about that many characters, no two
alike, and builds its report. JSON lines: `build` (seconds, trajectories and megabytes a second), then for each round a
fresh browser: `first_view` (seconds from the address to the drawn list of trajectories; heap of JavaScript after a
collection; memory of the tab's process that it shares with no other), `open_one` (a trajectory of the last step),
`filter` (a filter on the outcome), `search_rare` (a word that one trajectory holds) and `search_common` (words that all
hold), each to its last hit, and the largest memory of the tab seen in the round.
"""

import argparse
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chromium import Page, open_page

GROUP = 8
NEEDLE = "zygomorphic_needle"
_WORDS = ("total", "count", "value", "index", "left", "right", "middle", "result", "numbers", "table", "best")


def main() -> None:
    """Make the run, build its report, and look at it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trajectories", type=int, default=100_000)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--chars", type=int, default=1500)
    parser.add_argument("--out", type=Path, help="Keep the run and its report here.")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = options.out or Path(folder)
        run, report = out / "run", out / "report"
        shutil.rmtree(run, ignore_errors=True)
        written = make_run(run, options.trajectories, options.steps, options.chars)
        started = time.monotonic()
        command = [sys.executable, "-m", "verl_coder.cli", "report", str(run), "--out", str(report)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seconds = time.monotonic() - started
        size = sum(path.stat().st_size for path in report.rglob("*") if path.is_file())
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        tell(
            "build",
            seconds=round(seconds, 1),
            trajectories_per_s=round(options.trajectories / seconds),
            input_mb=round(written / 1e6, 1),
            report_mb=round(size / 1e6, 1),
            peak_memory_mb=round(peak / 1e3),
        )
        for number in range(options.rounds):
            look_at(report, number, options.steps)


def make_run(run: Path, trajectories: int, steps: int, chars: int) -> int:
    """A run's folder with so many rollouts; returns the bytes of its samples."""
    draw = random.Random(0)
    (run / "rollouts").mkdir(parents=True)
    groups = trajectories // GROUP
    needle_at = groups // 2
    written = 0
    with (run / "metrics.jsonl").open("w") as metrics:
        for step in range(1, steps + 1):
            lines = []
            for group in range((step - 1) * groups // steps, step * groups // steps):
                for sample in range(GROUP):
                    row = make_rollout(draw, group, sample, chars)
                    if group == needle_at and sample == 3:
                        row["output"] += f"# {NEEDLE}\n"
                    lines.append(json.dumps(row))
            text = "\n".join(lines) + "\n"
            written += len(text)
            (run / "rollouts" / f"{step}.jsonl").write_text(text)
            reward = sum(json.loads(line)["score"] for line in lines) / max(len(lines), 1)
            data = {"critic/score/mean": reward, "timing_s/step": 20.0, "tool_calls/mean": 1.0}
            metrics.write(json.dumps({"step": step, "data": data}) + "\n")
    return written


def make_rollout(draw: random.Random, group: int, sample: int, chars: int) -> dict[str, Any]:
    """One line of a dump: some calls and their outputs, then an answer."""
    passed = draw.random() < 0.6
    rate = 1.0 if passed else draw.choice((0.0, 0.2, 0.5, 0.8))
    calls = draw.choice((0, 1, 1, 2, 3))
    length = max(round(chars * draw.uniform(0.4, 1.6)) // (calls + 1), 40)
    parts = []
    for _ in range(calls):
        call = {"name": "python_interpreter", "arguments": {"code": make_code(draw, length)}}
        parts.append(f"<tool_call>\n{json.dumps(call)}\n</tool_call>\nuser\n<tool_response>\n")
        parts.append(f"{draw.random()}\n</tool_response>\nassistant\n")
    parts.append(f"```python\n{make_code(draw, length)}```\n")
    problem = f"problem/{group % 5000}"
    return {
        "input": f"user\nWrite a function for problem {group % 5000}.\nassert f({group % 5000}) == 1\nassistant\n",
        "output": "".join(parts),
        "gts": json.dumps({"style": "assert", "tests": [f"assert f({group % 5000}) == 1"]}),
        "score": rate,
        "uid": f"{group:08x}_{sample}_0",
        "problem_id": problem,
        "tool_calls": calls,
        "acc": float(passed),
        "pass_rate": rate,
    }


def make_code(draw: random.Random, chars: int) -> str:
    """Lines that look like a program and differ from each other."""
    lines = ["def f(numbers):"]
    size = 0
    while size < chars:
        left, right = draw.choices(_WORDS, k=2)
        lines.append(f"    {left} = {right} + {draw.randrange(10**6)}  # {draw.choice(_WORDS)}")
        size += len(lines[-1])
    return "\n".join([*lines, "    return total"]) + "\n"


def look_at(report: Path, number: int, steps: int) -> None:
    """One round in a fresh browser."""
    with open_page() as page, memory_watch(page) as most:
        page.size(1366, 820)
        page.call("Page.navigate", url=f"{(report / 'index.html').as_uri()}#/trajectories")
        page.wait_for(
            "performance.getEntriesByName('first-view').length && document.querySelector('.row')", 120
        )
        seconds = page.evaluate("performance.getEntriesByName('first-view')[0].startTime") / 1000
        heap, memory = page.heap_bytes(), page.memory_bytes()
        tell("first_view", round=number, seconds=round(seconds, 2), heap_mb=mb(heap), memory_mb=mb(memory))
        last = f"0/rollouts-{steps:06d}-0.0"
        spent = timed(page, f"#/trajectories?t={last}", "document.querySelector('.turn')")
        tell("open_one", round=number, seconds=spent)
        spent = timed(page, "#/trajectories?outcome=failed", "!document.querySelector('.turn')")
        tell("filter", round=number, seconds=spent)
        for name, words in (("search_rare", NEEDLE), ("search_common", "return total")):
            finished = "!/searching/.test(document.querySelector('.found')?.innerText ?? 'searching')"
            spent = timed(page, f"#/trajectories?text={words.replace(' ', '%20')}", finished)
            found = page.evaluate("document.querySelector('.found b').innerText")
            tell(name, round=number, seconds=spent, found=found)
        tell(
            "largest",
            round=number,
            memory_mb=mb(max(most)),
            heap_mb=mb(page.heap_bytes()),
            errors=page.errors,
        )


def timed(page: Page, fragment: str, done: str) -> float:
    """Seconds from a change of the address to the condition, a frame in between."""
    script = f"""new Promise((resolve) => {{
        const began = performance.now();
        location.hash = {json.dumps(fragment)};
        let frames = 0;
        const look = () => (++frames > 2 && ({done})) ? resolve(performance.now() - began) : setTimeout(look, 5);
        setTimeout(look, 5);
    }})"""
    return round(page.evaluate(script) / 1000, 3)


@contextmanager
def memory_watch(page: Page) -> Iterator[list[int]]:
    """Memory of the tab's process, ten times a second."""
    seen, ended = [0], threading.Event()

    def watch() -> None:
        while not ended.wait(0.1):
            seen.append(page.memory_bytes())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()


def mb(count: int) -> int:
    """Whole megabytes."""
    return round(count / 1e6)


def tell(name: str, **values: Any) -> None:
    """One JSON line."""
    print(json.dumps({"measure": name, **values}), flush=True)


if __name__ == "__main__":
    main()
