"""The cluster script: what it would run in each role, and what it does when a command fails or is stopped."""

import os
import pty
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from stub_environment import make_stub_environment

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = "run_scripts/start_ray_cluster.sh"


def dry_run(*arguments: str, **variables: str) -> str:
    """Standard output of `--dry-run`."""
    environment = {"PATH": "/usr/bin:/bin", "IP": "10.0.0.1", "CHECKS": "", **variables}
    command = ["bash", SCRIPT, "--dry-run", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=True
    ).stdout


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """No Ray is here."""
    return make_stub_environment(tmp_path)


def environment_of(venv: Path, **variables: str) -> dict[str, str]:
    own = {"PATH": "/usr/bin:/bin", "IP": "127.0.0.1", "PROFILE": "cpu", "VENV": str(venv), "CHECKS": ""}
    return {**own, **variables}


def start(venv: Path, *arguments: str, **variables: str) -> subprocess.Popen[str]:
    """In a session of its own, so that a test may signal the script's whole group."""
    return subprocess.Popen(
        ["bash", SCRIPT, *arguments],
        cwd=ROOT,
        env=environment_of(venv, **variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(path: Path, lines: int = 0) -> None:
    deadline = time.monotonic() + 60
    while not path.exists() or len(path.read_text().splitlines()) < lines:
        assert time.monotonic() < deadline, f"{path} has not come"
        time.sleep(0.02)


def test_the_head_and_a_worker_describe_their_machine_to_ray() -> None:
    head = dry_run("head", PROFILE="gpu", PORT="7000")
    assert "start --head --port 7000" in head and "--node-ip-address 10.0.0.1" in head and "--block" in head
    assert "num-gpus" not in head  # Ray counts them
    worker = dry_run("worker", PROFILE="cpu", HEAD="node1")
    assert "start --address node1:6379" in worker and "--num-gpus 1 --num-cpus 64" in worker


def test_a_worker_has_the_address_by_which_it_reaches_the_head() -> None:
    """Ray finds it; the first of several may be of a network that no other machine sees."""
    assert "--node-ip-address" not in dry_run("worker", PROFILE="cpu", HEAD="node1", IP="")
    assert "--node-ip-address 10.0.0.7 " in dry_run("worker", PROFILE="cpu", HEAD="node1", IP="10.0.0.7")


@pytest.mark.parametrize("answer", ["exit 1", "echo"], ids=["none", "empty"])
@pytest.mark.parametrize("role", ["head", "run", "ssh"])
def test_a_machine_whose_address_is_not_known_joins_nothing(tmp_path: Path, role: str, answer: str) -> None:
    """Ray would be told of no address, or of the wrong one."""
    hostname = tmp_path / "hostname"
    hostname.write_text(f"#!/bin/sh\n{answer}\n")
    hostname.chmod(0o755)
    given = {"PATH": f"{tmp_path}:/usr/bin:/bin", "PROFILE": "cpu", "CHECKS": "", "HOSTS": "a b"}
    done = subprocess.run(
        ["bash", SCRIPT, "--dry-run", role, "true"],
        cwd=ROOT, env=given, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.count("error: ") == 1 and "IP=" in done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [("WAIT_S", "10m"), ("MIN_S", "2m"), ("NODES", "two"), ("NODES", "0"), ("RETRIES", "-1"), ("PORT", "08")],
)
def test_a_number_that_is_none_is_named_before_anything_is_started(name: str, value: str) -> None:
    given = {"PATH": "/usr/bin:/bin", "IP": "10.0.0.1", "PROFILE": "cpu", "CHECKS": "", name: value}
    done = subprocess.run(
        ["bash", SCRIPT, "--dry-run", "run", "true"],
        cwd=ROOT, env=given, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith(f"error: {name}={value}\n  what to do: ")


def test_a_node_is_checked_by_the_doctor_before_ray_starts() -> None:
    checked = ["bash", SCRIPT, "--dry-run", "head"]
    environment = {"PATH": "/usr/bin:/bin", "IP": "10.0.0.1", "PROFILE": "cpu", "CHECKS": "gpu sandbox-mode"}
    done = subprocess.run(
        checked, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    doctor, ray = done.stdout.splitlines()
    assert doctor.endswith("doctor --component gpu --component sandbox-mode") and "start --head" in ray


def test_the_command_gets_the_number_of_machines() -> None:
    told = dry_run("run", "bash", "train.sh", "a=b", PROFILE="cpu", NODES="4").splitlines()
    assert "--nodes 4" in told[0] and told[1] == "bash train.sh a=b trainer.nnodes=4"


def test_plain_ssh_starts_a_worker_on_every_machine_but_this_one() -> None:
    told = dry_run("ssh", "bash", "train.sh", PROFILE="gpu", HOSTS="a b c", SSH="ssh -p 23")
    workers = [line for line in told.splitlines() if line.startswith("ssh -p 23 ")]
    assert [line.split()[3] for line in sorted(workers)] == ["b", "c"]
    assert all("HEAD=10.0.0.1" in line and line.endswith(f"bash {SCRIPT} worker'") for line in workers)
    assert "bash train.sh trainer.nnodes=3" in told


def test_a_command_that_fails_late_is_started_again_until_it_succeeds(venv: Path, tmp_path: Path) -> None:
    command = f'echo x >>{tmp_path}/runs; [ "$(wc -l <{tmp_path}/runs)" -ge 3 ]'
    done = start(venv, "run", "sh", "-c", command, MIN_S="0", NODES="2")
    _, said = done.communicate(timeout=60)
    assert done.returncode == 0 and (tmp_path / "runs").read_text() == "x\n" * 3
    assert (tmp_path / "calls").read_text().count("--nodes 2") == 3, "every start waits for the machines"
    assert said.count("again, when 2 machines are there") == 2


def test_a_command_that_fails_at_once_is_not(venv: Path, tmp_path: Path) -> None:
    done = start(venv, "run", "sh", "-c", f"echo x >>{tmp_path}/runs; exit 3")
    _, said = done.communicate(timeout=60)
    assert done.returncode == 1 and (tmp_path / "runs").read_text() == "x\n"
    assert "error: the command failed after" in said


def test_retries_end(venv: Path, tmp_path: Path) -> None:
    done = start(venv, "run", "sh", "-c", f"echo x >>{tmp_path}/runs; exit 3", MIN_S="0", RETRIES="1")
    _, said = done.communicate(timeout=60)
    assert done.returncode == 1 and (tmp_path / "runs").read_text() == "x\n" * 2
    assert "the command failed 2 times" in said


def test_sigterm_is_passed_on_and_the_commands_end_is_waited_for(venv: Path, tmp_path: Path) -> None:
    on_term = f"sleep 0.3; echo saved >{tmp_path}/saved; exit 0"
    # No `wait` for one long sleep: a signal that comes just before it is only looked at when the sleep has ended.
    command = f"trap '{on_term}' TERM; touch {tmp_path}/up; while :; do sleep 0.1; done"
    running = start(venv, "run", "sh", "-c", command)
    wait_for(tmp_path / "up")
    os.kill(running.pid, signal.SIGTERM)
    running.communicate(timeout=60)
    assert running.returncode == 0 and (tmp_path / "saved").read_text() == "saved\n"


def test_the_first_machine_makes_a_token_for_its_owner_and_keeps_it(venv: Path, tmp_path: Path) -> None:
    token = tmp_path / "token"
    start(venv, "head", RAY_AUTH_TOKEN_PATH=str(token)).communicate(timeout=60)
    made = token.read_text()
    assert len(made) == 64 and token.stat().st_mode & 0o777 == 0o600
    start(venv, "head", RAY_AUTH_TOKEN_PATH=str(token)).communicate(timeout=60)
    assert token.read_text() == made
    told = dry_run("ssh", "true", PROFILE="cpu", HOSTS="a b", RAY_AUTH_TOKEN_PATH="/shared/my token")
    assert r"RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH=/shared/my\ token" in told
    told = dry_run("ssh", "true", PROFILE="cpu", HOSTS="a b", RAY_AUTH_TOKEN_PATH="token", VENV="venv")
    assert f"RAY_AUTH_TOKEN_PATH={ROOT}/token " in told and f"VENV={ROOT}/venv " in told


COUNTS_SIGNALS = """
import pathlib, signal, sys, time
told, up = map(pathlib.Path, sys.argv[1:3])
def note(number, _):
    with told.open("a") as file:
        file.write(signal.Signals(number).name + "\\n")
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, note)
up.touch()
while not told.exists():
    time.sleep(0.02)
time.sleep(1)
"""


@pytest.mark.parametrize("what", ["Ctrl-C", "the terminal is closed"])
def test_a_terminals_signal_reaches_the_command_once_and_as_sigterm(
    venv: Path, tmp_path: Path, what: str
) -> None:
    told, up = tmp_path / "told", tmp_path / "up"
    command = [sys.executable, "-c", COUNTS_SIGNALS, str(told), str(up)]
    ours, its = pty.openpty()
    running = subprocess.Popen(
        ["setsid", "--ctty", "bash", SCRIPT, "run", *command],
        cwd=ROOT,
        env=environment_of(venv),
        stdin=its,
        stdout=its,
        stderr=its,
    )
    os.close(its)
    wait_for(up)
    if what == "Ctrl-C":
        os.write(ours, b"\x03")
    else:
        os.close(ours)
    running.wait(60)
    assert told.read_text() == "SIGTERM\n"
    if what == "Ctrl-C":
        os.close(ours)


@pytest.fixture
def over_ssh(venv: Path, tmp_path: Path) -> dict[str, str]:
    """Variables of the role `ssh`: a head that listens and a connection, whose process ids come to stand in `up`."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    head = f"echo $$ >>{tmp_path}/up; exec {sys.executable} -m http.server {port} --bind 127.0.0.1"
    (venv / "bin" / "python").write_text(f'#!/bin/sh\ncase "$*" in *--head*) {head};; esac\n')
    (ssh := tmp_path / "ssh").write_text(f"#!/bin/sh\necho $$ >>{tmp_path}/up\nexec sleep 600\n")
    ssh.chmod(0o755)
    return {"HOSTS": "a b", "SSH": str(ssh), "PORT": str(port), "RAY_AUTH_MODE": "disabled"}


def left_of(up: Path) -> list[str]:
    return [pid for pid in up.read_text().split() if Path(f"/proc/{pid}").exists()]


def test_over_ssh_the_head_and_the_connections_end_with_the_command(
    venv: Path, tmp_path: Path, over_ssh: dict[str, str]
) -> None:
    both = f"while [ $(wc -l <{tmp_path}/up) -lt 2 ]; do sleep 0.05; done"
    done = start(venv, "ssh", "bash", "-c", both, **over_ssh)
    _, said = done.communicate(timeout=100)
    assert done.returncode == 0, said
    assert not left_of(tmp_path / "up")


@pytest.mark.parametrize("to", ["the script", "its whole group"])
def test_over_ssh_the_cluster_stays_until_the_command_has_saved(
    venv: Path, tmp_path: Path, over_ssh: dict[str, str], to: str
) -> None:
    up = tmp_path / "up"
    on_term = f"sleep 1; for pid in $(cat {up}); do kill -0 $pid && echo x >>{tmp_path}/alive; done; exit 0"
    command = f"trap '{on_term}' TERM; touch {tmp_path}/begun; while :; do sleep 0.1; done"
    running = start(venv, "ssh", "bash", "-c", command, **over_ssh)
    wait_for(tmp_path / "begun")
    wait_for(up, lines=2)
    (os.kill if to == "the script" else os.killpg)(running.pid, signal.SIGTERM)
    _, said = running.communicate(timeout=100)
    assert running.returncode == 0, said
    assert (tmp_path / "alive").read_text() == "x\n" * 2
    assert not left_of(up)


def test_over_ssh_a_head_that_ends_is_noticed_at_once(
    venv: Path, tmp_path: Path, over_ssh: dict[str, str]
) -> None:
    (venv / "bin" / "python").write_text('#!/bin/sh\ncase "$*" in *--head*) exit 1;; esac\n')
    done = start(venv, "ssh", "sh", "-c", f"touch {tmp_path}/begun", **over_ssh, WAIT_S="3000")
    _, said = done.communicate(timeout=100)
    assert done.returncode == 1 and "Ray's head did not start on 127.0.0.1:" in said
    assert not (tmp_path / "begun").exists()


def test_over_ssh_a_port_that_another_program_has_is_refused(
    venv: Path, tmp_path: Path, over_ssh: dict[str, str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        done = start(venv, "ssh", "sh", "-c", f"touch {tmp_path}/begun", **{**over_ssh, "PORT": port})
        _, said = done.communicate(timeout=100)
    assert done.returncode == 1 and f"something listens on 127.0.0.1:{port} already" in said
    assert not (tmp_path / "begun").exists() and not (tmp_path / "up").exists()


def test_over_ssh_a_cluster_that_has_lost_its_head_is_not_waited_for(
    venv: Path, tmp_path: Path, over_ssh: dict[str, str]
) -> None:
    command = f"kill $(head -n 1 {tmp_path}/up); sleep 1; exit 3"
    done = start(venv, "ssh", "bash", "-c", command, **{**over_ssh, "HOSTS": "a"}, MIN_S="0", WAIT_S="3000")
    _, said = done.communicate(timeout=100)
    assert done.returncode == 1 and "Ray's head has ended" in said


def test_a_token_by_value_is_refused_over_ssh(venv: Path) -> None:
    _, said = (done := start(venv, "ssh", "true", HOSTS="a b", RAY_AUTH_TOKEN="x")).communicate(timeout=60)
    assert done.returncode == 1 and "RAY_AUTH_TOKEN does not travel by ssh" in said


def test_a_wrong_role_and_a_missing_command_are_named(venv: Path) -> None:
    for arguments, says in ((["workers"], "the first argument is workers"), (["run"], "no command")):
        _, said = (done := start(venv, *arguments)).communicate(timeout=60)
        assert done.returncode == 1 and says in said


def test_what_goes_over_ssh_is_one_word_each(tmp_path: Path) -> None:
    recipe = tmp_path / "mine (1)"
    recipe.mkdir()
    (recipe / "recipe.yaml").touch()
    told = dry_run("ssh", "true", PROFILE="cpu", HOSTS="a b", RECIPE=str(recipe), CHECKS="gpu nccl")
    *_, host, remote = shlex.split(next(line for line in told.splitlines() if line.startswith("ssh ")))
    assert host == "b"
    assignments = remote.partition("&& ")[2].replace("bash run_scripts/start_ray_cluster.sh worker", "env")
    seen = subprocess.check_output(["sh", "-c", assignments], text=True).splitlines()
    assert {f"RECIPE={recipe}", "CHECKS=gpu nccl", "HEAD=10.0.0.1", "N_GPUS="} <= set(seen)


def test_a_recipe_of_the_users_own_is_found_from_another_folder() -> None:
    told = dry_run("ssh", "true", PROFILE="cpu", HOSTS="a b", RECIPE="tests/../recipes/tiny_cpu")
    assert f"RECIPE={ROOT}/recipes/tiny_cpu" in told


def test_help_shows_the_commands_of_the_first_lines() -> None:
    shown = subprocess.run(["bash", SCRIPT, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert shown.returncode == 0 and "start_ray_cluster.sh worker" in shown.stdout and not shown.stderr
