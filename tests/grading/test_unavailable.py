"""A sandbox that fails is never a wrong answer."""

import asyncio
import contextlib
import os
import signal

from process_tree import leaves_below

from verl_coder.errors import SandboxUnavailableError
from verl_coder.grading import grade, grader
from verl_coder.problems import FunctionCase, FunctionTests
from verl_coder.sandbox import CommandResult, PairResponse, SandboxClient
from verl_coder.sandbox.embedded import EmbeddedSandbox

SUITE = FunctionTests(
    entry_point="f", tests=tuple(FunctionCase(args=(n,), expected=n) for n in range(5)), timeout_s=5.0
)
CODE = "import time\ndef f(n):\n    time.sleep(0.05)\n    return n"


def client_for(url):
    return SandboxClient(url, max_attempts=2)


def test_no_server_is_sandbox_unavailable():
    async def work():
        async with client_for("http://127.0.0.1:9") as client:
            return await grade(CODE, SUITE, client)

    report = asyncio.run(work())
    assert (report.outcome, report.passed, report.total) == ("sandbox_unavailable", 0, 5)
    assert report.message


def test_a_server_killed_in_the_middle_gives_no_wrong_verdict():
    async def work():
        with EmbeddedSandbox() as sandbox:
            async with client_for(sandbox.url) as client:
                assert (await grade(CODE, SUITE, client)).outcome == "passed"
                runs = [asyncio.create_task(grade(CODE, SUITE, client)) for _ in range(24)]
                await asyncio.wait(runs, return_when=asyncio.FIRST_COMPLETED)
                os.kill(sandbox.pid, signal.SIGKILL)
                return await asyncio.gather(*runs)

    outcomes = {report.outcome for report in asyncio.run(work())}
    assert outcomes == {"passed", "sandbox_unavailable"}


def test_programs_killed_by_a_stranger_give_no_wrong_verdict():
    async def work():
        with EmbeddedSandbox() as sandbox:
            async with client_for(sandbox.url) as client:
                assert (await grade(CODE, SUITE, client)).outcome == "passed"
                runs = [asyncio.create_task(grade(CODE, SUITE, client)) for _ in range(16)]
                for _ in range(3):  # once more often, and a killed program would be believed
                    await asyncio.sleep(0.15)
                    # All of them, and none sees another one's end: a candidate that dies alone has ended itself.
                    leaves = leaves_below(sandbox.pid)
                    for number in (signal.SIGSTOP, signal.SIGKILL):
                        for pid in leaves:
                            with contextlib.suppress(ProcessLookupError):
                                os.kill(pid, number)
                return await asyncio.gather(*runs)

    outcomes = [(report.outcome, report.explain()) for report in asyncio.run(work())]
    assert {outcome for outcome, _ in outcomes} <= {"passed", "sandbox_unavailable"}, outcomes


class Scripted:
    """A sandbox whose judge ends as scripted, without a report."""

    def __init__(self, *results):
        self.results = list(results)

    async def supports_pairs(self):
        return True

    async def run_pair(self, request):
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        return PairResponse(status="Failed", message="script", judge=result)


def outcome(*results):
    return asyncio.run(grade(CODE, SUITE, Scripted(*results))).outcome


def test_a_judge_killed_by_a_stranger_is_tried_again_then_unavailable():
    killed = CommandResult(status="Finished", return_code=-9, stdout="", stderr="")
    assert outcome(*[killed] * 4) == "sandbox_unavailable"


def test_a_judge_that_an_answer_filled_up_is_the_solutions_fault():
    full = CommandResult(
        status="Finished", return_code=-9, stdout="", stderr="sandbox: killed: over the memory limit"
    )
    assert outcome(full) == "error"


def test_a_pair_out_of_time_is_a_time_out():
    assert outcome(CommandResult(status="TimeLimitExceeded", stdout="")) == "timeout"


def test_an_error_of_the_service_is_unavailable():
    assert outcome(None) == "sandbox_unavailable"
    assert outcome(SandboxUnavailableError("gone")) == "sandbox_unavailable"


def test_a_report_without_the_nonce_does_not_count():
    forged = '{"status": "ppppp", "details": {}, "load": null, "unsplittable": 0, "timeouts": 0}\n'
    assert outcome(CommandResult(status="Finished", return_code=0, stdout=forged)) == "error"


def test_a_report_that_is_cut_is_the_solutions_fault(monkeypatch):
    monkeypatch.setattr(grader.secrets, "token_hex", lambda count: "nonce")
    for cut in ('nonce{"status": "pppp', "nonce", "nonce[1]"):
        assert outcome(CommandResult(status="Finished", return_code=0, stdout=cut)) == "error"
