"""Which checkpoint of an SFT run has the lowest held-out loss."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from verl_coder.errors import CheckpointError
from verl_coder.files import read_object, write_durably


@dataclass(frozen=True, kw_only=True)
class BestLoss:
    """A step and the loss of the held-out traces after it, a mean over their learnt tokens."""

    step: int
    loss: float

    @classmethod
    def read(cls, path: Path) -> "BestLoss | None":
        """What `write` wrote; None where nothing was, CheckpointError where it is broken."""
        if not path.is_file():
            return None
        cure = "remove it, and the last checkpoint counts"
        found = read_object(path, cure)
        try:
            return cls(step=int(found["step"]), loss=float(found["loss"]))
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(f"{path} is broken ({type(error).__name__}: {error}): {cure}") from error

    def write(self, path: Path) -> None:
        """As JSON, on the disk when it returns."""
        write_durably(path, json.dumps(asdict(self)))
