"""The command that serves a teacher: its flags follow the GPUs that are there and the model's name."""

import shlex
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def dry_run(tmp_path: Path, gpus: list[int], **variables: str) -> subprocess.CompletedProcess[str]:
    """`start_teacher.sh --dry-run` on a machine with GPUs of so many MiB."""
    tools = tmp_path / "bin"
    tools.mkdir(exist_ok=True)
    listing = "".join(f"echo {mib}\n" for mib in gpus)
    script = f'#!/bin/sh\nif [ "$1" = -L ]; then echo "GPU 0: x"; else :\n{listing}fi\n'
    (tools / "nvidia-smi").write_text(script)
    (tools / "nvidia-smi").chmod(0o755)
    environment = {"PATH": f"{tools}:/usr/bin:/bin", **variables}
    return subprocess.run(
        ["bash", "run_scripts/start_teacher.sh", "--dry-run", "--max-num-seqs", "64"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_one_large_gpu_holds_the_teacher_and_more_hold_copies(tmp_path: Path) -> None:
    one = dry_run(tmp_path, [81559]).stdout
    assert "serve Qwen/Qwen3-32B-FP8 --served-model-name Qwen/Qwen3-32B-FP8 " in one
    assert "--port 8129" in one and "--tensor-parallel-size 1 " in one and "data-parallel" not in one
    assert "--reasoning-parser qwen3" in one and "--tool-call-parser hermes" in one
    assert one.rstrip().endswith("--max-num-seqs 64")
    assert "--data-parallel-size 4" in dry_run(tmp_path, [81559] * 4).stdout


def test_small_gpus_share_one_copy(tmp_path: Path) -> None:
    assert "--tensor-parallel-size 4 " in dry_run(tmp_path, [24564] * 4).stdout
    assert "--tensor-parallel-size 2 " in dry_run(tmp_path, [40960, 40960]).stdout


def test_gpus_that_are_too_small_are_named_with_a_way_out(tmp_path: Path) -> None:
    done = dry_run(tmp_path, [16384])
    assert done.returncode == 1 and done.stdout == ""
    assert "needs about 44 GiB" in done.stderr and "1 GPU(s) of 16 GiB" in done.stderr
    assert "MODEL=Qwen/Qwen3-8B" in done.stderr


def test_without_a_gpu_a_small_model_is_served_without_a_reasoning_parser(tmp_path: Path) -> None:
    done = dry_run(tmp_path, [], PROFILE="cpu")
    assert "--model Qwen/Qwen2.5-Coder-0.5B-Instruct " in done.stdout and "reasoning" not in done.stdout
    named = dry_run(
        tmp_path, [], PROFILE="cpu", MODEL="data/model", NAME="teacher", TOOL_PARSER="none"
    ).stdout
    assert "--model data/model --served-model-name teacher " in named and "tool" not in named


def test_the_command_that_is_printed_can_be_pasted(tmp_path: Path) -> None:
    printed = dry_run(tmp_path, [], PROFILE="cpu", MODEL="/my models/it's", NAME="a teacher").stdout
    words = shlex.split(printed)
    assert words[words.index("--model") + 1 : words.index("--host")] == [
        "/my models/it's",
        "--served-model-name",
        "a teacher",
    ]


@pytest.mark.parametrize(
    "value", ["TENSOR_PARALLEL=0", "TENSOR_PARALLEL=two", "NEEDS_GIB=20.5", "PORT=x", "MAX_MODEL_LEN=8k"]
)
def test_a_number_that_is_none_is_named(tmp_path: Path, value: str) -> None:
    name, _, number = value.partition("=")
    done = dry_run(tmp_path, [81559], **{name: number})
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == f"error: {value}\n  what to do: a whole number of 1 or more\n"


def test_one_copy_over_more_gpus_than_are_here_is_refused(tmp_path: Path) -> None:
    done = dry_run(tmp_path, [81559] * 2, TENSOR_PARALLEL="4")
    assert done.returncode == 1 and "TENSOR_PARALLEL=4, and here are 2 GPU(s)" in done.stderr


@pytest.mark.parametrize("variable", ["GPUS", "CUDA_VISIBLE_DEVICES"])
def test_the_gpus_that_are_named_are_those_that_are_asked_and_taken(tmp_path: Path, variable: str) -> None:
    """Memory and copies are counted over them, and the server sees no other one."""
    asked = tmp_path / "asked"
    tools = tmp_path / "bin"
    tools.mkdir()
    lists = '#!/bin/sh\nif [ "$1" = -L ]; then echo "GPU 0: x"; exit; fi\n'
    few = 'if [ "$1" = -i ]; then echo 81559; echo 81559; else for n in 1 2 3 4; do echo 81559; done; fi\n'
    (tools / "nvidia-smi").write_text(f'{lists}echo "$*" >>{asked}\n{few}')
    (tools / "nvidia-smi").chmod(0o755)
    done = subprocess.run(
        ["bash", "run_scripts/start_teacher.sh", "--dry-run"],
        cwd=ROOT,
        env={"PATH": f"{tools}:/usr/bin:/bin", variable: "6,7"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "--data-parallel-size 2" in done.stdout, done.stderr
    assert asked.read_text().startswith("-i 6,7 --query-gpu=memory.total")
    assert done.stdout.startswith("CUDA_VISIBLE_DEVICES=6,7 ")
