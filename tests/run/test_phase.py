"""What the trainer writes of its phase is read back, and what is damaged ends nobody who reads it."""

import json
from pathlib import Path

import pytest

from verl_coder.run.phase import Phase, read_history, starting


def test_a_phase_is_read_as_it_was_written(tmp_path: Path) -> None:
    for phase in (starting("loading the model"), Phase(phase="training", step=3, total=9, since=1.5)):
        phase.write(tmp_path / "phase.json")
        assert Phase.read(tmp_path / "phase.json") == phase


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"null",
        b"[1]",
        b"{}",
        b'{"other": 1}',
        b'{"phase": 5}',
        b'{"phase": "training", "step": "x"}',
        b'{"phase": "training", "step": 1e999}',
        b'{"phase": "training", "since": null}',
        b"[" * 10**5,
    ],
)
def test_a_damaged_phase_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "phase.json").write_bytes(content)
    assert Phase.read(tmp_path / "phase.json") is None


def test_of_a_damaged_history_the_numbers_count(tmp_path: Path) -> None:
    path = tmp_path / "phase_history.json"
    assert read_history(path) == {}
    for content in (b"\xff", b"[1]", b"[" * 10**5):
        path.write_bytes(content)
        assert read_history(path) == {}
    path.write_text(json.dumps({"a": 1, "b": "x", "c": float("inf"), "d": None}))
    assert read_history(path) == {"a": 1.0}
