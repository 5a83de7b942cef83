"""Style `stdio`, each test in a process of its own: plain runs of the program, whose output is compared here."""

import asyncio
import contextlib
from typing import Any

from verl_coder.errors import SandboxUnavailableError
from verl_coder.grading.plan import GradingPlan
from verl_coder.grading.programs.compare import same_text
from verl_coder.grading.programs.record import GradingRecord, Stop, show
from verl_coder.grading.programs.run_programs import output_cap, too_long
from verl_coder.grading.programs.spec import Spec
from verl_coder.sandbox import CommandResult, RunRequest, SandboxClient

FEW_TESTS = 3
"""Up to so many plain runs cost less than a pair of programs that runs them together."""
_LONG_TEXT = 1 << 16
_PROVEN = 2
"""Failures of a shared process that, confirmed here, settle the others."""
_REPEATS = 2
"""More runs of a program whose pass alone speaks against a shared process: one that guesses rarely stands by it."""
_DOES_NOT_PARSE = ("SyntaxError:", "IndentationError:", "TabError:")


class _Runs(GradingRecord):
    """A record whose budget is the time that the programs ran, not the time that they waited for a slot."""

    spent_s = 0.0
    timeouts_s = 0.0
    """Wall seconds of the runs that met their limit."""
    cpu_s: float | None = 0.0
    """CPU seconds of those; None where a server has not said."""

    @property
    def left_s(self) -> float:
        return self.spec.budget_s - self.spent_s


_Verdict = tuple[str, str, str]
"""Letter, message, and what was printed."""


async def run_alone(code: str, plan: GradingPlan, spec: Spec, sandbox: SandboxClient) -> dict[str, Any]:
    """Run what `spec` leaves open, one test after the other; the report, as the judge of a pair writes it.

    A test's answer is taken once: where one that failed in a shared process passes here, and does so again and again,
    the shared process is not believed at all, and what came of it runs here, too. SandboxUnavailableError where the
    sandbox fails.
    """
    runs = _Alone(code, plan, spec, sandbox)
    await runs.run()
    if runs.record.refuted:
        await runs.run_all()
    report = runs.record.report(0)
    return {
        **report,
        "cpu_s": runs.record.cpu_s,
        "timeouts_s": runs.record.timeouts_s,
        "details": {str(index): words for index, words in report["details"].items()},
    }


class _Alone:
    """The runs of one program; `verdicts` are those of tests that ran in a process of their own."""

    def __init__(self, code: str, plan: GradingPlan, spec: Spec, sandbox: SandboxClient) -> None:
        self.code = code
        self.plan = plan
        self.sandbox = sandbox
        self.record = _Runs(spec)
        self.verdicts: dict[int, _Verdict] = {}

    async def run(self) -> None:
        """What is open; up to the first refuted guess."""
        guessed = sorted(map(int, self.record.spec.provisional))
        with contextlib.suppress(Stop):
            if len(guessed) > _PROVEN:
                # The last one, too, is looked at before others are settled by the first ones.
                await self._verdict(guessed[-1])
            for index, item in enumerate(self.record.spec.items):
                if self.record.refuted or self.record.skip_settled():
                    continue
                if self.record.is_over:
                    break
                letter, message, got = await self._verdict(index)
                self.record.add(letter, item["stdin"], message, show(item["expected"]), show(got))

    async def run_all(self) -> None:
        """Everything that has not run in a process of its own, the shared one forgotten."""
        before = self.record
        self.record = _Runs(before.spec._replace(known="", provisional={}, timeouts=0))
        for name in ("spent_s", "timeouts_s", "cpu_s"):
            setattr(self.record, name, getattr(before, name))
        await self.run()

    async def _verdict(self, index: int) -> _Verdict:
        """Of a test in a process of its own, run once; a pass that the shared process denies must come three times."""
        if index not in self.verdicts:
            verdict = await self._run_once(index)
            if str(index) in self.record.spec.provisional and verdict[0] == "p":
                again = [await self._run_once(index) for _ in range(_REPEATS)]
                changed = next((other for other in again if other[0] != "p"), None)
                self.record.refuted = changed is None
                verdict = ("f", "its answer changes from run to run", changed[2]) if changed else verdict
            self.verdicts[index] = verdict
        return self.verdicts[index]

    async def _run_once(self, index: int) -> _Verdict:
        item = self.record.spec.items[index]
        cap = output_cap(self.record.spec.items)
        response = await self.sandbox.run_code(
            RunRequest(
                code=self.code,
                stdin=item["stdin"],
                run_timeout=self.record.limit_s,
                memory_limit_MB=self.plan.memory_mb or -1,
                output_limit_bytes=cap,
            )
        )
        result = answered(response.run_result, response.message)
        self.record.spent_s += result.execution_time or 0.0
        if result.status == "TimeLimitExceeded":
            self.record.timeouts_s += result.execution_time or 0.0
            if self.record.cpu_s is not None:
                self.record.cpu_s = None if result.cpu_time is None else self.record.cpu_s + result.cpu_time
        return await self._judge(item, result, cap)

    async def _judge(self, item: dict[str, Any], result: CommandResult, cap: int) -> _Verdict:
        got = result.stdout or ""
        if result.status == "TimeLimitExceeded":
            return "t", f"did not end within {self.record.spec.timeout_s:g} s", got
        if (result.cpu_time or 0.0) > self.plan.cpu_limit_s:
            return "t", f"computed for more than {self.plan.cpu_limit_s:g} s", got
        if long := too_long(got, cap):
            return "f", long, got
        if result.return_code != 0:
            words = (result.stderr or "")[-500:].strip()
            last = words.rpartition("\n")[2]
            if last.startswith(_DOES_NOT_PARSE) and not got and "Traceback (most" not in words:
                self.record.fail_load("e", last)
            return "e", f"exit status {result.return_code}: {words}", got
        return ("p" if await _same(got, item["expected"]) else "f"), "", got


async def _same(got: str, expected: str) -> bool:
    if len(got) + len(expected) < _LONG_TEXT:
        return same_text(got, expected)
    # Long texts would hold up everything else that this event loop serves.
    return await asyncio.to_thread(same_text, got, expected)


def answered(result: CommandResult | None, message: str) -> CommandResult:
    """The result; SandboxUnavailableError where there is none."""
    if result is None or result.status == "Error":
        raise SandboxUnavailableError(f"the sandbox could not run the programs: {message[:200]}")
    return result
