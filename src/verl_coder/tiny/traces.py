"""Traces as a good teacher would write them: try the candidate in the interpreter, mend it, then answer.

A trace is a list of `{role, content}` messages. A tool call stands in the assistant's content in hermes form
(`<tool_call>` JSON `</tool_call>`), its result is a message of role `tool`: the very text that the policy
writes and reads, whatever the chat template makes of structured calls.
"""

import contextlib
import io
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from verl_coder.problems import Message, Problem
from verl_coder.protocols import tool_call
from verl_coder.tiny.problems import SampleProblem

TOOL_NAME = "python_interpreter"
RECHECK_SHARE = 0.5
"""Of the mended candidates, how many are run once more before the answer."""


@dataclass(frozen=True, kw_only=True)
class SampleTrace:
    """One conversation that solves `problem`, prompt included."""

    problem: Problem
    messages: tuple[Message, ...]

    @property
    def uses_tool(self) -> bool:
        """Whether the interpreter was called."""
        return any(message["role"] == "tool" for message in self.messages)


def answer(code: str) -> str:
    """An assistant's final answer."""
    return f"```python\n{code}\n```"


def run_trusted(code: str, prelude: str) -> str:
    """What the interpreter tool returns for one of the family's own programs, computed in this process."""
    stdout = io.StringIO()
    error = ""
    namespace: dict[str, object] = {}
    with contextlib.redirect_stdout(stdout):
        try:
            exec(prelude, namespace)
            exec(code, namespace)
        except Exception as exception:
            error = f"{type(exception).__name__}: {exception}"
    return "\n".join(part for part in (stdout.getvalue().rstrip("\n"), error) if part) or "(no output)"


def write_trace(sample: SampleProblem, rng: random.Random, *, direct_share: float) -> SampleTrace:
    """A trace that ends in the right answer; `direct_share` is the probability that it calls no tool.

    The first candidate of an ambiguous problem is always the strict reading, which is wrong half of the time. So
    the interpreter's reply alone tells what to answer; a first guess at random would ask a tiny model to combine
    the reply with its own guess, which it does not learn in minutes.
    """
    messages = [dict(message) for message in sample.problem.prompt]
    if rng.random() >= direct_share:
        candidates = [sample.first_guess]
        if sample.first_guess != sample.right and rng.random() < RECHECK_SHARE:
            candidates.append(sample.right)
        for candidate in candidates:
            code = f"{candidate}\ncheck(f)"
            messages.append({"role": "assistant", "content": tool_call(TOOL_NAME, code)})
            messages.append({"role": "tool", "content": run_trusted(code, sample.problem.tool_prelude)})
    messages.append({"role": "assistant", "content": answer(sample.right)})
    return SampleTrace(problem=sample.problem, messages=tuple(messages))


def write_traces(
    samples: Iterable[SampleProblem], *, seed: int, direct_share: float
) -> Iterator[SampleTrace]:
    """One trace for every problem, deterministic by seed."""
    rng = random.Random(f"traces/{seed}/{direct_share}")
    for sample in samples:
        yield write_trace(sample, rng, direct_share=direct_share)
