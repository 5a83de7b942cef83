"""The folder of an evaluation: the names of its files, and what its samples were drawn with.

It loads nothing of what evaluates, so that the report and the pipeline name the files, too.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from verl_coder.errors import ConfigError
from verl_coder.files import read_json, refuse_file_in_the_way, write_durably

RESULTS = "evaluation_results.json"
SAMPLES = "samples.parquet"
"""A row a sample, when all are there."""
JOURNAL = "samples.jsonl"
"""The samples so far."""
TIMING = "timing.json"
"""Seconds of its starts."""
SETTINGS = "settings.json"
"""What it was asked for: kept beside its samples, so that other settings never mix into them."""
COMPARISON = "comparison.json"
"""What `verl-coder compare A B --out` writes for the report, in the folder that holds A and B."""
_STARTED_WITH = "started_with"
"""In the settings: versions of what drew and graded samples, one entry for all starts that had the same."""
_FREE = ("k", _STARTED_WITH)
"""Settings that change no sample: another value goes on from the samples there are."""
_BY_CONTENT = {"data": "data_digest", "model": "model_digest", "tools": "tools_text"}
"""Paths, and what tells that the same stands at another one: on another machine, or in a folder that was moved."""


def is_evaluation(folder: Path) -> bool:
    """Whether the folder is that of an evaluation."""
    return any((folder / name).is_file() for name in (RESULTS, SAMPLES, JOURNAL))


def check_out(folder: Path) -> None:
    """ConfigError where `--out` is a file, or a folder of something else: a run, a model, prepared data."""
    refuse_file_in_the_way(folder, "--out")
    if is_evaluation(folder) or not folder.is_dir():
        return
    others = sorted(
        path.name
        for path in folder.iterdir()
        if path.name not in (SETTINGS, JOURNAL, SAMPLES, RESULTS, TIMING)
        and path.name[:1] != "."
        and path.suffix not in (".log", ".txt")
    )
    if others:
        raise ConfigError(
            f"--out {folder} holds {others[0]} and no evaluation: give a folder of its own, such as {folder}/evaluation"
        )


def keep_settings(path: Path, settings: dict[str, Any], *, begun: bool) -> None:
    """Write the settings; where samples are there (`begun`), compare with those that they were drawn with.

    ConfigError names the first setting that differs, and both values.
    """
    kept = {}
    if begun:
        if not path.exists():
            raise ConfigError(
                f"{path.parent} holds samples but no {path.name}, so that nobody knows what they were drawn with: put "
                "the file back, or give another --out"
            )
        before = read_json(path, f"put the file back as it was, or give another --out than {path.parent}")
        kept = {_STARTED_WITH: before[_STARTED_WITH]} if _STARTED_WITH in before else {}
        for name in [*settings, *(name for name in before if name not in settings)]:
            old, new = before.get(name), settings.get(name)
            content = _BY_CONTENT.get(name, "")
            is_same = bool(settings.get(content)) and before.get(content) == settings.get(content)
            if name not in _FREE and not is_same and old != new:
                raise ConfigError(
                    f"{path.parent} holds samples drawn with {name} = {_short(old)}, and this command says "
                    f"{_short(new)}: give it another --out, or the old value"
                )
    write_durably(path, json.dumps(settings | kept, indent=1, ensure_ascii=False) + "\n")


def note_start(path: Path, versions: Mapping[str, str]) -> None:
    """Write down, in the settings, what is about to draw and grade samples."""
    settings = read_json(path, "put the file back as it was")
    earlier = settings.get(_STARTED_WITH) or []
    if versions not in earlier:
        settings[_STARTED_WITH] = [*earlier, dict(versions)]
        write_durably(path, json.dumps(settings, indent=1, ensure_ascii=False) + "\n")


def started_with(path: Path) -> list[dict[str, str]]:
    """The versions of `note_start`, oldest first; none where all samples are of before they were written down."""
    found: list[dict[str, str]] = read_json(path, "put the file back as it was").get(_STARTED_WITH) or []
    return found


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 120 else text[:117] + "..."
