"""`rejected.parquet`: every record that did not become a row, where it was, and why."""

from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from verl_coder.files import whole_file

REJECTED_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("data_source", "place", "problem_id", "reason", "message")]
)


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """One record left out: `reason` is a code to count by, `message` what to tell a person."""

    data_source: str
    place: str
    reason: str
    message: str
    problem_id: str = ""


def write_rejected(rejections: list[Rejection], path: Path) -> None:
    """Write them, or remove the file of an earlier run when there are none."""
    if not rejections:
        path.unlink(missing_ok=True)
        return
    table = pa.Table.from_pylist([asdict(rejection) for rejection in rejections], schema=REJECTED_SCHEMA)
    with whole_file(path) as temporary:
        pq.write_table(table, temporary, compression="zstd")


def count_reasons(rejections: list[Rejection]) -> Counter[str]:
    """How many for each reason."""
    return Counter(rejection.reason for rejection in rejections)
