"""One sample of a teacher: asked turn by turn, its programs run in our sandbox, its answer graded by our grader.

Everything that was answered stands in the journal, and is taken from there first: what a killed command had, the next
one does not ask again, and what it runs and grades again is nothing but what the journal lacks.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from verl_coder.errors import DataError, SandboxUnavailableError
from verl_coder.grading import answer_code, grade
from verl_coder.sandbox import SandboxClient
from verl_coder.teacher.client import TeacherClient
from verl_coder.teacher.exchange import TeacherExchange
from verl_coder.teacher.journal import Journal, StoredVerdict, digest
from verl_coder.teacher.offers import Offers
from verl_coder.teacher.replies import (
    REFUSED,
    FailedReplyError,
    MalformedReplyError,
    ThinkingField,
    parse_reply,
)
from verl_coder.teacher.samples import is_python, normalised
from verl_coder.teacher.sampling import Sampling
from verl_coder.teacher.tasks import TeacherTask
from verl_coder.teacher.tool_runs import ToolRuns


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherSample:
    """What came of one sample; its conversation is in the journal."""

    task: int
    """Place of the problem in the list of tasks."""
    number: int
    """Of the sample among those of its problem."""
    dropped: str = ""
    """Why it is no candidate for a trace, whatever the grader says; empty where it is one."""
    verdict: StoredVerdict | None = None
    code_key: str = ""
    """Hash of the code, the same for codes that differ in layout only."""
    text_key: str = ""
    """Hash of all that the student would say in it; empty where it was dropped."""
    turns: int = 0
    calls: int = 0
    """Turns that call the tool, answered or not."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    thinking: ThinkingField = ""
    finish_reason: str = ""

    @property
    def passed(self) -> bool:
        """Every hidden test passed."""
        return self.verdict is not None and self.verdict.outcome == "passed"

    @property
    def refusal(self) -> str:
        """The server's words where it refused a request of it, else empty."""
        return self.dropped.removeprefix(REFUSED) if self.dropped.startswith(REFUSED) else ""


class Conversed(NamedTuple):
    """A conversation that has ended, or why it has not."""

    task: TeacherTask
    place: int
    number: int
    played: TeacherExchange
    dropped: str


def text_key(played: TeacherExchange) -> str:
    """Hash of all that the student would say in a conversation."""
    return digest(played.dialogue.response())


@dataclass(kw_only=True)
class Synthesis:
    """Plays samples; the parts that it needs are open while it does."""

    client: TeacherClient
    journal: Journal
    sandbox: SandboxClient
    sampling: Sampling
    offers: Offers
    tasks: Sequence[TeacherTask] = ()
    """Whose tools are made at once."""
    places: int = 1
    """Conversations at a time whose calls are made in a workspace."""
    max_turns: int = 4
    learn_failures: bool = False

    def __post_init__(self) -> None:
        self._grading: dict[str, asyncio.Task[StoredVerdict]] = {}
        self._runs = ToolRuns(self.offers, self.sandbox, self.tasks, places=self.places)

    async def end(self) -> None:
        """Drop the grading that nobody waits for any more, and close what the tools have open."""
        tasks = list(self._grading.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._runs.close()

    def replay(self, task: TeacherTask, number: int) -> TeacherExchange:
        """As much of a sample as the journal has, to the limit of turns; what cannot be read counts as missing."""
        played = TeacherExchange(task, self.offers)
        while self._goes_on(played) and (entry := self.journal.find_reply(task.key, number, played.turns)):
            try:
                reply = parse_reply(entry["raw"])
            except (FailedReplyError, MalformedReplyError):
                break
            if result := entry.get("result"):
                if not played.answered_so(result["text"], line_format=entry.get("format", 0)):
                    break
                self._answer(played, result["text"], result["failed"])
            played.add(reply)
        return played

    async def converse(self, task: TeacherTask, index: int, number: int) -> Conversed:
        """The conversation of a sample; what the journal lacks is asked. Raises what TeacherClient.complete does."""
        played = self.replay(task, number)
        dropped = ""
        try:
            while self._goes_on(played):
                await self._ask(task, number, played)
        except FailedReplyError as error:
            if error.raw is not None:
                await self.journal.add_failure(task.key, number, played.turns, error.why, error.raw)
            dropped = error.why
        if not dropped and played.only_mistakes:
            dropped = "bad calls alone, turn after turn"
        if not dropped and not played.ended:
            dropped = f"no answer in {self.max_turns} turns"
        return Conversed(task, index, number, played, dropped)

    async def judge(self, conversed: Conversed) -> TeacherSample:
        """The sample with its verdict; SandboxUnavailableError where there is none."""
        played, dropped = conversed.played, conversed.dropped
        verdict, code_key = None, ""
        if not dropped:
            dropped, verdict, code_key = await self._judge(conversed.task, played)
        return TeacherSample(
            task=conversed.place,
            number=conversed.number,
            dropped=dropped,
            verdict=verdict,
            code_key=code_key,
            text_key="" if dropped else text_key(played),
            turns=played.turns,
            calls=played.calls,
            prompt_tokens=played.prompt_tokens,
            completion_tokens=played.completion_tokens,
            thinking=played.thinking,
            finish_reason=played.finish_reason,
        )

    def _goes_on(self, played: TeacherExchange) -> bool:
        """Whether the teacher has another turn; a journal may have more of them than this start allows."""
        return not played.ended and played.turns < self.max_turns and not played.only_mistakes

    async def _ask(self, task: TeacherTask, number: int, played: TeacherExchange) -> None:
        """One more turn: the result of the last call, then the teacher's answer to it, on disk."""
        result = None
        if played.call is not None:
            result = await self._runs.run(played.call, played.made, task)
            self._answer(played, *result)
        body = self.sampling.body(**played.dialogue.request(), sample=number)
        completion = await self.client.complete(body, problem=task.key)
        entry = {
            "raw": completion.raw,
            "seconds": round(completion.seconds, 3),
            "result": None if result is None else {"text": result[0], "failed": result[1]},
        }
        await self.journal.add_reply(task.key, number, played.turns, entry)
        played.add(completion.reply)

    def _answer(self, played: TeacherExchange, text: str, failed: bool) -> None:
        played.answer(text, failed=failed, learn_failures=self.learn_failures)

    async def _judge(
        self, task: TeacherTask, played: TeacherExchange
    ) -> tuple[str, StoredVerdict | None, str]:
        """(why it is no candidate, verdict, hash of the code) of a conversation that has ended."""
        code = answer_code(played.dialogue.response(), task.problem.tests)
        if code is None or not code.strip():
            return "no code", None, ""
        if not is_python(code):
            return "invalid Python", None, ""
        verdict = await self._grade(task, code)
        return played.dialogue.unusable(), verdict, digest(normalised(code) if verdict.passed else code)

    async def _grade(self, task: TeacherTask, code: str) -> StoredVerdict:
        """The verdict, of the journal where it knows the code; samples with one code wait for one grading."""
        key = digest([code, task.tests_key])
        if known := self.journal.find_verdict(key):
            return known
        if key not in self._grading:
            self._grading[key] = asyncio.create_task(self._graded(task, code, key))
        return await asyncio.shield(self._grading[key])

    async def _graded(self, task: TeacherTask, code: str, key: str) -> StoredVerdict:
        try:
            try:
                report = await grade(code, task.problem.tests, self.sandbox)
            except DataError as error:
                raise DataError(f"{task.problem.problem_id}: {error}") from error
            if report.outcome == "sandbox_unavailable":
                raise SandboxUnavailableError(
                    f"{task.problem.problem_id} has no verdict: {report.message}; the same command goes on"
                )
            verdict = StoredVerdict(report.outcome, report.passed, report.total)
            await self.journal.add_verdict(key, verdict)
            return verdict
        finally:
            del self._grading[key]
