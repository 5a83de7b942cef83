"""How much each tool helps a careful solver, by kind of problem: a scripted model, the real loops, tools and sandbox.

    python benchmarks/tool_advantage.py --problems 40 --depths "2 3 4 5" --budget 384 --turns 8

Every arm has the same chains (verl_coder/chains), token budget (all turns and tool results together) and turns. The
model is a script: it says what verl_coder/chains/policy.py says, by what it has read in the conversation, and answers
with what it believes where another call would not fit. Prints a table in Markdown (share of chains solved, tokens of
the response, calls) and one JSON line. `--wording full` and `--tokenizer DIR` measure a real model's words.
"""

import argparse
import asyncio
import json
import re
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from verl_coder.chains.policy import Solver
from verl_coder.chains.problems import KINDS, Chain, Kind, chains
from verl_coder.chains.wording import TOOLS, ChainRows, Tool, Wording
from verl_coder.evaluation.engines import TurnRequest, WrittenTurn
from verl_coder.evaluation.protocol import Posed
from verl_coder.evaluation.run_config import multi_turn_of, shipped_agent_loops
from verl_coder.evaluation.trajectories import AgentLoops, DrawSettings, Limits
from verl_coder.extraction import extract_code
from verl_coder.grading import grade
from verl_coder.paths import repository_root
from verl_coder.sandbox import SandboxClient
from verl_coder.sandbox.embedded import EmbeddedSandbox

TOOL_CONFIG: dict[Tool, str | None] = {
    "none": None,
    "interpreter": "python_interpreter_brief",
    "session": "python_session_brief",
    "debugger": "python_debugger_brief",
    "debugger_late": "python_debugger_late_brief",
    "program": "python_interpreter_brief",
}
REPLY_TOKENS, STATE_TOKENS = 32, 64
"""Room that the script keeps for what a call brings, and for what a debugger shows."""
_REPLY = re.compile(r"<(tool_response|output)>\n(.*?)\n</\1>", re.S)


class ScriptedEngine:
    """A language model for one trajectory, whose words are a solver's."""

    def __init__(self, solver: Solver, tokenizer: Any, budget: int) -> None:
        self.solver, self.tokenizer, self.budget = solver, tokenizer, budget
        self._prompt_tokens: int | None = None

    async def write(self, request: TurnRequest) -> WrittenTurn:
        """The solver's next turn, or its answer where a call and what it brings would leave no room for one."""
        if self._prompt_tokens is None:
            self._prompt_tokens = len(request.prompt_ids)
            reply = None
        else:
            said = self.tokenizer.decode(request.prompt_ids[self._prompt_tokens :])
            reply = _REPLY.findall(said)[-1][1]
        left = self.budget - (len(request.prompt_ids) - self._prompt_tokens)
        turn = self.solver.next(reply)
        ids = self._ids(turn.text, in_turn=bool(turn.tool) and self.solver.tool == "program")
        answer = self._ids(self.solver.answer().text)
        room = STATE_TOKENS if turn.commands else REPLY_TOKENS
        if turn.tool and len(ids) + room + len(answer) > left:
            ids = answer
        cut = len(ids) > request.max_tokens
        return WrittenTurn(token_ids=ids[: request.max_tokens], finish_reason="length" if cut else "stop")

    def _ids(self, text: str, *, in_turn: bool = False) -> list[int]:
        ids = self.tokenizer.encode(text, add_special_tokens=False)
        return ids if in_turn else [*ids, self.tokenizer.eos_token_id]

    def close(self) -> None:
        """Nothing to let go of."""


@dataclass(frozen=True, kw_only=True)
class PlayedChain:
    """One trajectory."""

    kind: Kind
    depth: int
    passed: bool
    tokens: int
    calls: int
    replies: tuple[str, ...]
    """What the tools said."""


async def play(
    tool: Tool, some: Sequence[Chain], *, model: Path, limits: Limits, wording: Wording, url: str
) -> list[PlayedChain]:
    """All chains with one tool, one after the other."""
    config = TOOL_CONFIG[tool]
    path = repository_root() / "tool_config" / f"{config}.yaml" if config else None
    loops = AgentLoops(
        model_folder=model,
        limits=limits,
        tools=_at(path, url) if path else None,
        agent_loops=shipped_agent_loops(),
        multi_turn=multi_turn_of(None),
    )
    rows, played = ChainRows(tool=tool, wording=wording), []
    async with SandboxClient(url) as client:
        for chain in some:
            problem = rows.problem(chain, split="heldout")
            loops.engine = ScriptedEngine(Solver(chain, tool), loops.tokenizer, limits.response_tokens)
            trajectory = await loops.run(Posed(problem=problem), DrawSettings())
            report = await grade(extract_code(trajectory.answer) or "", problem.tests, client)
            assert report.outcome != "sandbox_unavailable", report.message
            played.append(
                PlayedChain(
                    kind=chain.kind,
                    depth=chain.depth,
                    passed=report.outcome == "passed",
                    tokens=trajectory.response_tokens,
                    calls=trajectory.valid_tool_calls,
                    replies=tuple(text for _, text in _REPLY.findall(trajectory.output)),
                )
            )
    return played


def _at(path: Path, url: str) -> Path:
    """The YAML of tools with the address of this sandbox."""
    copy = Path(tempfile.mkdtemp()) / path.name
    copy.write_text(path.read_text().replace("sandbox_url: null", f"sandbox_url: {url}"))
    return copy


def table(results: dict[Tool, list[PlayedChain]]) -> str:
    """Solved, tokens and calls by tool and kind, in Markdown."""
    kinds = list(dict.fromkeys(p.kind for played in results.values() for p in played))
    head = " | ".join(f"{kind}: solved | tokens | calls" for kind in kinds)
    lines = [f"| tool | {head} | all: solved |", "| --- |" + " --- |" * (3 * len(kinds) + 1)]
    for tool, played in results.items():
        cells = []
        for kind in kinds:
            mine = [p for p in played if p.kind == kind]
            solved, tokens, calls = (
                mean(getattr(p, field) for p in mine) for field in ("passed", "tokens", "calls")
            )
            cells.append(f"{solved:.2f} | {tokens:.0f} | {calls:.1f}")
        lines.append(f"| {tool} | {' | '.join(cells)} | {mean(p.passed for p in played):.2f} |")
    return "\n".join(lines)


def by_depth(results: dict[Tool, list[PlayedChain]]) -> dict[str, dict[str, list[float]]]:
    """Tool -> `kind-depth` -> [solved, tokens, calls]."""
    found: dict[str, dict[str, list[float]]] = {}
    for tool, played in results.items():
        groups = defaultdict(list)
        for each in played:
            groups[f"{each.kind}-{each.depth}"].append(each)
        found[tool] = {
            name: [
                round(mean(getattr(p, field) for p in group), 3) for field in ("passed", "tokens", "calls")
            ]
            for name, group in groups.items()
        }
    return found


async def compare(
    some: Sequence[Chain], *, tools: Sequence[Tool], model: Path, limits: Limits, wording: Wording, url: str
) -> dict[Tool, list[PlayedChain]]:
    """Every tool on the same chains."""
    return {
        tool: await play(tool, some, model=model, limits=limits, wording=wording, url=url) for tool in tools
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--problems", type=int, default=40, help="of each kind and depth")
    parser.add_argument("--depths", default="2 3 4 5")
    parser.add_argument("--kinds", default=" ".join(KINDS))
    parser.add_argument("--budget", type=int, default=384, help="tokens of a response, tool results included")
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--wording", choices=("tiny", "full"), default="tiny")
    parser.add_argument(
        "--tokenizer", type=Path, default=repository_root() / "src" / "verl_coder" / "tiny" / "base"
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    depths, kinds = [int(word) for word in options.depths.split()], options.kinds.split()
    some = list(
        chains(
            "heldout",
            options.problems * len(depths) * len(kinds),
            seed=options.seed,
            kinds=kinds,
            depths=depths,
        )
    )
    limits = Limits(prompt_tokens=1500, response_tokens=options.budget, turns=options.turns)
    with EmbeddedSandbox() as sandbox:
        results = asyncio.run(
            compare(
                some,
                tools=TOOLS,
                model=options.tokenizer,
                limits=limits,
                wording=options.wording,
                url=sandbox.url,
            )
        )
    print(table(results))
    print(json.dumps({"budget": options.budget, "turns": options.turns, **by_depth(results)}))


if __name__ == "__main__":
    main()
