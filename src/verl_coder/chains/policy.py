"""What a careful solver says next, with each tool: it goes step by step, and has only what it has read.

It knows the readings of a chain, not which are right. It writes traces for the tiny model (traces.py), and plays
through the real agent loops (benchmarks/tool_advantage.py).
"""

import random
import re
from dataclasses import dataclass

from verl_coder.chains.problems import Chain
from verl_coder.chains.wording import Tool
from verl_coder.protocols import PROTOCOLS, tool_call

_CALLED = {"interpreter": "python_interpreter", "session": "python_session", "program": "python_interpreter"}
_WRONG = re.compile(r"AssertionError: (\w+) is wrong")
_STATE = re.compile(r"name = '(\w+)'(?:.*?)\bk = (\d+)", re.S)
OK = "ok"


@dataclass(frozen=True, kw_only=True)
class SolverTurn:
    """What is said, and what is asked for where it is a call."""

    text: str
    tool: str = ""
    """Name of the function that is called; empty in the answer."""
    code: str = ""
    commands: str = ""


class Solver:
    """One solver of one chain. `choice` is what it believes so far: `answer` can be asked for at any time."""

    def __init__(self, chain: Chain, tool: Tool, *, seed: int = 0, most_tries: int | None = None) -> None:
        """`most_tries`: calls after which it answers with what it has."""
        self.chain, self.tool, self.most_tries = chain, tool, most_tries
        self.choice = list(chain.first)
        self._live: list[int] | None = None
        self._calls = 0
        self._rng = random.Random(f"solver/{seed}/{chain.identity}")
        self._untried: list[tuple[int, int]] | None = None

    def next(self, reply: str | None) -> SolverTurn:
        """The next turn after what the last call brought; None at the beginning."""
        if self.tool == "none" or self.chain.kind == "plain":
            return self.answer()
        if reply is not None and not self._learn(reply):
            return self.answer()
        if self.most_tries is not None and self._calls >= self.most_tries:
            return self.answer()
        self._calls += 1
        return self._call(reply)

    def answer(self) -> SolverTurn:
        """The answer by what is believed now."""
        return SolverTurn(text=f"```python\n{self.chain.program(self.choice)}\n```")

    def _call(self, reply: str | None) -> SolverTurn:
        debugs = self.tool in ("debugger", "debugger_late") and self.chain.kind == "bug"
        if debugs and not (self.tool == "debugger_late" and reply is None):
            return hermes("python_debugger", code=self._whole(), commands="run")
        if self.tool == "session" and self._live is not None:
            pairs = zip(self.chain.steps, self.choice, self._live, strict=True)
            changed = [step.name for step, now, before in pairs if now != before]
            code = self.chain.program(self.choice, changed) + "\ncheck()"
        else:
            code = self._whole()
        self._live = list(self.choice)
        name = _CALLED.get(self.tool, "python_interpreter")
        if self.tool == "program":
            tags = PROTOCOLS["program"].tags
            assert tags is not None
            return SolverTurn(text=f"{tags.call}\n{code}\n{tags.end_call}", tool=name, code=code)
        return hermes(name, code=code)

    def _whole(self) -> str:
        return self.chain.program(self.choice) + "\ncheck()"

    def _learn(self, reply: str) -> bool:
        """Take in what a call brought; False where nothing is left to ask."""
        lines = reply.split("\n")
        if OK in lines[:1]:
            return False
        state = _STATE.search(reply)
        if state:
            place = self._place(state[1])
            self.choice[place] = self.chain.steps[place].constants.index(int(state[2]))
            return False
        wrong = _WRONG.search(reply)
        if wrong:
            place = self._place(wrong[1])
            self.choice[place] += 1
            return self.choice[place] < len(self.chain.steps[place].readings)
        if self.tool == "debugger_late" and self._calls == 1:
            return True
        return self._try_another()

    def _try_another(self) -> bool:
        """Nothing was told but that something is wrong: the next constant of some function."""
        if self._untried is None:
            self._untried = [
                (place, reading)
                for place, step in enumerate(self.chain.steps)
                for reading in range(1, len(step.readings))
            ]
            self._rng.shuffle(self._untried)
        self.choice = list(self.chain.first)
        if not self._untried:
            return False
        place, reading = self._untried.pop()
        self.choice[place] = reading
        return True

    def _place(self, name: str) -> int:
        return [step.name for step in self.chain.steps].index(name)


def hermes(name: str, **arguments: str) -> SolverTurn:
    """A call as the tiny model and Qwen write it."""
    return SolverTurn(
        text=tool_call(name, **arguments),
        tool=name,
        code=arguments["code"],
        commands=arguments.get("commands", ""),
    )
