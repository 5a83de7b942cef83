"""The environment that the scripts make."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_an_environment_of_the_other_profile_is_refused_and_left_alone(tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    venv.mkdir()
    (venv / "profile").write_text("gpu\n")
    script = "source run_scripts/environment.sh; make_environment"
    environment = {"PATH": "/usr/bin:/bin", "PROFILE": "cpu", "VENV": str(venv)}
    done = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert f"{venv} was made with PROFILE=gpu, and this is PROFILE=cpu" in done.stderr
    assert f"VENV={venv}-cpu" in done.stderr
    assert [path.name for path in venv.iterdir()] == ["profile"]
