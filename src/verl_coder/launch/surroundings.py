"""What the worker process finds: its environment, and a sandbox."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from verl_coder.errors import ConfigError
from verl_coder.launch.plan import Plan
from verl_coder.launch.preflight.places import sandbox_urls
from verl_coder.paths import repository_root
from verl_coder.platform.environment import CPU_ENVIRONMENT, SOCKET_FOLDER


@contextmanager
def run_sandbox(plan: Plan) -> Iterator[tuple[str, list[int]]]:
    """URL of the run's sandbox, and the processes that belong to it."""
    url = sandbox_urls(plan.settings)
    if url:
        yield url, []
        return
    from verl_coder.sandbox.embedded import EmbeddedSandbox

    if plan.config.trainer.nnodes > 1:
        raise ConfigError(
            f"trainer.nnodes={plan.config.trainer.nnodes}: the embedded sandbox is on loopback, so name the "
            "sandboxes of all nodes in verl_coder.sandbox_url (verl-coder sandbox serve --host ... on each)"
        )
    settings = plan.settings
    sandbox = EmbeddedSandbox(
        port=settings.sandbox_port,
        isolation=settings.sandbox_isolation,
        extra=["--unsafe"] if settings.sandbox_unsafe else [],
    )
    with sandbox:
        yield sandbox.url, [sandbox.pid]


def worker_environment(plan: Plan, sandbox_url: str, scratch: Path) -> dict[str, str]:
    """Environment of the worker: what the user has, the platform's variables, the run's own."""
    environment = dict(os.environ)
    if plan.config.trainer.device == "cpu":
        # Ray gives every actor one thread; here actor, reference and vLLM take turns on all cores.
        threads = {"OMP_NUM_THREADS": str(len(os.sched_getaffinity(0)))}
        environment = {**CPU_ENVIRONMENT, **threads, **environment}
    else:
        for name in ("VERL_PLATFORM", "VERL_ENGINE_DEVICE"):
            environment.pop(name, None)
    return environment | {
        "SANDBOX_URL": sandbox_url,
        "VERL_CODER_ROOT": str(repository_root()),
        "TMPDIR": str(scratch),
        "RAY_TMPDIR": str(scratch),
        SOCKET_FOLDER: str(scratch),
        "PYTHONUNBUFFERED": "1",
        "HYDRA_FULL_ERROR": "1",
    }
