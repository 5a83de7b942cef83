"""One sample of a teacher out of the journal: it comes out as if it were asked now."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from verl_coder.problems import AssertTests, Problem
from verl_coder.prompts import build_prompt
from verl_coder.protocols import find_protocol, hermes_call, tool_call
from verl_coder.sandbox import SandboxClient
from verl_coder.teacher.client import TeacherClient
from verl_coder.teacher.journal import Journal
from verl_coder.teacher.offers import Offers
from verl_coder.teacher.sampling import Sampling
from verl_coder.teacher.synthesis import Conversed, Synthesis
from verl_coder.teacher.tasks import TeacherTask
from verl_coder.teacher.trace_file import write_traces

ANSWER = "```python\ndef double(n):\n    return 2 * n\n```"
CALL = tool_call("python_interpreter", "print(1)")
TASK = TeacherTask(
    problem=Problem(
        data_source="d",
        problem_id="p",
        prompt=build_prompt("Double.", style="function", protocol="tool", entry_point="double"),
        tests=AssertTests(tests=("assert double(1) == 2",), entry_point="double"),
        split="train",
    ),
    protocol=find_protocol("tool"),
    key="ab" * 16,
    tests_key="",
    place=0,
)


async def conversed(
    path: Path, texts: Sequence[str], *, max_turns: int, result: str = "1", old: bool = False
) -> Conversed:
    """The conversation of a journal that has these answers; nothing is asked, since there is nobody to ask."""
    with Journal(path) as journal:
        for turn, text in enumerate(texts):
            raw = {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}
            answered = {"text": result, "failed": False} if turn else None
            await journal.add_reply(TASK.key, 0, turn, {"raw": raw, "seconds": 1, "result": answered})
    if old:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        named = [{name: line[name] for name in line if name != "format"} for line in lines]
        path.write_text("".join(f"{json.dumps(line)}\n" for line in named))
    with Journal(path) as journal:
        return await synthesis_of(journal, max_turns=max_turns).converse(TASK, 0, 0)


def synthesis_of(journal: Journal, *, max_turns: int = 9) -> Synthesis:
    """With a teacher and a sandbox that are not there."""
    client: Any = TeacherClient(["http://127.0.0.1:1/v1"], max_attempts=1)
    sandbox: Any = SandboxClient(["http://127.0.0.1:1"])
    return Synthesis(
        client=client,
        journal=journal,
        sandbox=sandbox,
        sampling=Sampling(model="m"),
        offers=Offers(None),
        max_turns=max_turns,
    )


@pytest.mark.parametrize(
    ("max_turns", "turns", "dropped"),
    [(1, 1, "no answer in 1 turns"), (2, 2, "no answer in 2 turns"), (3, 3, ""), (9, 3, "")],
)
async def test_a_journal_of_more_turns_is_read_to_the_limit_of_this_start(
    max_turns: int, turns: int, dropped: str, tmp_path: Path
) -> None:
    found = await conversed(tmp_path / "j.jsonl", [CALL, CALL, ANSWER], max_turns=max_turns)
    assert (found.played.turns, found.dropped) == (turns, dropped)


async def test_what_a_journal_has_behind_an_answer_is_not_read(tmp_path: Path) -> None:
    found = await conversed(tmp_path / "j.jsonl", [CALL, ANSWER, ANSWER], max_turns=9)
    assert (found.played.turns, found.dropped) == (2, "")


async def test_an_old_journal_with_half_a_surrogate_pair_makes_a_trace(tmp_path: Path) -> None:
    texts = [f"\ud83d {CALL}", f"\ude00 {ANSWER}"]
    found = await conversed(tmp_path / "j.jsonl", texts, max_turns=4, result="\ud83d")
    trace = found.played.dialogue.trace
    write_traces([{"problem_id": "p", "messages": trace, "source": "s"}], tmp_path / "traces.parquet")
    assert [message["content"][0] for message in trace[2:]] == ["?", "?", "?"]


@pytest.mark.parametrize(
    ("arguments", "stored"),
    [
        ({"code": "print(1)", "timeout": 3}, "1"),
        ('{"code": "print(1)"}', 'TypeError: the argument "code" must be a string'),
        ({"code": "```python\nprint(1)\n```"}, "SyntaxError: invalid syntax"),
    ],
)
async def test_a_result_that_an_old_journal_gives_to_another_call_is_asked_for_again(
    tmp_path: Path, arguments: Any, stored: str
) -> None:
    text = hermes_call("python_interpreter", arguments)
    found = await conversed(tmp_path / "j.jsonl", [text, ANSWER], max_turns=1, result=stored, old=True)
    assert found.played.turns == 1
    assert await turns_read(tmp_path / "j.jsonl") == 1


@pytest.mark.parametrize(
    "printed",
    [
        "Unknown function 'sqrt'",
        "Invalid JSON in arguments for 'f'",
        'TypeError: the argument "code" must be',
    ],
)
async def test_a_program_may_print_what_an_old_journal_has_for_an_error(tmp_path: Path, printed: str) -> None:
    found = await conversed(tmp_path / "j.jsonl", [CALL, ANSWER], max_turns=9, result=printed)
    assert (found.played.turns, found.dropped) == (2, "")
    assert await turns_read(tmp_path / "j.jsonl") == 2


async def test_an_old_result_that_would_be_the_same_today_is_taken(tmp_path: Path) -> None:
    found = await conversed(tmp_path / "j.jsonl", [CALL, ANSWER], max_turns=9, old=True)
    assert (found.played.turns, found.dropped) == (2, "")


async def turns_read(path: Path) -> int:
    """How much of the journal the next start takes."""
    with Journal(path) as journal:
        return synthesis_of(journal).replay(TASK, 0).turns


async def test_bad_calls_alone_end_a_sample_as_they_end_a_rollout(tmp_path: Path) -> None:
    bad = hermes_call("python_interpreter", {})
    error = "Error: python_interpreter lacks the argument 'code'"
    found = await conversed(tmp_path / "j.jsonl", [bad, bad, bad, ANSWER], max_turns=9, result=error)
    assert (found.played.turns, found.dropped) == (3, "bad calls alone, turn after turn")
