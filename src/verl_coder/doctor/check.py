"""What a check is, and what it says."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from verl_coder.doctor.components import Component
from verl_coder.doctor.situation import NotHereError, Situation
from verl_coder.errors import VerlCoderError
from verl_coder.installation import missing_package
from verl_coder.sandbox.client import split_urls

CheckStatus = Literal["PASS", "WARN", "FAIL", "SKIP"]
_BADNESS: tuple[CheckStatus, ...] = ("PASS", "SKIP", "WARN", "FAIL")


@dataclass(frozen=True, kw_only=True)
class CheckResult:
    """A status, what was found, and where it is no PASS what to do."""

    status: CheckStatus
    text: str
    fix: str = ""


@dataclass(frozen=True, kw_only=True)
class DoctorCheck:
    """One check. What it raises is a finding, too: a NotHereError is SKIP, anything else FAIL."""

    name: str
    component: Component
    look: Callable[[Situation], CheckResult]
    fix: str
    """What to do where `look` raises; an error of the project's names the place and the value itself."""
    only_when_named: bool = False
    """Too slow for every time: looked at with `--component` only."""


@dataclass(frozen=True, kw_only=True)
class CheckedLine:
    """A line of the report."""

    name: str
    component: Component
    result: CheckResult
    seconds: float


def passed(text: str) -> CheckResult:
    """All is well."""
    return CheckResult(status="PASS", text=text)


def warned(text: str, fix: str) -> CheckResult:
    """A run starts, and may be slow or lack something."""
    return CheckResult(status="WARN", text=text, fix=fix)


def failed(text: str, fix: str) -> CheckResult:
    """A run would fail, or its numbers would be wrong."""
    return CheckResult(status="FAIL", text=text, fix=fix)


def skipped(text: str, fix: str = "") -> CheckResult:
    """There is nothing to look at."""
    return CheckResult(status="SKIP", text=text, fix=fix)


def look(check: DoctorCheck, situation: Situation) -> CheckedLine:
    """The finding of one check, whatever it raises."""
    began = time.monotonic()
    try:
        result = check.look(situation)
    except NotHereError as reason:
        result = skipped(str(reason))
    except VerlCoderError as error:
        result = failed(str(error), check.fix)
    except ModuleNotFoundError as error:
        result = failed(missing_package(error) or str(error), check.fix)
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        result = failed(f"{type(error).__name__}: {lines[0][:300]}", check.fix)
    return CheckedLine(
        name=check.name, component=check.component, result=result, seconds=time.monotonic() - began
    )


def of_each_server(look: Callable[[Situation, str], CheckResult]) -> Callable[[Situation], CheckResult]:
    """A check of every server that the run is given: the worst finding, which names its server."""

    def look_at_all(situation: Situation) -> CheckResult:
        urls = split_urls(situation.sandbox_url)
        found = [(url, look(situation, url)) for url in urls]
        url, worst = max(found, key=lambda pair: _BADNESS.index(pair[1].status))
        if len(urls) == 1:
            return worst
        name = f"each of {len(urls)} servers" if worst.status == "PASS" else url
        return worst if worst.text.startswith(url) else replace(worst, text=f"{name}: {worst.text}")

    return look_at_all
