"""The pages build as a site, warnings as errors, where the builder of run_scripts/build_docs.sh is installed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from verl_coder.paths import repository_root

ROOT = repository_root()
PINS = ROOT / "requirements" / "docs.txt"
VENV = Path(os.environ.get("DOCS_VENV") or ROOT / ".venv-docs")


def why_not() -> str:
    """Why the site cannot be built here without fetching anything; empty where it can."""
    if not (VENV / "pins").is_file():
        return f"no builder in {VENV}: `bash run_scripts/build_docs.sh` installs it (DOCS_VENV= names another place)"
    wanted = subprocess.run(["cksum"], stdin=PINS.open("rb"), capture_output=True, text=True, check=True)
    if (VENV / "pins").read_text() != wanted.stdout:
        return f"{VENV} has the pins of another requirements/docs.txt: `bash run_scripts/build_docs.sh`"
    return ""


def build(root: Path, site: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DOCS_VENV": str(VENV), "SITE": str(site)}
    script = ["bash", str(root / "run_scripts" / "build_docs.sh")]
    return subprocess.run(script, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.docs
@pytest.mark.skipif(bool(why_not()), reason=why_not())
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    done = build(ROOT, tmp_path / "site")
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr.lower()
    for page in ("docs/site/index", "README", "docs/quickstart", "docs/quickstart_zh", "docs/settings"):
        assert (tmp_path / "site" / f"{page}.html").is_file(), page


@pytest.mark.docs
@pytest.mark.skipif(bool(why_not()), reason=why_not())
def test_a_link_that_leads_nowhere_is_an_error_that_names_it(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in ("docs/site/conf.py", "requirements/docs.txt", "src/verl_coder/__init__.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    shutil.copytree(ROOT / "run_scripts", root / "run_scripts")
    (root / "docs" / "site" / "index.rst").write_text("Pages\n=====\n\n.. toctree::\n\n   ../page\n")
    (root / "docs" / "page.md").write_text("# A page\n\n[nowhere](nowhere.md)\n")
    done = build(root, tmp_path / "site")
    assert done.returncode == 1 and "nowhere.md" in done.stderr
