"""From raw dataset records to verified Parquet: sources, splits, mixing, verification, deduplication, inspection.

What one dataset's records look like is not here but in `data_prep/<dataset>.py`, which imports these names.
"""

from verl_coder.data.dataset import (
    Dataset,
    Draft,
    HubSource,
    LoadOptions,
    RawRecord,
    Record,
    RowError,
    parse_json,
    parse_record,
)
from verl_coder.data.python_code import imported_from_solution, tested_name
from verl_coder.data.python_code import parse as parse_python
from verl_coder.data.script import run_script
from verl_coder.data.writer import WrittenFile, write_rows

__all__ = [
    "Dataset",
    "Draft",
    "HubSource",
    "LoadOptions",
    "RawRecord",
    "Record",
    "RowError",
    "WrittenFile",
    "imported_from_solution",
    "parse_json",
    "parse_python",
    "parse_record",
    "run_script",
    "tested_name",
    "write_rows",
]
