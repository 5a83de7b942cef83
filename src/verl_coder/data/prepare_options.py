"""The choices of one `prepare` run, and which of them are a property of its rows."""

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from verl_coder.data.dataset import LoadOptions
from verl_coder.data.verification import VerifyOptions
from verl_coder.errors import DataError


@dataclass(frozen=True, kw_only=True)
class PrepareOptions:
    """The choices of one `prepare` run."""

    out: Path
    load: LoadOptions
    source: str | None = None
    difficulty: str | None = None
    """Keep only this one: easy, medium or hard, or the dataset's own word for it."""
    limit: int | None = None
    seed: int = 0
    validation_fraction: float = 0.2
    train_time_limit_s: float | None = None
    """Most seconds for a test of a training row, with 3 more for loading; held-out rows keep their own limits."""
    train_stubs: float = 0.0
    """Share of the training rows that are posed as a function's head with a docstring, where that can be."""
    strict: bool = False
    verify: VerifyOptions | None = field(default_factory=VerifyOptions)
    drop_trivial: bool = False
    rows_per_shard: int | None = None
    replace: bool = False
    """Whether rows of another dataset or source in `out` may go."""

    def __post_init__(self) -> None:
        if self.train_time_limit_s is not None and not 0 < self.train_time_limit_s < math.inf:
            raise DataError(f"--train-time-limit is {self.train_time_limit_s:g}: use a finite number above 0")
        if not 0 <= self.train_stubs <= 1:
            raise DataError(f"--train-stubs is {self.train_stubs:g}: use a number from 0 to 1")

    def of_the_rows(self) -> dict[str, Any]:
        """For the card: all but where the rows go."""
        return {name: value for name, value in asdict(self).items() if name not in ("out", "replace")}
