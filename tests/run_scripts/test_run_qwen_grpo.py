"""What run_qwen_grpo.sh hands on is what was given: of the rest the recipe decides."""

import subprocess
from pathlib import Path

import pytest
from stub_environment import make_stub_environment

SCRIPT = Path(__file__).resolve().parents[2] / "run_scripts" / "run_qwen_grpo.sh"


def _command(tmp_path: Path, **variables: str) -> str:
    venv = make_stub_environment(tmp_path)
    (venv / "bin" / "python").write_text('#!/bin/sh\necho "$@"\n')
    given = {"PATH": "/usr/bin:/bin", "PROFILE": "cpu", "VENV": str(venv), **variables}
    done = subprocess.run(
        ["bash", str(SCRIPT)], env=given, check=True, capture_output=True, text=True, timeout=60
    )
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize("variables", [{}, {"SEED": ""}], ids=["none", "empty"])
def test_a_knob_that_is_not_set_is_not_handed_on(tmp_path: Path, variables: dict[str, str]) -> None:
    """A seed of 0 would take the place of the recipe's."""
    assert _command(tmp_path, **variables).endswith(" train --recipe tiny_cpu")


def test_every_knob_that_is_set_is_handed_on(tmp_path: Path) -> None:
    knobs = {
        name: f"my {name}" for name in ("MODEL", "TRAIN", "VAL", "REWARD", "LOSS", "TOOLS", "OUT", "SEED")
    }
    words = _command(tmp_path, RECIPE="mine", **knobs)
    assert words.endswith(
        "train --recipe mine " + " ".join(f"--{name.lower()} {value}" for name, value in knobs.items())
    )
