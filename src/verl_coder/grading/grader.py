"""`grade`: a solution against a test suite, over any sandbox."""

import json
import secrets
import signal
import weakref
from dataclasses import replace
from typing import Any

from verl_coder.errors import SandboxUnavailableError
from verl_coder.grading.alone import FEW_TESTS, answered, run_alone
from verl_coder.grading.bundle import (
    NEXT_FORM,
    Form,
    encode_file,
    heavy_modules,
    program_code,
    program_files,
)
from verl_coder.grading.plan import GradingPlan, make_plan
from verl_coder.grading.report import Strength, TestReport, empty_report, report_from_judge
from verl_coder.grading.statements import does_something
from verl_coder.problems import TestSuite
from verl_coder.sandbox import CommandResult, PairRequest, Program, RunRequest, SandboxClient
from verl_coder.sandbox.validate import MAX_TIMEOUT_S

_SLACK_S = 5.0
_LOADING_CPU_S = 0.1
_ATTEMPTS = 4
_forms: "weakref.WeakKeyDictionary[SandboxClient, Form]" = weakref.WeakKeyDictionary()
"""How the sandboxes of a client get their programs, where it is not the shortest way."""


async def grade(
    code: str, tests: TestSuite, sandbox: SandboxClient, *, stop_early: bool = False, stretch: float = 1.0
) -> TestReport:
    """Grade `code`; `stop_early` ends at the first test that does not pass (the rest counts as not run).

    `stretch` multiplies every limit of time for a solution that waits for the processor, not for one that computes
    longer. A sandbox that does not answer gives the outcome `sandbox_unavailable`,
    never an exception. DataError where the tests themselves are unusable.
    """
    plan = make_plan(tests).stretched(stretch, most_s=MAX_TIMEOUT_S - _SLACK_S)
    code = code.removeprefix("\ufeff")
    if not does_something(code):
        return empty_report("no_code", plan.spec.total, "the completion holds no code")
    spent = _Spent()
    report = await _grade(code, plan, sandbox, stop_early, spent)
    computed_s, most_s = spent.cpu_s or 0.0, plan.spec.total * plan.cpu_limit_s + _LOADING_CPU_S
    if report.outcome == "passed" and computed_s > most_s:
        return empty_report(
            "timeout", report.total, f"computed for {computed_s:.1f} s, more than {most_s:.1f} s"
        )
    return replace(report, cpu_share=spent.share_of(plan.limits_met_s(report)))


class _Spent:
    """CPU and wall seconds of the solution's processes so far; None once a server has not said."""

    cpu_s: float | None = 0.0
    wall_s: float | None = 0.0

    def add(self, cpu_s: float | None, wall_s: float | None) -> None:
        """Those of one more request."""
        self.cpu_s = None if cpu_s is None or self.cpu_s is None else self.cpu_s + cpu_s
        self.wall_s = None if wall_s is None or self.wall_s is None else self.wall_s + wall_s

    def share_of(self, limits_s: float) -> float | None:
        """At least so much of the limits that were met was CPU time; None where none was, or nobody knows.

        Which test took how much is not known: what ran outside the limits is taken to have computed all the time.
        """
        if not limits_s or self.cpu_s is None or self.wall_s is None:
            return None
        return max(0.0, self.cpu_s - max(0.0, self.wall_s - limits_s)) / limits_s


async def _grade(
    code: str, plan: GradingPlan, sandbox: SandboxClient, stop_early: bool, spent: _Spent
) -> TestReport:
    message = "the sandbox ended the programs by itself"
    try:
        if plan.spec.style == "program" and plan.spec.total <= FEW_TESTS:
            raw = await run_alone(code, plan, plan.spec._replace(stop_early=stop_early), sandbox)
            spent.add(raw["cpu_s"], raw["timeouts_s"])
            return report_from_judge(raw, strength="pair")
        strength: Strength = "pair" if await sandbox.supports_pairs() else "single_request"
        run = _run_pair if strength == "pair" else _run_single
        spec = plan.spec._replace(stop_early=stop_early)
        details: dict[str, Any] = {}
        for _ in range(_ATTEMPTS):
            spec = spec._replace(nonce=secrets.token_hex(8))
            job = json.dumps(plan.job_for(code, direct=spec.direct)).encode()
            result, cpu_s = await run(code, plan, job, json.dumps(spec).encode(), sandbox)
            spent.add(cpu_s, result.execution_time)
            read = _read_report(result.stdout or "", spec.nonce)
            if read is None:
                return empty_report("error", plan.spec.total, "the judge's report was cut: it is too long")
            raw = read
            message = raw.get("infrastructure", message)
            if "status" in raw:
                details.update(raw["details"])
                if not raw["resume"]:
                    report = report_from_judge({**raw, "details": details}, strength=strength)
                    return report.with_limits(plan.out_of_reach)
                spec = spec._replace(
                    direct=False,
                    known=raw["status"],
                    provisional=raw["provisional"],
                    timeouts=raw["timeouts"],
                )
                if spec.style == "program":
                    raw = await run_alone(code, plan, spec, sandbox)
                    spent.add(raw["cpu_s"], raw["timeouts_s"])
                    details.update(raw["details"])
                    return report_from_judge({**raw, "details": details}, strength=strength)
            elif result.return_code in NEXT_FORM:
                _forms[sandbox] = NEXT_FORM[result.return_code]
            elif not raw and (strength == "single_request" or not _killed_by_stranger(result)):
                return _no_report(result, plan)
    except SandboxUnavailableError as error:
        message = str(error)
    return empty_report("sandbox_unavailable", plan.spec.total, message)


def _killed_by_stranger(result: CommandResult) -> bool:
    """The judge of a pair was killed from outside, and not for its memory, which an enormous answer can fill.

    What it crashed of by itself (SIGSEGV) came of an answer. In a single request the solution may have killed it.
    """
    from_outside = result.return_code in (-signal.SIGKILL, -signal.SIGTERM)
    return from_outside and "memory limit" not in (result.stderr or "")


def _no_report(result: CommandResult, plan: GradingPlan) -> TestReport:
    if result.status == "TimeLimitExceeded":
        return empty_report("timeout", plan.spec.total, f"no verdict within {plan.spec.budget_s:g} s")
    words = (result.stderr or "").strip().splitlines()[-1:] or [f"exit status {result.return_code}"]
    return empty_report("error", plan.spec.total, f"the judge ended without a report: {words[0]}")


def _read_report(stdout: str, nonce: str) -> dict[str, Any] | None:
    """What stands on the line that starts with the nonce, which the solution cannot know.

    Nothing where there is no such line; None where it is cut: what the judge wrote of the solution is beyond a limit.
    """
    position = stdout.find(nonce)
    if position < 0:
        return {}
    try:
        raw = json.loads(stdout[position + len(nonce) :].partition("\n")[0])
    except ValueError:
        return None
    return raw if isinstance(raw, dict) else None


async def _run_pair(
    code: str, plan: GradingPlan, job: bytes, spec: bytes, sandbox: SandboxClient
) -> tuple[CommandResult, float | None]:
    """The judge's result, and the candidate's CPU seconds."""
    form = _forms.get(sandbox, "held")
    response = await sandbox.run_pair(
        PairRequest(
            judge=Program(
                code=program_code("judge_main", form, heavy_modules(plan.imports)),
                files={**program_files("judge_main", form), "spec.json": encode_file(spec)},
            ),
            candidate=Program(
                code=program_code("candidate_main", form, heavy_modules(code)),
                files={**program_files("candidate_main", form), "job.json": encode_file(job)},
            ),
            run_timeout=plan.spec.budget_s + _SLACK_S,
            memory_limit_MB=plan.memory_mb or -1,
        )
    )
    candidate = response.candidate
    return answered(response.judge, response.message), candidate.cpu_time if candidate else None


async def _run_single(
    code: str, plan: GradingPlan, job: bytes, spec: bytes, sandbox: SandboxClient
) -> tuple[CommandResult, float | None]:
    """The result of the one request, and its CPU seconds, the judge's among them."""
    form = _forms.get(sandbox, "bytecode")
    response = await sandbox.run_code(
        RunRequest(
            code=program_code("single_main", form, heavy_modules(code + plan.imports)),
            stdin=spec.decode(),
            files={**program_files("single_main", form), "job.json": encode_file(job)},
            run_timeout=plan.spec.budget_s + _SLACK_S,
            memory_limit_MB=plan.memory_mb or -1,
        )
    )
    result = answered(response.run_result, response.message)
    return result, result.cpu_time
