"""Train and validation by a seeded hash of the problem's id: stable when a dataset grows or is reordered."""

import hashlib


def unit_hash(*parts: object) -> float:
    """A number in [0, 1) that depends on `parts` alone."""
    digest = hashlib.sha256("\x1f".join(str(part) for part in parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def assign_split(data_source: str, problem_id: str, *, seed: int, validation_fraction: float) -> str:
    """`validation` for that fraction of the ids, else `train`."""
    return "validation" if unit_hash(seed, data_source, problem_id) < validation_fraction else "train"
