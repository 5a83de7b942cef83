"""From raw dataset records to verified Parquet: sources, splits, mixing, verification, deduplication, inspection.

What one dataset's records look like is not here but in `data_prep/<dataset>.py`.
"""

from verl_coder.data.writer import WrittenFile, write_rows

__all__ = ["WrittenFile", "write_rows"]
