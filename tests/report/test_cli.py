import subprocess
import sys
from pathlib import Path

from report.folders import write_run


def verl_coder(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "verl_coder.cli", "report", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_report_goes_into_its_run_and_says_where_it_is(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    done = verl_coder(str(run))
    assert done.returncode == 0, done.stderr
    assert "27 trajectories of 1 folder," in done.stdout
    assert (run / "report" / "index.html").as_uri() in done.stdout


def test_a_folder_that_is_none_is_one_line_and_status_1(tmp_path: Path) -> None:
    done = verl_coder(str(tmp_path / "missing"))
    assert done.returncode == 1 and done.stderr.count("\n") == 1 and "no such folder" in done.stderr
