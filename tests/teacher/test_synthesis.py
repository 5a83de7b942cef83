"""One sample of a teacher out of the journal: it comes out as if it were asked now."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from verl_coder.problems import AssertTests, Problem
from verl_coder.prompts import build_prompt
from verl_coder.protocols import find_protocol, tool_call
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


async def conversed(path: Path, texts: Sequence[str], *, max_turns: int, result: str = "1") -> Conversed:
    """The conversation of a journal that has these answers; nothing is asked, since there is nobody to ask."""
    client: Any = TeacherClient(["http://127.0.0.1:1/v1"], max_attempts=1)
    sandbox: Any = SandboxClient(["http://127.0.0.1:1"])
    with Journal(path) as journal:
        for turn, text in enumerate(texts):
            raw = {"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}
            answered = {"text": result, "failed": False} if turn else None
            await journal.add_reply(TASK.key, 0, turn, {"raw": raw, "seconds": 1, "result": answered})
        synthesis = Synthesis(
            client=client,
            journal=journal,
            sandbox=sandbox,
            sampling=Sampling(model="m"),
            offers=Offers(None),
            max_turns=max_turns,
        )
        return await synthesis.converse(TASK, 0, 0)


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
