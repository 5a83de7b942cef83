"""Where a run writes and listens: the checkout, its own folder, the disks, /dev/shm, Ray's paths, ports."""

import os
import socket
import tempfile
from pathlib import Path

from verl_coder.doctor.check import CheckResult, DoctorCheck, failed, passed, warned
from verl_coder.doctor.situation import Situation
from verl_coder.files import free_bytes
from verl_coder.installation import script

GIB = 2**30
_TEMPORARY_BYTES = 2 * GIB
"""Of Ray's session, vLLM's caches and the programs' folders: what a tiny run was seen to take, and room to spare."""


def _checkout(_: Situation) -> CheckResult:
    from verl_coder.paths import CONTENT_FOLDERS, repository_root, work_root

    root, work = repository_root(), work_root()
    missing = [name for name in CONTENT_FOLDERS if not (root / name).is_dir()]
    if missing:
        return failed(f"{root} lacks {', '.join(missing)}", "VERL_CODER_ROOT=<a whole checkout>")
    unreadable = [
        path
        for name in CONTENT_FOLDERS
        for path in (root / name).rglob("*")
        if path.suffix in (".yaml", ".py", ".sh", ".txt") and not os.access(path, os.R_OK)
    ]
    if unreadable:
        return failed(f"{unreadable[0]} cannot be read", f"chmod -R u+rX {root}")
    if not os.access(work, os.W_OK):
        return warned(
            f"{work} cannot be written: data/ and outputs/ go there", "OUT=, TRAIN= and VAL= elsewhere"
        )
    return passed(str(root) if work == root else f"{root}; data/ and outputs/ go to {work}")


def _out(situation: Situation) -> CheckResult:
    from verl_coder.launch.preflight.places import check_dump_folders, check_out

    folder = situation.plan.run_dir.path
    check_out(folder)
    check_dump_folders(situation.config)
    stands = situation.what_stands
    return passed(f"{folder}" + (f", {stands}" if stands else " can be made and written"))


def _disk(situation: Situation) -> CheckResult:
    from verl_coder.launch.preflight.places import check_disk

    plan = situation.plan
    check_disk(plan.config, plan.run_dir.path, keep_best=plan.settings.keep_best)
    free = free_bytes(plan.run_dir.path)
    return passed(f"{free / GIB:.1f} GiB free for checkpoints at {plan.run_dir.path}")


def _temporary(_: Situation) -> CheckResult:
    folder = tempfile.gettempdir()
    free = free_bytes(Path(folder))
    words = f"{free / GIB:.1f} GiB free in {folder}"
    if free < _TEMPORARY_BYTES:
        return warned(
            f"{words}; Ray, vLLM and the programs write there",
            "TMPDIR=<a short path with 2 GiB or more free>",
        )
    return passed(words)


def _ray_path(_: Situation) -> CheckResult:
    from verl_coder.launch.preflight.machine import check_temporary_folder

    left = check_temporary_folder()
    return passed(f"{tempfile.gettempdir()} is short enough for Ray's sockets ({left} bytes to spare)")


def _shared_memory(situation: Situation) -> CheckResult:
    from verl_coder.launch.preflight.machine import SHARED_MEMORY, check_shared_memory, shared_memory_needed

    if words := check_shared_memory(situation.config):
        return warned(words, "docker run --shm-size=8g, or a lower ray_kwargs.ray_init.object_store_memory")
    wanted = shared_memory_needed(situation.config)[1]
    free = free_bytes(SHARED_MEMORY)
    return passed(f"{SHARED_MEMORY}: {free / GIB:.1f} GiB free, the run takes {wanted / GIB:.1f}")


def _ports(situation: Situation) -> CheckResult:
    port = situation.plan.settings.sandbox_port
    wanted = {"a free port on 127.0.0.1": 0}
    if port:
        wanted["verl_coder.sandbox_port"] = port
    if os.environ.get("MASTER_PORT", "").isdigit():
        wanted["MASTER_PORT"] = int(os.environ["MASTER_PORT"])
    for name, number in wanted.items():
        try:
            with socket.socket() as listening:
                listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listening.bind(("127.0.0.1", number))
        except OSError as error:
            place = f"{name}={number}" if number else name
            return failed(f"{place}: {error.strerror}", "end what listens there, or leave the setting out")
    return passed(
        f"{', '.join(f'{name} {number}' for name, number in wanted.items() if number) or 'all'} free"
    )


def _ray_address(situation: Situation) -> CheckResult:
    from verl_coder.launch.cluster import check_cluster

    address = check_cluster(situation.config)
    if not address:
        return passed("no cluster is named: a run starts a Ray of its own")
    return warned(f"RAY_ADDRESS={address}: the run joins that cluster", "unset RAY_ADDRESS for its own")


def _open_files(_: Situation) -> CheckResult:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 4096:
        return warned(f"{soft} open files (limit of this shell, {hard} allowed)", "ulimit -n 65536")
    return passed(f"{soft} open files")


def _hub_cache(_: Situation) -> CheckResult:
    from huggingface_hub import constants

    named = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    folder = Path(constants.HF_HUB_CACHE)
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryDirectory(prefix=".verl-coder-", dir=existing):
            pass
    except OSError:
        return warned(
            f"{folder} cannot be written: nothing of the hub is kept",
            f"{'HF_HUB_CACHE' if named else 'HF_HOME'}=<a folder of yours>",
        )
    return passed(f"{folder}, {free_bytes(existing) / GIB:.1f} GiB free")


CHECKS = (
    DoctorCheck(name="checkout", component="places", look=_checkout, fix="VERL_CODER_ROOT=<a checkout>"),
    DoctorCheck(name="out", component="places", look=_out, fix="name a folder that can be written (OUT=)"),
    DoctorCheck(name="disk", component="places", look=_disk, fix="free some, or OUT= on another disk"),
    DoctorCheck(name="temporary-folder", component="places", look=_temporary, fix="TMPDIR=/tmp"),
    DoctorCheck(name="ray-path", component="places", look=_ray_path, fix="TMPDIR=/tmp"),
    DoctorCheck(
        name="shared-memory", component="places", look=_shared_memory, fix="docker run --shm-size=8g"
    ),
    DoctorCheck(name="ports", component="places", look=_ports, fix="leave the setting out"),
    DoctorCheck(
        name="ray-address",
        component="places",
        look=_ray_address,
        fix=f"{script('start_ray_cluster.sh', 'ray start --head')}, or unset RAY_ADDRESS",
    ),
    DoctorCheck(name="open-files", component="places", look=_open_files, fix="ulimit -n 65536"),
    DoctorCheck(name="hub-cache", component="places", look=_hub_cache, fix="HF_HOME=<a folder>"),
)
