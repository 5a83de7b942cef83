"""Traces of the solver with each tool, for the tiny model to learn the calls from.

What the tools answer is computed in this process, which is fast and has no sandbox: the programs are the family's own.
`tests/chains/test_policy.py` holds the texts against those of the real tools.
"""

import contextlib
import io
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from verl_coder.chains.policy import Solver, SolverTurn
from verl_coder.chains.problems import Chain
from verl_coder.chains.wording import PROTOCOL, TOOLS, ChainRows, Tool, check_source
from verl_coder.problems import Message
from verl_coder.protocols import find_protocol
from verl_coder.teacher.trace_file import write_traces

BUG_TRIES = 2
"""Calls of a trace that looks for a constant without a debugger: more of them teach nothing."""


@dataclass(frozen=True, kw_only=True)
class ChainTrace:
    """A conversation about a chain, prompt included."""

    chain: Chain
    tool: Tool
    messages: tuple[Message, ...]


class OwnTools:
    """What the tools of the brief YAML files answer to programs of the family."""

    def __init__(self, prelude: str) -> None:
        self._prelude = prelude
        self._session: dict[str, Any] | None = None

    def reply(self, turn: SolverTurn) -> str:
        """The text that the model reads."""
        if turn.tool != "python_session":
            text, error, _ = self._run(turn.code, {})
            debugs = turn.tool == "python_debugger"
            return _debugger_text(text, error) if debugs else _text(text, error)
        text, error, self._session = self._run(turn.code, self._session)
        return _text(text, error)

    def _run(
        self, code: str, namespace: dict[str, Any] | None
    ) -> tuple[str, BaseException | None, dict[str, Any]]:
        if not namespace:
            namespace = {}
            exec(self._prelude, namespace)
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            try:
                exec(code, namespace)
            except Exception as error:
                return out.getvalue(), error, namespace
        return out.getvalue(), None, namespace


def _text(printed: str, error: BaseException | None) -> str:
    said = f"{type(error).__name__}: {error}".removesuffix(": ") if error else ""
    return "\n".join(part for part in (printed.rstrip("\n"), said) if part) or "(no output)"


def _debugger_text(printed: str, error: BaseException | None) -> str:
    """As `run` shows a program that fails in the code given to it, or that ends."""
    if error is None:
        return f"{printed.rstrip(chr(10))}\nthe program ended"
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    assert trace is not None
    frame = trace.tb_frame
    said = _text("", error)
    shown = [f"{name} = {value!r}" for name, value in frame.f_locals.items()]
    return "\n".join([f"{said} in {frame.f_code.co_name}, in the code given", *shown])


def write_trace(chain: Chain, tool: Tool, *, direct: bool, seed: int = 0) -> ChainTrace:
    """A trace in the tiny wording; a `direct` one calls nothing and answers what a reader takes first."""
    messages = [dict(message) for message in ChainRows(tool=tool, wording="tiny").prompt(chain)]
    most_tries = BUG_TRIES if chain.kind == "bug" else None
    solver = Solver(chain, "none" if direct else tool, seed=seed, most_tries=most_tries)
    tools = OwnTools(check_source(chain))
    reply: str | None = None
    while (turn := solver.next(reply)).tool:
        reply = tools.reply(turn)
        messages += [{"role": "assistant", "content": turn.text}, {"role": "tool", "content": reply}]
    messages.append({"role": "assistant", "content": turn.text})
    return ChainTrace(chain=chain, tool=tool, messages=tuple(messages))


def chain_traces(
    chains: Iterable[Chain],
    *,
    seed: int,
    direct_share: float,
    tools: Sequence[Tool] = TOOLS,
    bug_tools: Sequence[Tool] = (),
) -> Iterator[ChainTrace]:
    """One trace for each chain, the tools in turn (`bug_tools` where the chain is a bug); deterministic by seed."""
    rng = random.Random(f"chain traces/{seed}")
    for index, chain in enumerate(chains):
        choice = bug_tools if bug_tools and chain.kind == "bug" else tools
        # In turn by chance, so that no tool always meets the same kind.
        tool = choice[(index + rng.randrange(len(choice))) % len(choice)]
        yield write_trace(chain, tool, direct=rng.random() < direct_share, seed=seed)


def write_trace_rows(traces: Iterable[ChainTrace], path: Path) -> int:
    """Write traces as `verl-coder sft` and the three-source update read them; returns how many."""
    rows = (
        {
            "problem_id": trace.chain.identity,
            "messages": list(trace.messages),
            "source": f"chains-{trace.tool}",
            "agent_name": find_protocol(PROTOCOL[trace.tool]).agent_name,
        }
        for trace in traces
    )
    return write_traces(rows, path, further=[("agent_name", pa.string())])
