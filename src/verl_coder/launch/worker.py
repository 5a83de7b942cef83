"""`python -m verl_coder.launch.worker LAUNCHER`: the process that drives Ray. Started and told by early_worker.py."""

import os
import sys
import traceback
from pathlib import Path
from typing import Any, NoReturn

from omegaconf import DictConfig, OmegaConf

from verl_coder.launch.cluster import cluster_address, join_cluster
from verl_coder.launch.order import take_order
from verl_coder.launch.ray_start import wait_longer_for_ray
from verl_coder.launch.supervise import end_with_parent
from verl_coder.platform import put_off
from verl_coder.platform.environment import cpu_platform_selected
from verl_coder.run.phase import starting
from verl_coder.run.run_dir import RunDir


def main(parent: int) -> None:
    """Import verl, wait for a resolved configuration, and run it through verl's own entry point."""
    end_with_parent(parent)
    put_off.install()  # the workers compile, not the process that starts them
    from verl.trainer.main_ppo import run_ppo
    from verl.trainer.ppo.utils import need_critic, need_reference_policy
    from verl.utils.config import validate_config
    from verl.utils.device import auto_set_device

    from verl_coder.platform.plugin import require_loaded
    from verl_coder.trainer.task_runner import CoderTaskRunner

    require_loaded()
    if (order := take_order()) is None:
        return
    config = OmegaConf.load(order.config)
    assert isinstance(config, DictConfig)
    if not join_cluster(config):
        wait_longer_for_ray()
    starting("starting Ray").write(RunDir(Path(config.verl_coder.out)).phase)
    auto_set_device(config)
    validate_config(
        config=config,
        use_reference_policy=need_reference_policy(config),
        use_critic=need_critic(config),
    )
    try:
        run_ppo(config, task_runner_class=_BehindItsServer(config, CoderTaskRunner))
    except BaseException:
        traceback.print_exc()
        _end(1)
    _end(0)


_held: list[Any] = []
"""The server that has begun: Ray ends an actor that nobody holds."""


class _BehindItsServer:
    """Where verl has the class of its task: made, the first of vLLM's servers begins, too, on a CPU."""

    def __init__(self, config: DictConfig, task: Any) -> None:
        self._config, self._task = config, task

    def options(self, **options: Any) -> "_BehindItsServer":
        """As of any class of actors."""
        return _BehindItsServer(self._config, self._task.options(**options))

    def remote(self) -> Any:
        """The task's actor, once Ray has begun."""
        if cpu_platform_selected() and cluster_address(self._config) is None:
            self._begin_server()
        return self._task.remote()

    def _begin_server(self) -> None:
        """Where it is a server that verl will ask for."""
        from verl_coder.platform.early_server import CONCURRENCY, begin_server
        from verl_coder.platform.lean_replica import far_server

        rollout = self._config.actor_rollout_ref.rollout
        plain = rollout.name == "vllm" and not OmegaConf.select(rollout, "disaggregation.enabled")
        if plain and 2 * int(rollout.max_num_seqs) < CONCURRENCY and (server := far_server()):
            _held.append(begin_server(server))


def _end(status: int) -> NoReturn:
    """End at once: Ray's own end asks its processes by SIGTERM, which they block, and waits a minute for them.

    The launcher kills them (supervise.end_descendants).
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    main(int(sys.argv[1]))
