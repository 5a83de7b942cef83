"""From raw dataset records to verified Parquet: sources, splits, mixing, verification, deduplication, inspection.

What one dataset's records look like is not here but in `data_prep/<dataset>.py`, which imports these names.
"""

from verl_coder.data.dataset import Dataset, Draft, HubSource, LoadOptions
from verl_coder.data.out_folder import take_folder
from verl_coder.data.python_code import can_fail, defined_names, tested_name, without_fence
from verl_coder.data.python_code import parse as parse_python
from verl_coder.data.record import (
    Code,
    Entries,
    Label,
    Labels,
    Number,
    RawRecord,
    Record,
    RowError,
    Statements,
    parse_json,
    parse_record,
    parse_value,
)
from verl_coder.data.script import run_script
from verl_coder.data.solution_imports import import_from_solution
from verl_coder.data.writer import WrittenFile, write_rows

__all__ = [
    "Code",
    "Dataset",
    "Draft",
    "Entries",
    "HubSource",
    "Label",
    "Labels",
    "LoadOptions",
    "Number",
    "RawRecord",
    "Record",
    "RowError",
    "Statements",
    "WrittenFile",
    "can_fail",
    "defined_names",
    "import_from_solution",
    "parse_json",
    "parse_python",
    "parse_record",
    "parse_value",
    "run_script",
    "take_folder",
    "tested_name",
    "without_fence",
    "write_rows",
]
