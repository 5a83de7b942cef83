"""A file at the place of the folder that a command shall write, or above it, is named before anything else is done."""

from pathlib import Path

import pytest

from verl_coder.cli import app
from verl_coder.errors import ConfigError
from verl_coder.files import refuse_file_in_the_way, refuse_used_folder
from verl_coder.paths import repository_root

BASE = str(repository_root() / "src/verl_coder/tiny/base")
PIPELINE = str(repository_root() / "config/pipeline/tiny.yaml")
COMMANDS = (
    ("data", "prepare", "mbpp", "--out", "PLACE"),
    ("export", "RUN", "--out", "PLACE"),
    ("sft", "--model", BASE, "--traces", "none.parquet", "--dry-run", "--out", "PLACE"),
    ("tiny", "build", "--out", "PLACE"),
    ("tiny", "weaken", "--out", "PLACE"),
    ("tiny", "tools", "--out", "PLACE"),
    ("ablation", "run", "--dry-run", "--out", "PLACE"),
    ("pipeline", "--config", PIPELINE, "--dry-run", "--out", "PLACE"),
)


@pytest.mark.parametrize("place", ["file", "file/run"])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: " ".join(words[:2]))
def test_a_file_in_the_way_is_one_line_with_place_and_fix(
    command: tuple[str, ...], place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "run").mkdir()
    with pytest.raises(ConfigError) as told:
        app([word.replace("PLACE", place).replace("RUN", "run") for word in command], standalone_mode=False)
    words = str(told.value)
    assert place in words and "\n" not in words
    assert "is a file: name another folder" in words or "name another with --out" in words
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "run"]


def test_a_folder_that_is_there_or_can_be_made_is_not_refused(tmp_path: Path) -> None:
    for place in (tmp_path, tmp_path / "new" / "er"):
        refuse_file_in_the_way(place, "--out")
        refuse_used_folder(place)
    assert not (tmp_path / "new").exists()
