"""Places that the environment names: the hub's cache is the one that the hub's own client writes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

NAMES = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME")
LOOK = "from verl_coder.doctor.places import _hub_cache; print(_hub_cache(None))"


@pytest.mark.parametrize(
    ("variable", "below"),
    [("HF_HUB_CACHE", ""), ("HF_HOME", "hub"), ("XDG_CACHE_HOME", "huggingface/hub")],
)
def test_the_hubs_cache_is_where_its_client_writes(variable: str, below: str, tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in NAMES}
    done = subprocess.run(
        [sys.executable, "-c", LOOK],
        env={**environment, variable: str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "PASS" in done.stdout and f"{tmp_path / below}, " in done.stdout
