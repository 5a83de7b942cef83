"""A made environment for the scripts whose Python only notes how it was called: where Ray or Slurm would be needed."""

import subprocess
from pathlib import Path

from verl_coder.paths import repository_root


def make_stub_environment(folder: Path) -> Path:
    """`VENV=` for the scripts, PROFILE=cpu; the calls stand in the file `calls` of `folder`."""
    venv = folder / "venv"
    (venv / "bin").mkdir(parents=True)
    python = venv / "bin" / "python"
    python.write_text(f'#!/bin/sh\necho "$@" >>{folder}/calls\n')
    python.chmod(0o755)
    stamp = "source run_scripts/environment.sh && PROFILE=cpu && stamp_of"
    (venv / "stamp").write_bytes(subprocess.check_output(["bash", "-c", stamp], cwd=repository_root()))
    (venv / "checkout").write_text(f"{repository_root()}\n")
    return venv
