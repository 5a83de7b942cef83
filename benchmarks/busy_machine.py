"""Programs on a machine so busy that many get no time before their limit: whose answer does each request get?

    python benchmarks/busy_machine.py --programs 3000 --limit-s 0.02 --beside 30

Each program prints its number and exits with a status of its own, while --beside processes compute for ever, each in a
session of its own. One JSON line for each isolation: how many got their own answer, met the limit, had no answer, or
got what is not theirs (`wrong`).
"""

import argparse
import asyncio
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack

from verl_coder.errors import SandboxUnavailableError
from verl_coder.sandbox import RunRequest, SandboxClient
from verl_coder.sandbox.embedded import EmbeddedSandbox


async def ask(url: str, programs: int, limit_s: float) -> Counter[str]:
    """What became of the programs."""
    counts = Counter[str]()

    async def one(number: int) -> None:
        status = number % 7 + 1
        request = RunRequest(code=f"print({number})\nraise SystemExit({status})", run_timeout=limit_s)
        try:
            result = (await client.run_code(request)).run_result
        except SandboxUnavailableError:
            counts["no answer"] += 1
            return
        assert result is not None
        own = (result.stdout, result.return_code) == (f"{number}\n", status)
        counts["limit" if result.status == "TimeLimitExceeded" else "right" if own else "wrong"] += 1

    async with SandboxClient(url, max_concurrency=32) as client:
        await asyncio.gather(*map(one, range(programs)))
    return counts


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--programs", type=int, default=3000)
    parser.add_argument("--limit-s", type=float, default=0.02, help="of a program")
    parser.add_argument("--beside", type=int, default=30, help="processes that compute meanwhile")
    options = parser.parse_args(arguments)
    with ExitStack() as stack:
        for _ in range(options.beside):
            command = [sys.executable, "-c", "while True: pass"]
            stack.callback(subprocess.Popen(command, start_new_session=True).kill)
        for isolation in ("namespaces", "light"):
            with EmbeddedSandbox(isolation=isolation) as sandbox:
                counts = asyncio.run(ask(sandbox.url, options.programs, options.limit_s))
            print(json.dumps({"isolation": isolation, "programs": options.programs, **counts}), flush=True)


if __name__ == "__main__":
    main()
