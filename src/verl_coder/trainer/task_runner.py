"""The Ray task that owns the trainer: verl's own, with our trainer classes and our metrics file."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from omegaconf import DictConfig, open_dict
from verl.trainer.main_ppo import TaskRunnerV1

from verl_coder.platform.allocator import allocator_environment
from verl_coder.platform.environment import cpu_platform_selected
from verl_coder.run.phase import starting
from verl_coder.run.run_dir import RunDir

AGENT_LOOP_MANAGER = "verl_coder.trainer.evaluation.workers.CoderAgentLoopManager"

# The class under Ray's decorator.
_TaskRunner: Any = TaskRunnerV1.__ray_metadata__.modified_class  # type: ignore[attr-defined]


def run_dir_of(config: DictConfig) -> RunDir:
    """The folder of the run."""
    return RunDir(Path(str(config.verl_coder.out)))


def _told(
    base: Any, method: str, note: Path, part: str, *, meanwhile: Callable[[], None] = lambda: None
) -> Any:
    """verl's class, which tells the launcher that a part of the start begins when `method` is called.

    `meanwhile` begins with it.
    """
    original = getattr(base, method)

    def tell(*args: Any, **kwargs: Any) -> Any:
        starting(part).write(note)
        meanwhile()
        return original(*args, **kwargs)

    bound = inspect.ismethod(original)  # a class method has its class already
    return type(base.__name__, (base,), {method: staticmethod(tell) if bound else tell})


def _early_workers(config: DictConfig) -> Callable[[], None]:
    """Begin the agent-loop workers, where they are ours, on a CPU and on one machine."""
    agent = config.actor_rollout_ref.rollout.agent
    ours = agent.get("agent_loop_manager_class") in (None, AGENT_LOOP_MANAGER)

    def begin() -> None:
        if ours and cpu_platform_selected() and len(ray.nodes()) == 1:
            from verl_coder.trainer.evaluation.early_loops import begin_workers
            from verl_coder.trainer.evaluation.workers import CoderAgentLoopManager, CoderAgentLoopWorker

            CoderAgentLoopManager.workers_class = begin_workers(CoderAgentLoopWorker, int(agent.num_workers))

    return begin


def _with_allocator(base: Any) -> Any:
    """verl's worker group, whose workers start with `allocator_environment`."""

    def start(self: Any, *args: Any, **kwargs: Any) -> None:
        own = {**allocator_environment(), **kwargs.pop("worker_env", {})}
        base.__init__(self, *args, worker_env=own, **kwargs)

    return type(base.__name__, (base,), {"__init__": start})


@ray.remote
class CoderTaskRunner(_TaskRunner):
    """verl's TaskRunnerV1 with `verl_coder`'s trainers in the place of verl's, mode by mode."""

    def run(self, config: DictConfig) -> None:
        """Run training to its end; raises what the trainer raises."""
        # Imported here: in the Ray worker, after the platform plugin has loaded.
        from verl.trainer.ppo.v1 import trainer_base

        from verl_coder.trainer.rl_trainer import TRAINERS
        from verl_coder.trainer.tracking import RunTracking

        note = run_dir_of(config).phase
        starting("starting the trainer").write(note)
        trainer_base.Tracking = RunTracking  # type: ignore[misc]
        group = (
            _with_allocator(trainer_base.RayWorkerGroup)
            if cpu_platform_selected()
            else trainer_base.RayWorkerGroup
        )
        if cpu_platform_selected():
            from verl_coder.platform.lean_replica import start_servers_lean

            start_servers_lean()
        trainer_base.RayWorkerGroup = _told(group, "spawn", note, "loading the model")  # type: ignore[misc]
        trainer_base.LLMServerManager = _told(  # type: ignore[misc]
            trainer_base.LLMServerManager, "create", note, "starting vLLM", meanwhile=_early_workers(config)
        )
        trainer_base.TRAINER_REGISTRY.update(TRAINERS)
        agent = config.actor_rollout_ref.rollout.agent
        if not agent.get("agent_loop_manager_class"):
            with open_dict(config):
                agent.agent_loop_manager_class = AGENT_LOOP_MANAGER
        super().run(config)
