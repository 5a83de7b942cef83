"""The problems to evaluate on: rows of Parquet files, checked before a model is loaded."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from verl_coder.data.prepared import iter_rows, resolve_prepared
from verl_coder.errors import ConfigError, DataError
from verl_coder.evaluation.protocol import Posed, pose
from verl_coder.grading.plan import make_plan
from verl_coder.problems import Problem


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which rows of the files are asked, and how; None leaves a filter out."""

    limit: int | None = None
    difficulty: str | None = None
    tag: str | None = None
    date_from: str | None = None
    date_to: str | None = None
    """Of the problem's publication, YYYY-MM-DD, both ends included."""
    protocol: str | None = None


@dataclass(frozen=True, kw_only=True)
class ProblemSet:
    """Problems in the order of their files."""

    files: tuple[Path, ...]
    digest: str
    """SHA-256 of the files' bytes, in order."""
    problems: tuple[Posed, ...]


def load_problems(paths: Sequence[Path], choice: Choice) -> ProblemSet:
    """Read and filter; DataError names the file and row that is wrong, ConfigError a filter that leaves nothing."""
    files = tuple(file for path in paths for file in resolve_prepared(path))
    posed: list[Posed] = []
    there: set[str] = set()
    for file in files:
        for number, row in enumerate(iter_rows(file)):
            try:
                problem = Problem.from_row(row)
                make_plan(problem.tests)  # as the grader will
            except DataError as error:
                raise DataError(f"{file}, row {number}: {error}") from error
            except (TypeError, AttributeError) as error:
                raise DataError(
                    f"{file}, row {number}: a column is of another kind than a row's ({error})"
                ) from error
            there.add(problem.difficulty)
            if _wanted(problem, choice):
                posed.append(pose(problem, choice.protocol))
    name, count = Counter(p.problem.problem_id for p in posed).most_common(1)[0] if posed else ("", 0)
    if count > 1:
        raise DataError(
            f"{', '.join(map(str, paths))}: problem_id {name!r} stands {count} times; samples are kept by it, so each "
            "problem must have its own"
        )
    if not posed:
        unknown = choice.difficulty and choice.difficulty not in there
        hint = f" (of difficulty there are {', '.join(sorted(there))})" if unknown and there else ""
        raise ConfigError(f"no problem is left of {', '.join(map(str, paths))} by {_words(choice)}{hint}")
    return ProblemSet(files=files, digest=_digest(files), problems=tuple(posed[: choice.limit]))


def _wanted(problem: Problem, choice: Choice) -> bool:
    if choice.difficulty and problem.difficulty != choice.difficulty:
        return False
    if choice.tag and choice.tag not in problem.tags:
        return False
    if choice.date_from or choice.date_to:
        if not problem.date:
            raise ConfigError(
                f"{problem.problem_id} has no extra_info.date, so there is no window of dates: LiveCodeBench has them "
                "(verl-coder data prepare livecodebench)"
            )
        return (choice.date_from or "") <= problem.date[:10] <= (choice.date_to or "9999")
    return True


def _words(choice: Choice) -> str:
    given = {name: value for name, value in vars(choice).items() if value is not None and name != "protocol"}
    return ", ".join(f"{name} {value}" for name, value in given.items()) or "its rows"


def _digest(files: Sequence[Path]) -> str:
    found = hashlib.sha256()
    for file in files:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                found.update(block)
    return found.hexdigest()
