"""What the worker process finds: its environment, and a sandbox."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from omegaconf import DictConfig

from verl_coder.launch.cluster import cluster_address
from verl_coder.launch.leftovers import RUN_MARKER
from verl_coder.launch.memory_plan import machine_bytes
from verl_coder.launch.plan import Plan
from verl_coder.launch.preflight.places import sandbox_urls
from verl_coder.launch.ray_start import PATIENCE
from verl_coder.paths import repository_root
from verl_coder.platform.environment import CPU_ENVIRONMENT, SOCKET_FOLDER


@contextmanager
def run_sandbox(plan: Plan) -> Iterator[tuple[str, list[int]]]:
    """URLs of the run's sandboxes (one on each node of a cluster), and the processes here that belong to them."""
    url = sandbox_urls(plan.settings)
    if url:
        yield url, []
        return
    settings = plan.settings
    arguments = ["--unsafe"] if settings.sandbox_unsafe else []
    arguments += ["--max-sessions", str(sessions_at_once(plan.config))]
    if address := cluster_address(plan.config):
        from verl_coder.launch.node_sandboxes import ClusterSandboxes

        arguments += ["--isolation", settings.sandbox_isolation]
        nodes, port = int(plan.config.trainer.nnodes), settings.sandbox_port
        with ClusterSandboxes(address, nodes=nodes, port=port, arguments=arguments) as sandboxes:
            yield sandboxes.urls, [sandboxes.pid]
        return
    from verl_coder.sandbox.embedded import EmbeddedSandbox

    sandbox = EmbeddedSandbox(
        port=settings.sandbox_port, isolation=settings.sandbox_isolation, extra=arguments
    )
    with sandbox:
        yield sandbox.url, [sandbox.pid]


SESSION_BYTES = 8 << 20
"""Of a live session, with room: 5.3 MB were measured."""
LEAST_SESSIONS = 64


def sessions_at_once(config: DictConfig) -> int:
    """How many trajectories may each keep a session: those of a step or an evaluation, in a quarter of the memory.

    The asynchronous modes ask for batches beside the present one, and go on with them beside an evaluation.
    """
    rollout, data, mode = config.actor_rollout_ref.rollout, config.data, config.trainer.v1.trainer_mode
    batches = 1.0 if mode == "sync" else 1.0 + float(config.trainer.v1[mode].num_warmup_batches)
    training = math.ceil(batches * int(data.train_batch_size)) * int(rollout.n)
    most = machine_bytes() // 4 // SESSION_BYTES
    answers = int(rollout.val_kwargs.n) + int(config.verl_coder.eval_samples)
    # Without a size an evaluation takes all held-out problems at once.
    evaluation = int(data.val_batch_size) * answers if data.get("val_batch_size") else most
    together = max(training, evaluation) if mode == "sync" else training + evaluation
    return max(min(together, most), LEAST_SESSIONS)


def worker_environment(plan: Plan) -> dict[str, str]:
    """Environment of the worker: what the user has, and the platform's variables."""
    environment = {**PATIENCE, **os.environ}
    if plan.config.trainer.device == "cpu":
        # Ray gives every actor one thread; here actor, reference and vLLM take turns on all cores.
        threads = {
            "OMP_NUM_THREADS": str(len(os.sched_getaffinity(0))),
            # TransferQueue wants 8, and writes a line in the log wherever there are fewer cores, 150 a step.
            "TQ_NUM_THREADS": str(min(8, psutil.cpu_count(logical=False) or 1)),
        }
        environment = {**CPU_ENVIRONMENT, **threads, **environment}
    else:
        for name in ("VERL_PLATFORM", "VERL_ENGINE_DEVICE"):
            environment.pop(name, None)
    return environment | {
        "VERL_CODER_ROOT": str(repository_root()),
        "PYTHONUNBUFFERED": "1",
        "HYDRA_FULL_ERROR": "1",
    }


def places(plan: Plan, sandbox_url: str, scratch: Path) -> dict[str, str]:
    """Variables that come when the checks are done: the run's mark (leftovers.py), sandbox, and folder of sockets."""
    folder = dict.fromkeys(("TMPDIR", "RAY_TMPDIR", SOCKET_FOLDER), str(scratch))
    return {RUN_MARKER: str(plan.run_dir.path), "SANDBOX_URL": sandbox_url, **folder}
