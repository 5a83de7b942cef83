"""Style `stdio`, each test in a process of its own: plain runs of the program, whose output is compared here."""

import asyncio
import contextlib
from typing import Any

from verl_coder.errors import SandboxUnavailableError
from verl_coder.grading.plan import GradingPlan
from verl_coder.grading.programs.compare import same_text
from verl_coder.grading.programs.record import GradingRecord, Stop, show
from verl_coder.grading.programs.spec import Spec
from verl_coder.sandbox import CommandResult, RunRequest, SandboxClient

FEW_TESTS = 3
"""Up to so many plain runs cost less than a pair of programs that runs them together."""
_LONG_TEXT = 1 << 16
_DOES_NOT_PARSE = ("SyntaxError:", "IndentationError:", "TabError:")


class _Runs(GradingRecord):
    """A record whose budget is the time that the programs ran, not the time that they waited for a slot."""

    spent_s = 0.0

    @property
    def left_s(self) -> float:
        return self.spec.budget_s - self.spent_s


async def run_alone(code: str, plan: GradingPlan, spec: Spec, sandbox: SandboxClient) -> dict[str, Any]:
    """Run what `spec` leaves open, one test after the other; the report, as the judge of a pair writes it.

    SandboxUnavailableError where the sandbox fails.
    """
    record = _Runs(spec)
    with contextlib.suppress(Stop):
        for item in spec.items:
            if record.skip_settled():
                continue
            if record.is_over:
                break
            cap = output_cap(item)
            response = await sandbox.run_code(
                RunRequest(
                    code=code,
                    stdin=item["stdin"],
                    run_timeout=record.limit_s,
                    memory_limit_MB=plan.memory_mb or -1,
                    output_limit_bytes=cap,
                )
            )
            result = answered(response.run_result, response.message)
            record.spent_s += result.execution_time or 0.0
            await _judge(record, item, result, cap)
    report = record.report(0)
    return {**report, "details": {str(index): words for index, words in report["details"].items()}}


async def _judge(record: GradingRecord, item: dict[str, Any], result: CommandResult, cap: int) -> None:
    got, expected = result.stdout or "", item["expected"]
    if result.status == "TimeLimitExceeded":
        letter, message = "t", f"did not end within {record.spec.timeout_s:g} s"
    elif len(got) > cap // 4 and len(got.encode()) > cap:
        letter, message = "f", f"printed more than {cap} bytes"
    elif result.return_code != 0:
        words = (result.stderr or "")[-500:].strip()
        last = words.rpartition("\n")[2]
        if last.startswith(_DOES_NOT_PARSE) and not got and "Traceback (most" not in words:
            record.fail_load("e", last)
        letter, message = "e", f"exit status {result.return_code}: {words}"
    else:
        letter, message = "p" if await _same(got, expected) else "f", ""
    record.add(letter, item["stdin"], message, show(expected), show(got))


async def _same(got: str, expected: str) -> bool:
    if len(got) + len(expected) < _LONG_TEXT:
        return same_text(got, expected)
    # Long texts would hold up everything else that this event loop serves.
    return await asyncio.to_thread(same_text, got, expected)


def output_cap(item: dict[str, Any]) -> int:
    """Bytes, more than a passing answer could need."""
    return 4 * len(item["expected"]) + (1 << 16)


def answered(result: CommandResult | None, message: str) -> CommandResult:
    """The result; SandboxUnavailableError where there is none."""
    if result is None or result.status == "Error":
        raise SandboxUnavailableError(f"the sandbox could not run the programs: {message[:200]}")
    return result
