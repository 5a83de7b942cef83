"""A trace in words: thoughts, calls, results, the answer."""

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from verl_coder.prompts import without_tool
from verl_coder.protocols import Tags, appended_result, feedback_message, find_protocol
from verl_coder.teacher.attempts import Attempt
from verl_coder.teacher.calls import ToolTurn
from verl_coder.teacher.checks import WRONG, error_line, error_name, wrong_lines
from verl_coder.teacher.choice import Sketch
from verl_coder.teacher.samples import quotable
from verl_coder.teacher.trace_tools import FEEDBACK_AGENT_NAME
from verl_coder.tools.visible_tests import PASSED

_TAGS, _FEEDBACK_TAGS = find_protocol("tool").tags, find_protocol("feedback").tags
_MAX_QUOTE = 120

_TEST = re.compile(r"test \d+: ")

_FIRST = (
    "I write the function and run it on the examples.",
    "I try a first version on the examples.",
    "First I run my solution on the examples.",
)
_AGAIN = ("I change it and run it again.", "I mend it and check again.", "I correct this and try once more.")
_LOOK = (
    "I look at its variables where it goes wrong.",
    "The debugger shows me where.",
    "I stop it there and look.",
)
_LAST = (
    "All examples print ok, so this is my answer.",
    "Every example is ok, so I answer with this code.",
    "The examples pass, so this is the solution.",
)
_LAST_TESTS = (
    "Every test passes, so this is my answer.",
    "The tests pass, so I answer with this code.",
)
_MENDED = ("I correct this.", "I change it.", "So I write it differently.")
_DIRECT = ("I write the function as it is described.", "The function follows from the statement.")


def write_messages(
    sketch: Sketch, calls: Sequence[ToolTurn], rng: random.Random, *, learn_failures: bool = False
) -> list[dict[str, Any]]:
    """The conversation of a sketch, prompt included; failing attempts are read and not learnt, unless asked for.

    `calls` are those of the sketch, none where it is direct. To debug a failing attempt is learnt.

    Learnt, they teach a model to write them again: after 1,310 such traces Qwen2.5-Coder-0.5B repeated a failing
    program word for word in 71% of its conversations of two calls or more.
    """
    answered = sketch.problem.agent_name == FEEDBACK_AGENT_NAME
    prompt = sketch.problem.prompt
    if sketch.plain:
        prompt = without_tool(prompt)
    messages: list[dict[str, Any]] = [dict(message) for message in prompt]
    if answered:
        return messages + _answered_turns(sketch, rng, learn_failures=learn_failures)
    last = sketch.attempts[-1]
    thought = rng.choice(_DIRECT)
    if not sketch.direct:
        thought = rng.choice(_FIRST)
        for call, after in zip(calls, [*calls[1:], None], strict=True):
            text = f"{_think(thought)}\n{call.text}"
            learnt = learn_failures or call.attempt is last or bool(call.seen)
            messages.append({"role": "assistant", "content": text, "weight": int(learnt)})
            messages.append({"role": "tool", "content": call.told})
            thought = _after(call, after, rng)
    answer = f"{_think(thought)}\n```python\n{last.code}\n```"
    messages.append({"role": "assistant", "content": answer})
    return messages


def _after(call: ToolTurn, after: ToolTurn | None, rng: random.Random) -> str:
    """The thought with which the turn behind a call begins."""
    if after is None:
        return rng.choice(_LAST_TESTS if _TEST.match(call.told) else _LAST)
    said = _sentence(call.seen, otherwise="I see it.") if call.seen else remark(call.attempt, call.told)
    return f"{said} {rng.choice(_LOOK if after.seen else _AGAIN)}"


def _answered_turns(sketch: Sketch, rng: random.Random, *, learn_failures: bool) -> list[dict[str, Any]]:
    """Answers, each of which but the last the tests answer, as `feedback_agent` rolls them out."""
    assert _FEEDBACK_TAGS is not None
    messages: list[dict[str, Any]] = []
    thought = rng.choice(_DIRECT)
    for attempt in sketch.attempts[-1:] if sketch.direct else sketch.attempts:
        last = attempt is sketch.attempts[-1]
        answer = f"{_think(thought)}\n```python\n{attempt.code}\n```"
        messages.append({"role": "assistant", "content": answer, "weight": int(last or learn_failures)})
        if not last:
            messages.append({"role": "user", "content": feedback_message(attempt.told, _FEEDBACK_TAGS)})
            thought = f"{remark(attempt, attempt.told)} {rng.choice(_MENDED)}"
    return messages


def decoded_response(messages: Iterable[Mapping[str, Any]], tags: Tags | None = None) -> str:
    """What a rollout with these turns decodes to, special tokens left out: the text that rewards grade.

    `tags`: those between which a result stands in the model's own turn.
    """
    assert _TAGS is not None
    text = ""
    for message in messages:
        if message["role"] == "assistant":
            text += message["content"]
        elif message["role"] == "tool" and tags is not None:
            text += appended_result(text, message["content"], tags)
        elif message["role"] == "tool":
            text += f"\nuser\n{_TAGS.result}\n{message['content']}\n{_TAGS.end_result}\nassistant\n"
        elif text and message["role"] == "user":
            text += f"\nuser\n{message['content']}\nassistant\n"
    return text


def failure_name(attempt: Attempt) -> str:
    """What was wrong with a failing attempt, in a word: the error's name, or `wrong`."""
    if attempt.run.result.status == "TimeLimitExceeded":
        return "TimeoutError"
    return "wrong" if attempt.run.succeeded else error_name(attempt.run.text) or "failure"


def remark(attempt: Attempt, told: str) -> str:
    """One sentence about what is told of a failing attempt."""
    failed = [line for line in told.splitlines() if _TEST.match(line) and not line.endswith(PASSED)]
    if failed:
        return _sentence(f"T{failed[0][1:]}", otherwise="A test fails")
    if attempt.run.result.status == "TimeLimitExceeded":
        return "The program did not end in time: it is too slow, or a loop never ends."
    if not attempt.run.succeeded:
        found = error_line(told)
        if found is None:
            return "The program failed."
        return _sentence(f"It fails with {found[0]}", otherwise=f"It fails with {found[1]}")
    wrong = wrong_lines(told)
    if not wrong:
        return "The program ended before the tests."
    count = "One example is" if len(wrong) == 1 else f"{len(wrong)} examples are"
    which = "" if len(wrong) == 1 else "the first "
    return _sentence(f"{count} wrong: {which}got {wrong[0].removeprefix(WRONG)}", otherwise=f"{count} wrong")


def _sentence(text: str, *, otherwise: str) -> str:
    """The text with a full stop, or another one where a thought cannot hold it."""
    text = text if len(text) <= _MAX_QUOTE and quotable(text) else otherwise
    return text if text.endswith((".", "!", "?")) else text + "."


def _think(thought: str) -> str:
    return f"<think>{thought}</think>"
