"""The sandbox's container has the rights that its isolation needs, and no more than compose.yaml names."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from dockerfile import ROOT, of, services

from verl_coder.sandbox.embedded import _environment

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not os.path.exists("/proc/keys"),
    reason="only root can make what a container engine makes",
)
SANDBOX: dict[str, Any] = services()["sandbox"]
STDIN = {"code": "print(open('/dev/stdin').read())", "language": "python", "stdin": "seen"}


@contextlib.contextmanager
def container(tmp_path: Path, isolation: str, **changed: Any) -> Iterator[str]:
    """URL of a sandbox with the service's settings, some of them changed."""
    settings = tmp_path / "service.json"
    settings.write_text(json.dumps({**SANDBOX, **changed}))
    serve = [*of(ROOT / "docker" / "sandbox.Dockerfile", "ENTRYPOINT")[0].words[1:]]
    serve[serve.index("--isolation") + 1] = isolation
    command = [sys.executable, "-m", "verl_coder.cli", *serve, "--port", "0", "--workers", "2"]
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("container.py")), str(settings), *command],
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        said = []
        for line in process.stdout:
            said.append(line)
            if line.startswith("sandbox: http://"):
                yield line.split()[1].replace("0.0.0.0", "127.0.0.1")
                return
        raise AssertionError("".join(said))
    finally:
        process.terminate()
        process.wait(20)
        process.stdout.close()


def ask(url: str, program: dict[str, str]) -> tuple[str, dict[str, Any]]:
    """The protection that the server names, and how the program ran."""
    response = httpx.post(url + "/run_code", json=program, timeout=30, trust_env=False)
    return response.headers["x-sandbox-isolation"], response.json()["run_result"]


def test_with_the_named_rights_it_has_full_isolation_and_its_health_check_says_so(tmp_path: Path) -> None:
    with container(tmp_path, "namespaces") as url:
        protection, ran = ask(url, STDIN)
        assert protection.startswith("namespaces; ") and "seccomp" in protection
        assert ran["stdout"] == "seen\n"
        port = url.rpartition(":")[2]
        for service in ("sandbox", "fusion"):
            check = services()[service]["healthcheck"]["test"]
            told = [word.replace("8080", port) for word in check[1:]]
            assert check[0] == "CMD" and "8080" in " ".join(check)
            told[0] = sys.executable if told[0] == "python3" else told[0]
            subprocess.run(told, check=True, timeout=20, stdout=subprocess.DEVNULL)
            dead = [word.replace(port, "9") for word in told]
            assert subprocess.run(dead, timeout=20, capture_output=True).returncode != 0


def test_with_an_engines_default_profile_it_refuses_to_start_and_says_what_is_missing(tmp_path: Path) -> None:
    options = [option for option in SANDBOX["security_opt"] if not option.startswith("seccomp=")]
    with pytest.raises(AssertionError, match=r"does not allow isolation 'namespaces' \(single: .*unshare"):
        with container(tmp_path, "namespaces", security_opt=options):
            pass


def test_with_a_masked_proc_programs_have_no_dev_stdin(tmp_path: Path) -> None:
    options = [option for option in SANDBOX["security_opt"] if option != "systempaths=unconfined"]
    with container(tmp_path, "namespaces", security_opt=options) as url:
        assert "/dev/stdin" in ask(url, STDIN)[1]["stderr"]
