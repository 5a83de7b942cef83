"""What the trainer is doing now: written by the trainer, read by the launcher, which shows it and watches over it."""

import dataclasses
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from verl_coder.files import write_atomically
from verl_coder.json_text import is_number

STARTING, TRAINING, EVALUATING, SAVING, ENDING = "starting", "training", "evaluating", "saving", "ending"
START_PARTS = (
    "starting Ray",
    "starting the trainer",
    "reading the data",
    "starting the workers",
    "loading the model",
    "starting vLLM",
    "reading the checkpoint",
    "first weight sync",
)
"""In order, each begun when the one before it has ended."""


@dataclass(frozen=True, kw_only=True)
class Phase:
    """`phase.json`."""

    phase: str
    step: int = 0
    total: int = 0
    part: str = ""
    """Of the phase: generating, updating, syncing weights, ..."""
    done: int = 0
    of: int = 0
    """What of the part is done (answers, stages); 0 of 0 where it is not counted."""
    since: float = 0.0
    """When the part began, seconds since 1970."""

    @property
    def key(self) -> str:
        """`training: updating`."""
        return f"{self.phase}: {self.part}" if self.part else self.phase

    @property
    def marker(self) -> tuple[Any, ...]:
        """Changes with every progress."""
        return (self.phase, self.part, self.step, self.done)

    @property
    def place(self) -> int:
        """The number to show before `of`: which part of the start it is, else how many are done."""
        return self.done + 1 if self.phase == STARTING else self.done

    def describe(self) -> str:
        """`start 6/8: starting vLLM`; `training, step 3 of 12, generating (40 of 128)`."""
        if self.phase == STARTING and self.of:
            return f"start {self.place}/{self.of}: {self.part}"
        words = [self.phase]
        if self.total:
            words.append(f"step {self.step} of {self.total}")
        if self.part:
            words.append(self.part + (f" ({self.place} of {self.of})" if self.of else ""))
        return ", ".join(words)

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all; OSError on a full disk."""
        write_atomically(path, json.dumps(dataclasses.asdict(self)))

    @classmethod
    def read(cls, path: Path) -> "Phase | None":
        """None where there is no file, or a damaged one: the next part writes it anew."""
        try:
            found = cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError, RecursionError):
            return None
        texts, numbers = (
            (found.phase, found.part),
            (found.step, found.total, found.done, found.of, found.since),
        )
        is_one = all(isinstance(each, str) for each in texts) and all(map(is_number, numbers))
        return found if is_one else None


def read_history(path: Path) -> dict[str, float]:
    """`phase_history.json`: phase -> the longest it took without progress, in seconds; empty where there is none."""
    try:
        found = json.loads(path.read_text()).items()
    except (OSError, ValueError, AttributeError, RecursionError):
        return {}
    return {key: float(value) for key, value in found if is_number(value)}


def starting(part: str) -> Phase:
    """A part of the start, counted."""
    return Phase(
        phase=STARTING, part=part, done=START_PARTS.index(part), of=len(START_PARTS), since=time.time()
    )
