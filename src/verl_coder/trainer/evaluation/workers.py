"""Agent-loop workers in which no sample is lost without a word, and that can sample some rows of an evaluation.

verl's know one temperature for all of an evaluation; they drop a sample whose reward raises from every metric, take
any value for a score, and wait for a rollout for ever.
"""

import asyncio
import dataclasses
import time
from pathlib import Path
from typing import Any

import ray
from verl.experimental.agent_loop.agent_loop import AgentLoopMetrics, AgentLoopOutput
from verl.trainer.ppo.v1.agent_loop_tq import AgentLoopManagerTQ, AgentLoopWorkerTQ
from verl.trainer.ppo.v1.replay_buffer import FILTER_GROUPS_REWARD_METRIC

import verl_coder.agent_loops.single_turn_agent
import verl_coder.agent_loops.tool_agent  # noqa: F401  (both register themselves in the place of verl's)
from verl_coder.agent_loops.making import make_by_class
from verl_coder.chat_template import options_of_run
from verl_coder.platform.environment import cpu_platform_selected
from verl_coder.run.backup import number
from verl_coder.run.notices import Notices
from verl_coder.run.run_dir import RunDir
from verl_coder.run.settings import parse_settings
from verl_coder.trainer.repeatable import rollout_seed
from verl_coder.trainer.rollout_faults import (
    FAULT,
    Kind,
    RolloutClock,
    SampleFault,
    error_words,
    sample_place,
    score_fault,
    single_precision,
)
from verl_coder.trainer.rollout_puts import put_together

SAMPLED = "sampled_evaluation"
"""Column of an evaluation's batch: True for rows at the training temperature."""
ATTEMPTS = 2
"""A rollout that does not end is asked once more, then it is lost."""
_LOOK_EVERY_S = 1.0

# The class under Ray's decorator.
_Worker: Any = AgentLoopWorkerTQ.__ray_metadata__.modified_class  # type: ignore[attr-defined]


class SampleGuard:
    """What is added to verl's worker, apart from Ray: mixed into it below."""

    config: Any
    tokenizer: Any

    def guard(self) -> None:
        """Read the settings; called once, in the worker."""
        settings = parse_settings(self.config.verl_coder)
        self.seed = settings.seed
        self.notices = Notices(RunDir(Path(settings.out)).notices)
        self.clock = RolloutClock(
            max_tokens=int(self.config.data.max_response_length),
            least_s=settings.watchdog_least_s,
            first_s=settings.watchdog_first_s,
        )
        # There the replicas sleep while the trainer trains, and nothing tells this process how long: a training
        # rollout's seconds say nothing, and the launcher's watchdog is what ends a run whose rollouts hang.
        self.training_pauses = self.config.trainer.v1.trainer_mode == "colocate_async"

    def _is_timed(self, validate: bool) -> bool:
        """Whether the seconds of a rollout are its own."""
        return validate or not self.training_pauses

    def _group_metric(self) -> str:
        """The value of the reward's dict that groups are filtered by; empty where none is."""
        groups = self.config.algorithm.filter_groups
        return str(groups.metric) if groups.enable and groups.metric != FILTER_GROUPS_REWARD_METRIC else ""

    async def _compute_score(self, outputs: list[AgentLoopOutput], kwargs: dict[str, Any]) -> None:
        for output in outputs:
            # A reward may read them of every answer, also of one that called no tool.
            output.extra_fields.setdefault("tool_calls", 0)
            output.extra_fields.setdefault("tool_successes", 0)
        final = outputs[-1]
        if final.extra_fields.get(FAULT):
            return
        kind: Kind = "bad_score"
        try:
            await super()._compute_score(outputs, kwargs)  # type: ignore[misc]
            what = score_fault(
                final.reward_score, final.extra_fields.get("reward_extra_info"), self._group_metric()
            )
        except ray.exceptions.RayActorError:
            raise  # the reward worker is dead: the run ends (launch/watchdog.py)
        except Exception as error:  # of the user's function, which may raise anything
            kind, what = "reward_raised", error_words(error)
        if not what:
            # verl keeps what the reward returned, and nothing after it can write or average a tensor.
            infos = final.extra_fields.get("reward_extra_info") or {}
            final.reward_score = number(final.reward_score)
            kept = {name: number(value) for name, value in infos.items()}
            if isinstance(kept.get(metric := self._group_metric()), float):
                kept[metric] = single_precision(kept[metric])
            final.extra_fields["reward_extra_info"] = kept
        else:
            self._fail(final, SampleFault(kind=kind, what=what, where=sample_place(kwargs)))

    def _fail(self, output: AgentLoopOutput, fault: SampleFault) -> None:
        output.reward_score = 0.0
        infos = fault.infos()
        if metric := self._group_metric():
            infos.setdefault(metric, 0.0)  # verl ends the run where a sample lacks it
        output.extra_fields["reward_extra_info"] = infos
        output.extra_fields[FAULT] = dataclasses.asdict(fault)
        told = {
            "reward_raised": f"the reward raised {fault.what} for {fault.where}: the sample counts as failed and is "
            "masked (masked/reward_raised_share)",
            "bad_score": f"the reward's {fault.what} for {fault.where} (verl_coder.on_bad_score)",
            "lost": f"a rollout of {fault.where} is lost ({fault.what}): it counts as failed and is masked "
            "(masked/lost_share)",
        }
        self.notices.say(fault.kind, told[fault.kind])

    async def _run_agent_loop(
        self, sampling_params: dict[str, Any], trajectory: dict[str, Any], **kwargs: Any
    ) -> None:
        what, timed = "", self._is_timed(trajectory["validate"])
        # On a GPU a seed costs vLLM a kernel for each row, and the rows beside it change the numbers anyway.
        if cpu_platform_selected():
            seed = rollout_seed(self.seed, str(kwargs["uid"]), int(kwargs["session_id"]))
            sampling_params = sampling_params | {"seed": seed}
        for attempt in range(ATTEMPTS):
            started = time.monotonic()
            task = asyncio.ensure_future(
                super()._run_agent_loop(sampling_params, trajectory, **dict(kwargs))  # type: ignore[misc]
            )
            while not task.done():
                await asyncio.wait([task], timeout=_LOOK_EVERY_S)
                if timed and not task.done() and self.clock.is_over(started):
                    break
            if not task.done():
                task.cancel()
                what = f"no end after {time.monotonic() - started:.0f} s"
                again = "it is asked once more" if attempt + 1 < ATTEMPTS else "it is given up"
                place = f"{kwargs.get('uid')}_{kwargs.get('session_id', 0)}, {sample_place(kwargs)}"
                self.notices.say(f"rollout {place} {attempt}", f"the rollout {place} has {what}: {again}")
                continue
            try:
                task.result()
                return
            except ray.exceptions.RayActorError:
                raise  # a process of the run is dead: nothing to go on with
            except Exception as error:  # of a tool or an agent loop
                what = error_words(error)
                break
        await self._put_lost(what, trajectory, kwargs)

    async def _put_lost(self, what: str, trajectory: dict[str, Any], kwargs: dict[str, Any]) -> None:
        """One token, not trained on, in the place of a trajectory."""
        kwargs = {key: value for key, value in kwargs.items() if key not in ("agent_name", "trace")}
        prompt = self.tokenizer.apply_chat_template(
            list(kwargs["raw_prompt"]),
            add_generation_prompt=True,
            tokenize=True,
            return_dict=False,
            **options_of_run(self.config),
        )
        output = AgentLoopOutput(
            prompt_ids=list(prompt)[-int(self.config.data.max_prompt_length) :],
            response_ids=[self.tokenizer.eos_token_id],
            response_mask=[0],
            response_logprobs=[0.0] if self.config.actor_rollout_ref.rollout.calculate_log_probs else None,
            num_turns=2,
            metrics=AgentLoopMetrics(),
            reward_score=0.0,
            extra_fields={
                "turn_scores": [],
                "tool_rewards": [],
                "min_global_steps": int(trajectory["step"]),
                "max_global_steps": int(trajectory["step"]),
            },
        )
        self._fail(output, SampleFault(kind="lost", what=what, where=sample_place(kwargs)))
        await self._agent_loop_postprocess(output, trajectory["validate"], **kwargs)  # type: ignore[attr-defined]

    async def _agent_loop_postprocess(self, output: Any, validate: bool, **kwargs: Any) -> None:
        await super()._agent_loop_postprocess(output, validate, **kwargs)  # type: ignore[misc]
        final = output[-1] if isinstance(output, list) else output
        if not final.extra_fields.get(FAULT):
            seconds = float(final.metrics.generate_sequences) + float(final.metrics.tool_calls)
            timed = self._is_timed(validate)
            self.clock.ended(seconds=seconds if timed else None, tokens=len(final.response_ids))


@ray.remote
class CoderAgentLoopWorker(SampleGuard, _Worker):
    """verl's worker with SampleGuard, which also reads SAMPLED."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.guard()
        make_by_class()
        put_together(super(SampleGuard, self)._agent_loop_postprocess, text_only=self.processor is None)

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

    workers_class: Any = CoderAgentLoopWorker

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.agent_loop_workers_class = self.workers_class  # type: ignore[assignment]
