"""Sandboxes that are not what they should be: each answers as the true one does but for one thing."""

import base64
import time
from collections.abc import Callable
from typing import Any

from doctor.conftest import Ward
from doctor.faults import Fault
from doctor.lying_sandbox import Body, Lie, lying

from verl_coder.doctor import sandbox
from verl_coder.sandbox.embedded import EmbeddedSandbox


def _lies(lie: Lie, **options: Any) -> Callable[[Ward], Any]:
    def change(ward: Ward) -> None:
        ward.sandbox_url = ward.ends.enter_context(lying(ward.sandbox_url, lie, **options))

    return change


def _honest(path: str, body: Body, ask: Callable[[Body], Body]) -> Body | int:
    return ask(body) if body else {}


def _slow(path: str, body: Body, ask: Callable[[Body], Body]) -> Body | int:
    time.sleep(0.3)
    return ask(body)


def _answer(code: str, **changed: Any) -> Lie:
    """The answer to programs with `code` in them is changed: fields of run_result, and `status` of the whole."""

    def lie(path: str, body: Body, ask: Callable[[Body], Body]) -> Body | int:
        answer = ask(body)
        if code in str(body.get("code")):
            whole = changed.get("whole", answer["status"])
            result = {key: value for key, value in changed.items() if key != "whole"}
            answer |= {"status": whole, "run_result": {**answer["run_result"], **result}}
        return answer

    return lie


def _cuts(path: str, body: Body, ask: Callable[[Body], Body]) -> Body | int:
    answer = ask(body)
    answer["run_result"]["stdout"] = answer["run_result"]["stdout"][:1000]
    return answer


def _no_files(path: str, body: Body, ask: Callable[[Body], Body]) -> Body | int:
    return ask({**body, "files": {}})


def _no_pairs(path: str, body: Body, ask: Callable[[Body], Body]) -> Body | int:
    return 404 if path == "/run_pair" else _honest(path, body, ask)


def _kind_to_wrong_answers(path: str, body: Body, ask: Callable[[Body], Body]) -> Body | int:
    """Runs the right program in the place of the wrong one."""
    if path != "/run_pair" or not body:
        return ask(body) if path != "/run_pair" else 405

    def mend(content: str) -> str:
        return base64.b64encode(base64.b64decode(content).replace(b"x * 3", b"x * 2")).decode()

    candidate = body["candidate"]
    files = {name: mend(content) if content else content for name, content in candidate["files"].items()}
    return ask({**body, "candidate": {**candidate, "files": files}})


def _dead(ward: Ward) -> None:
    ward.sandbox_url = "http://127.0.0.1:9"


def _unprotected(ward: Ward) -> None:
    open_one = EmbeddedSandbox(isolation="none", extra=["--unsafe", "--workers", "2", "--hold", ""])
    ward.sandbox_url = ward.ends.enter_context(open_one).url


def _elsewhere(ward: Ward) -> None:
    ward.monkeypatch.setattr(sandbox, "is_this_machine", lambda url: False)


def _unprotected_elsewhere(ward: Ward) -> None:
    _unprotected(ward)
    _elsewhere(ward)


def _claims_isolation_elsewhere(ward: Ward) -> None:
    _unprotected_elsewhere(ward)
    _lies(_honest, isolation="namespaces")(ward)


SANDBOX = (
    Fault("no sandbox", "sandbox", "FAIL", "attempts failed", "sandbox serve", _dead),
    Fault("another answer", "sandbox", "FAIL", "'41", "restart", _lies(_answer("6 * 7", stdout="41\n"))),
    Fault("a slow way", "sandbox-latency", "WARN", "median", "nearer", _lies(_slow)),
    Fault("mixed answers", "sandbox-many", "FAIL", "31 of 32", "restart", _lies(_answer("** 2", stdout="0\n"))),
    Fault("cut output", "sandbox-output", "WARN", "1,000 came", "output-mb", _lies(_cuts)),
    Fault("right told as failed", "sandbox-outcomes", "FAIL", "a right program", "restart",
          _lies(_answer("'ok'", whole="Failed", return_code=1))),
    Fault("failing told as right", "sandbox-outcomes", "FAIL", "a failing program", "restart",
          _lies(_answer("the reason", whole="Success", return_code=0))),
    Fault("no time limit told", "sandbox-outcomes", "FAIL", "a program without end", "restart",
          _lies(_answer("while True", status="Finished"))),
    Fault("no memory limit", "sandbox-outcomes", "FAIL", "4 GiB", "restart",
          _lies(_answer("4 << 30", whole="Success", return_code=0, stdout="4294967296\n"))),
    Fault("no files", "sandbox-files", "FAIL", "was read as ''", "restart", _lies(_no_files)),
    Fault("no word on isolation", "sandbox-mode", "WARN", "does not say", "container", _lies(_honest, isolation=None)),
    Fault("light isolation", "sandbox-mode", "WARN", "Landlock", "namespaces", _lies(_honest, isolation="light; x")),
    Fault("no isolation elsewhere", "sandbox-hostile", "WARN", "the environment of the process above it", "isolates",
          _unprotected_elsewhere),
    Fault("isolation that is only claimed", "sandbox-hostile", "FAIL", "the environment of the process above it",
          "does not do what it says", _claims_isolation_elsewhere),
    Fault("no isolation", "sandbox-hostile", "FAIL", "it read a file", "sandbox_isolation", _unprotected),
)  # fmt: skip
GRADER = (
    Fault("wrong answers pass", "grader-verdicts", "FAIL", "the wrong answer to tests of style", "--explain",
          _lies(_kind_to_wrong_answers)),
    Fault("no sandbox to grade in", "grader-verdicts", "FAIL", "sandbox_unavailable", "--explain", _dead,
          ("grader-pairs",)),
    Fault("no pairs", "grader-pairs", "WARN", "no /run_pair", "embedded", _lies(_no_pairs)),
)  # fmt: skip
SANDBOXES = (*SANDBOX, *GRADER)
