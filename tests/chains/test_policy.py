"""The careful solver plays through the real loops, tools and sandbox: each tool pays on its kind."""

import asyncio
import importlib.util
import sys

import pytest

from verl_coder.chains.problems import chains
from verl_coder.chains.traces import write_trace
from verl_coder.chains.wording import TOOLS
from verl_coder.evaluation.trajectories import Limits
from verl_coder.paths import repository_root
from verl_coder.sandbox.embedded import EmbeddedSandbox
from verl_coder.tiny.build import BASE

pytestmark = pytest.mark.timeout(300)  # the fixture loads verl and plays all tools
CHAINS = list(chains("heldout", 8, seed=1, kinds=("state", "bug"), depths=(3,)))
BUDGET = 448


@pytest.fixture(scope="module")
def played():
    """Tool -> what `benchmarks/tool_advantage.py` plays, with a budget that binds."""
    path = repository_root() / "benchmarks" / "tool_advantage.py"
    spec = importlib.util.spec_from_file_location("tool_advantage", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["tool_advantage"] = module
    spec.loader.exec_module(module)
    limits = Limits(prompt_tokens=400, response_tokens=BUDGET, turns=8)
    with EmbeddedSandbox() as sandbox:
        return asyncio.run(
            module.compare(CHAINS, tools=TOOLS, model=BASE, limits=limits, wording="tiny", url=sandbox.url)
        )


def solved(played, tool, kind):
    mine = [each.passed for each in played[tool] if each.kind == kind]
    return sum(mine) / len(mine)


def tokens(played, tool, kind):
    return sum(each.tokens for each in played[tool] if each.kind == kind)


def test_a_live_session_solves_what_a_stateless_interpreter_has_no_tokens_for(played):
    assert solved(played, "session", "state") > solved(played, "interpreter", "state")
    assert solved(played, "interpreter", "state") >= solved(played, "none", "state")
    pairs = zip(played["session"], played["interpreter"], strict=True)
    both = [(mine, other) for mine, other in pairs if mine.kind == "state" and mine.passed and other.passed]
    assert both and sum(mine.tokens for mine, _ in both) < sum(other.tokens for _, other in both)


def test_a_debugger_solves_every_bug_and_the_others_almost_none(played):
    assert solved(played, "debugger", "bug") == solved(played, "debugger_late", "bug") == 1
    for tool in ("none", "interpreter", "session", "program"):
        assert solved(played, tool, "bug") <= 0.5
    assert tokens(played, "debugger", "bug") < tokens(played, "debugger_late", "bug")


def test_nothing_exceeds_the_budget(played):
    assert max(each.tokens for some in played.values() for each in some) <= BUDGET


def test_traces_hold_what_the_real_tools_say(played):
    compared = 0
    for tool in TOOLS:
        for chain, each in zip(CHAINS, played[tool], strict=True):
            messages = write_trace(chain, tool, direct=False).messages
            said = [message["content"] for message in messages if message["role"] == "tool"]
            both = min(len(said), len(each.replies))
            assert said[:both] == list(each.replies[:both])
            compared += both
    assert compared > 40
