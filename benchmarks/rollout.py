"""Rollout speed against the latency of tools: the real loop, tool and client; an engine and a sandbox of fixed speed.

    python benchmarks/rollout.py --latencies "0 50 500" --in-flight 32

The engine stands for vLLM: each step takes --step-ms and gives one token to every running request. The sandbox
answers each program after the latency. A trajectory has --calls calls and an answer, and while it waits for a tool the
others go on. One JSON line for each latency: tokens/s, its ratio to the first latency's, the share of a trajectory's
time in which it waited for its tools (and for the loop around them), and the processor's time for a trajectory.
"""

import argparse
import asyncio
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from aiohttp import web

from verl_coder.chains.policy import hermes
from verl_coder.chains.problems import chains
from verl_coder.chains.wording import ChainRows
from verl_coder.evaluation.engines import TurnRequest, WrittenTurn
from verl_coder.evaluation.protocol import Posed
from verl_coder.evaluation.run_config import multi_turn_of, shipped_agent_loops
from verl_coder.evaluation.trajectories import AgentLoops, DrawSettings, Limits
from verl_coder.paths import repository_root

BASE = repository_root() / "src" / "verl_coder" / "tiny" / "base"
TOOLS = repository_root() / "tool_config" / "python_interpreter_brief.yaml"
PROGRAM = "for number in range(10):\n    print(number * number + 1)\nprint('done')"
ANSWER = "```python\ndef f(x):\n    return x\n```"


class StepEngine:
    """Gives one token to every running request at each step."""

    def __init__(self, step_s: float) -> None:
        self.step_s = step_s
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        self._step = 0
        self._task: asyncio.Task[None] | None = None

    async def generate(self, tokens: int) -> None:
        """Return when so many steps have gone by."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((self._step + tokens, done))
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        await done

    async def _run(self) -> None:
        due = time.monotonic()
        while self._waiting:
            due += self.step_s
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self._step += 1
            for last, done in self._waiting:
                if last <= self._step:
                    done.set_result(None)
            self._waiting = [(last, done) for last, done in self._waiting if last > self._step]
        self._task = None


class OneTrajectory:
    """What a loop takes for its engine: calls, then an answer."""

    def __init__(self, engine: StepEngine, tokenizer: Any, calls: int) -> None:
        self.engine = engine
        texts = [hermes("python_interpreter", code=PROGRAM).text] * calls + [ANSWER]
        self._turns = [
            [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id] for text in texts
        ]
        self.seconds, self.tokens = 0.0, 0

    async def write(self, request: TurnRequest) -> WrittenTurn:
        """The next turn."""
        turn = self._turns.pop(0)
        began = time.monotonic()
        await self.engine.generate(len(turn))
        self.seconds += time.monotonic() - began
        self.tokens += len(turn)
        return WrittenTurn(token_ids=turn, finish_reason="stop")

    def close(self) -> None:
        """Nothing to let go of."""


async def serve(latency_s: float) -> tuple[web.AppRunner, str]:
    """A sandbox that runs nothing and answers after `latency_s`."""

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        await asyncio.sleep(latency_s)
        run = {
            "status": "Finished",
            "execution_time": latency_s,
            "return_code": 0,
            "stdout": "ok\n",
            "stderr": "",
        }
        return web.json_response({"status": "Success", "message": "", "run_result": run, "files": {}})

    app = web.Application()
    app.router.add_post("/run_code", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


async def measure(latency_ms: float, options: argparse.Namespace) -> dict[str, float]:
    """All trajectories with one latency."""
    runner, url = await serve(latency_ms / 1000)
    tools = Path(tempfile.mkdtemp()) / "tools.yaml"
    tools.write_text(TOOLS.read_text().replace("sandbox_url: null", f"sandbox_url: {url}"))
    limits = Limits(prompt_tokens=400, response_tokens=2000, turns=options.calls + 2)
    loops = AgentLoops(
        model_folder=BASE,
        limits=limits,
        tools=tools,
        agent_loops=shipped_agent_loops(),
        multi_turn=multi_turn_of(None),
    )
    chain = next(chains("rl", 1, seed=0))
    posed = Posed(problem=ChainRows(tool="interpreter", wording="tiny").problem(chain, split="rl"))
    engine, places = StepEngine(options.step_ms / 1000), asyncio.Semaphore(options.in_flight)
    played: list[tuple[OneTrajectory, float]] = []

    async def one() -> None:
        async with places:
            mine = OneTrajectory(engine, loops.tokenizer, options.calls)
            loops.engine = mine  # read when the trajectory starts, before anything else runs
            trajectory = await loops.run(posed, DrawSettings())
            assert trajectory.valid_tool_calls == options.calls, trajectory.output
            played.append((mine, trajectory.seconds))

    began, cpu = time.monotonic(), sum(os.times()[:2])
    await asyncio.gather(*(one() for _ in range(options.trajectories)))
    elapsed, cpu_s = time.monotonic() - began, sum(os.times()[:2]) - cpu
    await runner.cleanup()
    whole = sum(seconds for _, seconds in played)
    return {
        "latency_ms": latency_ms,
        "in_flight": options.in_flight,
        "tokens_per_s": round(sum(mine.tokens for mine, _ in played) / elapsed, 1),
        "waiting_for_tools": round(1 - sum(mine.seconds for mine, _ in played) / whole, 4),
        "trajectory_s": round(whole / len(played), 3),
        "cpu_ms_each": round(1000 * cpu_s / len(played), 1),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--latencies", default="0 50 500", help="milliseconds")
    parser.add_argument("--in-flight", type=int, default=32)
    parser.add_argument("--trajectories", type=int, default=128)
    parser.add_argument("--calls", type=int, default=3)
    parser.add_argument("--step-ms", type=float, default=15.0, help="of the engine")
    options = parser.parse_args()
    first = 0.0
    for latency in options.latencies.split():
        result = asyncio.run(measure(float(latency), options))
        first = first or result["tokens_per_s"]
        print(json.dumps({**result, "ratio": round(result["tokens_per_s"] / first, 3)}), flush=True)


if __name__ == "__main__":
    main()
