"""Are wrong programs caught whenever their tests can tell? One operator flipped in each reference solution.

    python data_prep/mbpp.py --source mbpp.jsonl --no-verify --out outputs/data/mbpp
    python benchmarks/grading_mutants.py --data outputs/data/mbpp

Rows of style `assert`. Each mutant is graded, and it is also run with its asserts as one plain program in the same
sandbox, which is what the tests can tell. One JSON line per difference of the two, then the counts.
"""

import argparse
import ast
import asyncio
import contextlib
import json
import random
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from verl_coder.grading import grade
from verl_coder.problems import AssertTests, Problem
from verl_coder.sandbox import RunRequest, SandboxClient
from verl_coder.sandbox.embedded import EmbeddedSandbox

FLIPS: dict[type, type] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Lt: ast.GtE,
    ast.LtE: ast.Gt,
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


def flip_one_operator(code: str, seed: int) -> str | None:
    """The code with one operator turned into its opposite; None where it has none."""
    tree = ast.parse(code)
    places: list[tuple[Any, str, int]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            places += [(node, "ops", position) for position in range(len(node.ops))]
        elif isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign):
            places.append((node, "op", -1))
    places = [place for place in places if type(_operator(place)) in FLIPS]
    if not places:
        return None
    node, field, position = place = random.Random(seed).choice(places)
    flipped = FLIPS[type(_operator(place))]()
    if position < 0:
        setattr(node, field, flipped)
    else:
        getattr(node, field)[position] = flipped
    return ast.unparse(tree)


def _operator(place: tuple[Any, str, int]) -> ast.AST:
    node, field, position = place
    value = getattr(node, field)
    return value if position < 0 else value[position]


async def examine(problem: Problem, mutant: str, client: SandboxClient, timeout_s: float) -> dict[str, Any]:
    """Whether the mutant passes when graded, and when run as a plain program."""
    tests = problem.tests
    assert isinstance(tests, AssertTests)
    report = await grade(mutant, tests, client, stop_early=True)
    plain = "\n".join([mutant, tests.setup, *tests.tests])
    response = await client.run_code(RunRequest(code=plain, run_timeout=timeout_s))
    return {
        "problem": problem.problem_id,
        "graded": report.outcome == "passed",
        "plain": response.status == "Success",
        "outcome": report.outcome,
        "why": report.explain()[:300],
    }


async def run(problems: list[Problem], url: str, timeout_s: float) -> None:
    """Examine all mutants, eight at a time."""
    async with SandboxClient(url) as client:
        gate = asyncio.Semaphore(8)

        async def one(number: int, problem: Problem) -> dict[str, Any] | None:
            mutant = flip_one_operator(problem.reference_solution, number)
            if mutant is None:
                return None
            async with gate:
                return await examine(problem, mutant, client, timeout_s)

        found = await asyncio.gather(*(one(number, problem) for number, problem in enumerate(problems)))
        results = [result for result in found if result is not None]
        for result in results:
            if result["graded"] != result["plain"]:
                print(json.dumps(result), flush=True)
        counts = {
            "mutants": len(results),
            "caught_by_grading": sum(not result["graded"] for result in results),
            "caught_by_plain_run": sum(not result["plain"] for result in results),
            "differences": sum(result["graded"] != result["plain"] for result in results),
        }
        print(json.dumps(counts), flush=True)


def main() -> None:
    """Parse the command line and examine."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of Parquet files, or one file")
    parser.add_argument("--limit", type=int, default=0)
    parser.add_argument("--timeout", type=float, default=20.0, help="of the plain run, in seconds")
    parser.add_argument("--url", default="", help="a running server; else one is started")
    options = parser.parse_args()
    files = [options.data] if options.data.is_file() else sorted(options.data.glob("t*.parquet"))
    files += [] if options.data.is_file() else sorted(options.data.glob("validation*.parquet"))
    if not files:
        parser.error(f"--data {options.data}: no train, validation or test Parquet file")
    rows = [row for file in files for row in pq.read_table(file).to_pylist()]
    problems = [Problem.from_row(row) for row in rows]
    problems = [problem for problem in problems if isinstance(problem.tests, AssertTests)]
    with contextlib.ExitStack() as stack:
        url = options.url or stack.enter_context(EmbeddedSandbox()).url
        asyncio.run(run(problems[: options.limit or None], url, options.timeout))


if __name__ == "__main__":
    main()
