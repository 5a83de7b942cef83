"""What `teacher repairs` is asked for, and what came of it."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from verl_coder.errors import ConfigError
from verl_coder.teacher.attempt_journal import journal_path
from verl_coder.teacher.trace_file import keep_inputs


@dataclass(frozen=True, kw_only=True)
class RepairOptions:
    """What `verl-coder teacher repairs` is asked for."""

    problems: Path
    out: Path
    tools: Path | None = None
    """YAML; None: the shipped one that the rows need."""
    samples: tuple[Path, ...] = ()
    per_problem: int = 4
    max_attempts: int = 3
    """Attempts in a trace, the last one with the code that passes; a debugger's look comes on top."""
    failing_share: float = 0.5
    direct_share: float = 0.0
    """Of traces that do not call the tool on offer."""
    plain_share: float = 0.0
    """Of traces whose prompt offers no tool."""
    own_first_tries: bool = False
    """A reference mends a failing attempt, and is never the first one."""
    own_mends: bool = False
    """No reference at all: what mends is any passing sample of the model."""
    learn_failures: bool = False
    seed: int = 0
    sandbox_url: str | None = None
    concurrency: int = 0
    """Programs at a time in each sandbox; 0 = twice the number of cores."""

    def check_shares(self) -> None:
        """ConfigError where they are more than all."""
        if self.direct_share + self.plain_share > 1:
            raise ConfigError(
                f"--direct-share {self.direct_share} and --plain-share {self.plain_share} are more than all traces"
            )

    def check(self) -> None:
        """ConfigError where they cannot be followed."""
        self.check_shares()
        if self.out.is_dir():
            raise ConfigError(
                f"--out {self.out} is a folder: name a file, such as {self.out / 'traces.parquet'}"
            )
        read = {"--samples": self.samples, "--tools": [self.tools] if self.tools else []}
        written = {"--out": self.out, "the journal of --out": journal_path(self.out)}
        keep_inputs(written, [self.problems], read)


@dataclass(kw_only=True)
class RepairReport:
    """What was read, tried and written."""

    problems: int = 0
    samples: Counter[str] = field(default_factory=Counter)
    """Counts of `Samples`."""
    attempts: Counter[str] = field(default_factory=Counter)
    """The model's own distinct codes by verdict."""
    references: Counter[str] = field(default_factory=Counter)
    """References that were run, by verdict."""
    skipped: Counter[str] = field(default_factory=Counter)
    """Problems without a trace, by reason."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Traces that were not written, by reason."""
    by_attempts: Counter[int] = field(default_factory=Counter)
    """Traces by number of attempts that a tool runs, 0 = direct."""
    debugged: int = 0
    """Traces in which a debugger looks at a failing attempt."""
    plain: int = 0
    """Traces whose prompt offers no tool."""
    by_last_code: Counter[str] = field(default_factory=Counter)
    """Traces by where their last code is from: own, reference."""
    mended_by: Counter[str] = field(default_factory=Counter)
    """The same of those with a failure."""
    failures: Counter[str] = field(default_factory=Counter)
    """Failing attempts in the traces: the error's name, or `wrong`."""
    problems_with_traces: int = 0
    traces: int = 0
    seconds: float = 0.0
