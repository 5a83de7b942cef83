"""The server runs its own copy of the package, wherever that and its interpreter lie, and says why it cannot."""

import asyncio
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

import verl_coder
from verl_coder.sandbox import RunRequest, SandboxClient

PACKAGE = Path(verl_coder.__file__).parent
WHERE = "import sys, os\nprint(sys.modules['verl_coder'].__file__)\nprint(sys.prefix)\nprint(os.getcwd())"
SERVE = """\
import sys
from verl_coder.sandbox.embedded import EmbeddedSandbox
with EmbeddedSandbox(isolation=sys.argv[1]) as sandbox:
    print(sandbox.url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A source folder with a copy of the package."""
    ignore = shutil.ignore_patterns("__pycache__", "*.safetensors")
    shutil.copytree(PACKAGE, tmp_path / "src" / "verl_coder", ignore=ignore)
    return tmp_path / "src"


def run_from(
    source: Path, python: str, cwd: Path, mode: str, user: int | None = None, code: str = WHERE
) -> list[str]:
    """Lines that the program `code` prints on a server started from `source`; RuntimeError with its message."""
    process = subprocess.Popen(
        [python, "-c", SERVE, mode],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=cwd,
        user=user,
        extra_groups=[] if user else None,
    )
    assert process.stdout is not None

    async def ask(url: str) -> list[str]:
        async with SandboxClient(url, max_attempts=1) as client:
            response = await client.run_code(RunRequest(code=code))
        assert response.run_result is not None and response.status == "Success", response
        return (response.run_result.stdout or "").splitlines()

    url = process.stdout.readline().strip()
    lines = asyncio.run(ask(url)) if url else []
    _, errors = process.communicate("")
    if not url:
        raise RuntimeError(errors)
    return lines


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """A virtual environment below /tmp that sees the packages of this one."""
    folder = tmp_path / "venv"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").symlink_to(os.path.realpath(sys.executable))
    (folder / "pyvenv.cfg").write_text(f"home = {sys.base_prefix}/bin\n")
    packages = folder / sysconfig.get_path("purelib", vars={"base": "", "platbase": ""}).lstrip("/")
    packages.mkdir(parents=True)
    (packages / "all.pth").write_text(sysconfig.get_path("purelib"))
    return folder


@pytest.mark.parametrize("mode", ["namespaces", "light"])
def test_a_copied_checkout_runs_its_own_code_with_the_interpreter_of_its_server(
    copy: Path, venv: Path, mode: str
) -> None:
    hostile_cwd = copy / "verl_coder"  # holds modules named as the standard library's
    try:
        file, prefix, cwd = run_from(copy, str(venv / "bin" / "python"), hostile_cwd, mode)
    except RuntimeError as error:
        if "does not allow isolation" not in str(error):
            raise
        pytest.skip(str(error)[-300:])
    assert Path(file).is_relative_to(copy)
    assert prefix == str(venv)
    if mode == "namespaces":
        assert cwd == ("/box" if str(venv).startswith("/tmp/") else "/tmp")


def test_a_zygote_that_cannot_start_is_one_message_with_its_own_words(copy: Path) -> None:
    (copy / "verl_coder" / "sandbox" / "guest" / "zygote.py").write_text("raise RuntimeError('broken guest')")
    with pytest.raises(RuntimeError, match=r"zygote .*died at start: (.|\n)*broken guest"):
        run_from(copy, sys.executable, copy, "auto")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_a_normal_user_gets_protection_too(copy: Path) -> None:
    nobody = 65534
    try:
        subprocess.run(
            [sys.executable, "-c", ""], user=nobody, extra_groups=[], check=True, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"other users cannot run {sys.executable}: {error}")
    copy.parent.chmod(0o755)
    file, _, _ = run_from(copy, sys.executable, Path("/"), "namespaces", user=nobody)
    assert Path(file).is_relative_to(copy)


@pytest.mark.skipif(
    sys.prefix == sys.base_prefix, reason="a virtual environment alone can be reached over a link"
)
@pytest.mark.parametrize("mode", ["namespaces", "light"])
def test_an_environment_behind_links_is_seen_whole(tmp_path: Path, mode: str) -> None:
    (tmp_path / "disk").symlink_to(sys.prefix)
    (tmp_path / ".venv").symlink_to(tmp_path / "disk")
    code = (
        "import sys, _pytest._argcomplete, numpy.linalg\nprint(sys.prefix)"  # nothing that is loaded already
    )
    lines = run_from(PACKAGE.parent, str(tmp_path / ".venv/bin/python"), tmp_path, mode, code=code)
    assert lines == [str(tmp_path / ".venv")]
