"""Trajectories with live sessions by the thousand: what is left of them when they ended well, were aborted or killed.

    python benchmarks/session_leak.py --trajectories 10000

Two processes play trajectories of the real loop, tool and client on one embedded sandbox, each --in-flight at a time: a
scripted model calls `python_session` twice and answers; every tenth trajectory is aborted in the middle, in every tenth
the model fails. One process is killed (-9) when it has played a third of its share, and another takes over the rest.
One JSON line: trajectories by their end, and sessions and processes of the sandbox before, at the kill and at the end.
"""

import argparse
import asyncio
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

from verl_coder.chains.policy import hermes
from verl_coder.chains.problems import chains
from verl_coder.chains.wording import ChainRows
from verl_coder.evaluation.engines import TurnRequest, WrittenTurn
from verl_coder.evaluation.protocol import Posed
from verl_coder.evaluation.run_config import multi_turn_of, shipped_agent_loops
from verl_coder.evaluation.trajectories import AgentLoops, DrawSettings, Limits
from verl_coder.paths import repository_root
from verl_coder.sandbox.embedded import EmbeddedSandbox

BASE = repository_root() / "src" / "verl_coder" / "tiny" / "base"
TOOLS = repository_root() / "tool_config" / "python_session_brief.yaml"
ANSWER = "```python\ndef f(x):\n    return x\n```"


class ScriptedModel:
    """Calls of the session, then an answer; one that fails raises in its second turn."""

    def __init__(self, tokenizer: Any, fails: bool) -> None:
        calls = [hermes("python_session", code=f"x = {n}\nprint(x)").text for n in range(2)]
        self._turns = [
            [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id]
            for text in (*calls, ANSWER)
        ]
        self._fails = fails

    async def write(self, request: TurnRequest) -> WrittenTurn:
        """The next turn."""
        if self._fails and len(self._turns) < 3:
            raise RuntimeError("the model is gone")
        await asyncio.sleep(random.uniform(0, 0.02))
        return WrittenTurn(token_ids=self._turns.pop(0), finish_reason="stop")

    def close(self) -> None:
        """Nothing to let go of."""


async def play(url: str, first: int, last: int, in_flight: int) -> None:
    """Trajectories first to last - 1; a line with the number and its end for each."""
    tools = Path(tempfile.mkdtemp()) / "tools.yaml"
    tools.write_text(TOOLS.read_text().replace("sandbox_url: null", f"sandbox_url: {url}"))
    loops = AgentLoops(
        model_folder=BASE,
        limits=Limits(prompt_tokens=600, response_tokens=2000, turns=4),
        tools=tools,
        agent_loops=shipped_agent_loops(),
        multi_turn=multi_turn_of(None),
    )
    chain = next(chains("rl", 1, seed=0))
    posed = Posed(problem=ChainRows(tool="session", wording="tiny").problem(chain, split="rl"))
    places = asyncio.Semaphore(in_flight)

    async def trajectory_of(number: int) -> Any:
        # Read when the trajectory starts, before anything else runs.
        loops.engine = ScriptedModel(loops.tokenizer, fails=number % 10 == 3)
        return await loops.run(posed, DrawSettings())

    async def one(number: int) -> None:
        async with places:
            task = asyncio.create_task(trajectory_of(number))
            if number % 10 == 7:
                await asyncio.wait((task,), timeout=random.uniform(0, 0.05))
                task.cancel()
            try:
                trajectory = await task
                end = "answered" if trajectory.valid_tool_calls == 2 else trajectory.output
            except asyncio.CancelledError:
                end = "aborted"
            except Exception as error:
                end = f"failed: {type(error).__name__}"
        print(json.dumps([number, end]), flush=True)

    await asyncio.gather(*map(one, range(first, last)))


def sessions_of(url: str) -> int:
    """Open sessions, as the sandbox's metrics say."""
    with urllib.request.urlopen(url + "/metrics") as answer:
        text = answer.read().decode()
    return next(
        int(float(line.split()[1])) for line in text.splitlines() if line.startswith("sandbox_sessions ")
    )


def worker(url: str, first: int, last: int, in_flight: int, out: Path) -> "subprocess.Popen[str]":
    """A process of its own that plays its share and writes its lines to `out`."""
    words = [sys.executable, __file__, "--play", url, str(first), str(last), "--in-flight", str(in_flight)]
    with out.open("w") as file:
        return subprocess.Popen(words, stdout=file, text=True)


def played(files: list[Path]) -> dict[int, str]:
    """The end of each trajectory that has one."""
    lines = (line for path in files if path.is_file() for line in path.read_text().splitlines(keepends=True))
    return dict(json.loads(line) for line in lines if line.endswith("\n"))


def measure(total: int, in_flight: int) -> dict[str, Any]:
    """All of it."""
    folder = Path(tempfile.mkdtemp())
    files = [folder / name for name in ("kept", "killed", "after")]
    with EmbeddedSandbox(extra=["--max-sessions", str(4 * in_flight)]) as sandbox:
        below = psutil.Process(sandbox.pid)
        before = (sessions_of(sandbox.url), len(below.children(recursive=True)))
        began = time.monotonic()
        kept = worker(sandbox.url, 0, total // 2, in_flight, files[0])
        killed = worker(sandbox.url, total // 2, total, in_flight, files[1])
        while len(played(files[1:2])) < total // 6:
            time.sleep(0.2)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        at_kill = sessions_of(sandbox.url)
        # Trajectories start in order, so that what is missing below the highest was in flight.
        start = max(played(files[1:2]), default=total // 2) + 1
        after = worker(sandbox.url, start, total, in_flight, files[2])
        status = [kept.wait(), after.wait()]
        seconds, ended = time.monotonic() - began, time.monotonic()
        while sessions_of(sandbox.url) and time.monotonic() - ended < 60:
            time.sleep(0.1)
        return {
            "trajectories": len(played(files)),
            "ends": dict(Counter(played(files).values())),
            "status": status,
            "seconds": round(seconds, 1),
            "before": before,
            "sessions_at_the_kill": at_kill,
            "sessions_at_the_end": sessions_of(sandbox.url),
            "seconds_to_none": round(time.monotonic() - ended, 1),
            "processes_at_the_end": len(below.children(recursive=True)),
        }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trajectories", type=int, default=10_000)
    parser.add_argument("--in-flight", type=int, default=16)
    parser.add_argument("--play", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.play:
        url, first, last = options.play
        asyncio.run(play(url, int(first), int(last), options.in_flight))
    else:
        print(json.dumps(measure(options.trajectories, options.in_flight)), flush=True)


if __name__ == "__main__":
    main()
