"""The choice among the checks, and the round."""

from collections.abc import Callable, Sequence

from verl_coder.doctor.all_checks import CHECKS
from verl_coder.doctor.check import CheckedLine, DoctorCheck, look
from verl_coder.doctor.components import COMPONENTS
from verl_coder.doctor.situation import DoctorOptions, Situation
from verl_coder.errors import ConfigError
from verl_coder.words import counted, did_you_mean


def choose(wanted: Sequence[str]) -> list[DoctorCheck]:
    """The checks of these components or names; all but the slow ones where none is named. ConfigError."""
    for name in wanted:
        if name not in COMPONENTS and name not in {check.name for check in CHECKS}:
            there = f"there are {', '.join(COMPONENTS)}, and each check by its own name"
            known = [*COMPONENTS, *(check.name for check in CHECKS)]
            raise ConfigError(f"--component {name}: {did_you_mean(name, known, there)}")
    if not wanted:
        return [check for check in CHECKS if not check.only_when_named]
    return [check for check in CHECKS if check.component in wanted or check.name in wanted]


def examine(
    options: DoctorOptions,
    on_line: Callable[[CheckedLine], None] = lambda _: None,
    on_look: Callable[[DoctorCheck], None] = lambda _: None,
) -> list[CheckedLine]:
    """Look at everything that is wanted; `on_look` is told what is next, `on_line` each finding. ConfigError."""
    checks, lines = choose(options.components), []
    with Situation(options) as situation:
        for check in checks:
            on_look(check)
            lines.append(look(check, situation))
            on_line(lines[-1])
    return lines


def summary(lines: Sequence[CheckedLine]) -> str:
    """`41 checks: 36 PASS, 1 WARN, 0 FAIL, 4 SKIP in 7.2 s`."""
    counts = {
        name: sum(line.result.status == name for line in lines) for name in ("PASS", "WARN", "FAIL", "SKIP")
    }
    told = ", ".join(f"{count} {name}" for name, count in counts.items())
    return f"{counted(len(lines), 'check')}: {told} in {sum(line.seconds for line in lines):.1f} s"


def is_ill(lines: Sequence[CheckedLine]) -> bool:
    """Whether a check has failed."""
    return any(line.result.status == "FAIL" for line in lines)
