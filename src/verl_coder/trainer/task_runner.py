"""The Ray task that owns the trainer: verl's own, with our trainer classes and our metrics file."""

from typing import Any

import ray
from omegaconf import DictConfig, open_dict
from verl.trainer.main_ppo import TaskRunnerV1

AGENT_LOOP_MANAGER = "verl_coder.trainer.evaluation.workers.CoderAgentLoopManager"

# The class under Ray's decorator.
_TaskRunner: Any = TaskRunnerV1.__ray_metadata__.modified_class  # type: ignore[attr-defined]


@ray.remote
class CoderTaskRunner(_TaskRunner):
    """verl's TaskRunnerV1 with `verl_coder`'s trainers in the place of verl's, mode by mode."""

    def run(self, config: DictConfig) -> None:
        """Run training to its end; raises what the trainer raises."""
        # Imported here: in the Ray worker, after the platform plugin has loaded.
        from verl.trainer.ppo.v1 import trainer_base

        from verl_coder.trainer.rl_trainer import TRAINERS
        from verl_coder.trainer.tracking import RunTracking

        trainer_base.Tracking = RunTracking  # type: ignore[misc]
        trainer_base.TRAINER_REGISTRY.update(TRAINERS)
        agent = config.actor_rollout_ref.rollout.agent
        if not agent.get("agent_loop_manager_class"):
            with open_dict(config):
                agent.agent_loop_manager_class = AGENT_LOOP_MANAGER
        super().run(config)
