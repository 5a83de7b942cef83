"""Agent-loop workers that can sample some rows of an evaluation: verl's know one temperature for all of it."""

from typing import Any

import ray
from verl.trainer.ppo.v1.agent_loop_tq import AgentLoopManagerTQ, AgentLoopWorkerTQ

SAMPLED = "sampled_evaluation"
"""Column of an evaluation's batch: True for rows at the training temperature."""

# The class under Ray's decorator.
_Worker: Any = AgentLoopWorkerTQ.__ray_metadata__.modified_class  # type: ignore[attr-defined]


@ray.remote
class CoderAgentLoopWorker(_Worker):
    """verl's worker, which also reads SAMPLED."""

    async def _run_prompt(
        self,
        prompt: dict[str, Any],
        sampling_params: dict[str, Any],
        trajectory: dict[str, Any],
        trace: bool = False,
    ) -> None:
        if prompt.pop(SAMPLED, False):
            rollout = self.config.actor_rollout_ref.rollout
            sampling_params = sampling_params | {
                "temperature": rollout.temperature,
                "top_p": rollout.top_p,
                "top_k": rollout.top_k,
            }
        await super()._run_prompt(prompt, sampling_params, trajectory, trace)


class CoderAgentLoopManager(AgentLoopManagerTQ):
    """verl's manager with our workers; named by actor_rollout_ref.rollout.agent.agent_loop_manager_class."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.agent_loop_workers_class = CoderAgentLoopWorker  # type: ignore[assignment]
