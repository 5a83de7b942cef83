"""Where the scripts look for relative paths: where the user stands. What is not given goes to the repository."""

import subprocess
from pathlib import Path

import pytest
from stub_environment import make_stub_environment

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ("run_ablation", "run_sft", "run_qwen_grpo", "run_pipeline")


def call(tmp_path: Path, script: str, **variables: str) -> str:
    """The command line that a script runs for somebody who stands in `elsewhere`, which the end of the line says."""
    venv = make_stub_environment(tmp_path)
    (venv / "bin" / "python").write_text(f'#!/bin/sh\necho "$@ IN $PWD" >>{tmp_path}/calls\n')
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    given = {"PATH": "/usr/bin:/bin", "PROFILE": "cpu", "VENV": str(venv), "TRACES": "t.parquet", **variables}
    command = [
        "bash",
        str(ROOT / "run_scripts" / f"{script}.sh"),
        *(["all"] if script == "run_pipeline" else []),
    ]
    subprocess.run(command, cwd=elsewhere, env=given, check=True, capture_output=True, timeout=60)
    return (tmp_path / "calls").read_text().splitlines()[-1]


@pytest.mark.parametrize("script", SCRIPTS)
def test_what_is_given_is_looked_for_where_the_user_stands(script: str, tmp_path: Path) -> None:
    line = call(tmp_path, script, MODEL="mine/model", OUT="mine/run")
    assert "--out mine/run" in line and line.endswith(f"IN {tmp_path}/elsewhere")
    assert script == "run_pipeline" or "--model mine/model" in line


@pytest.mark.parametrize(("script", "name"), [("run_ablation", "ablation"), ("run_sft", "sft-seed0")])
def test_a_folder_that_is_not_given_is_in_the_repository(script: str, name: str, tmp_path: Path) -> None:
    assert f"--out {ROOT}/outputs/{name}" in call(tmp_path, script, MODEL="owner/name")


def test_an_ablation_of_a_folder_of_the_users_own_has_that_folders_name(tmp_path: Path) -> None:
    line = call(tmp_path, "run_ablation", MODEL="owner/name", RECIPE="/home/me/my recipe")
    assert f"--out {ROOT}/outputs/my recipe" in line
