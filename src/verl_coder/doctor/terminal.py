"""The report: a line for each check as it comes, and the summary; or one JSON object."""

import json

from rich.console import Console
from rich.text import Text

from verl_coder.consoles import PlainConsole, printable
from verl_coder.doctor.check import CheckedLine
from verl_coder.doctor.examine import examine, is_ill, summary
from verl_coder.doctor.situation import DoctorOptions

_STYLES = {"PASS": "green", "WARN": "yellow", "FAIL": "bold red", "SKIP": "dim"}


def report(options: DoctorOptions, *, as_json: bool, console: Console | None = None) -> int:
    """Look, print, and return the exit status: 1 where a check has failed."""
    console = console or PlainConsole()
    if as_json:
        lines = examine(options)
        print(json.dumps(to_dict(lines), indent=1, ensure_ascii=False))
        return int(is_ill(lines))
    with console.status("") as spinner:
        lines = examine(
            options, lambda line: _print(console, line), lambda check: spinner.update(f"{check.name} ...")
        )
    console.print(summary(lines), highlight=False)
    return int(is_ill(lines))


def to_dict(lines: list[CheckedLine]) -> dict[str, object]:
    """`{ok, summary, checks: [{name, component, status, text, fix, seconds}]}`."""
    checks = [
        {
            "name": line.name,
            "component": line.component,
            "status": line.result.status,
            "text": line.result.text,
            "fix": line.result.fix,
            "seconds": round(line.seconds, 3),
        }
        for line in lines
    ]
    return {"ok": not is_ill(lines), "summary": summary(lines), "checks": checks}


def _print(console: Console, line: CheckedLine) -> None:
    status, text, fix = line.result.status, printable(line.result.text), printable(line.result.fix or "")
    console.print(Text.assemble((status, _STYLES[status]), f"  {line.name:<18} {text}"), soft_wrap=True)
    if fix:
        console.print(Text.assemble(" " * 24, ("fix: ", "bold"), fix), soft_wrap=True)
