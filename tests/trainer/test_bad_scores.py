"""A reward's NaN, None or text for a training sample, from verl's own reward manager to the loss: none gets there."""

import asyncio
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from tensordict import TensorDict
from trainer.fake_queue import FakeQueue
from transformers import AutoTokenizer
from verl import DataProto
from verl.experimental.agent_loop.agent_loop import AgentLoopMetrics, AgentLoopOutput
from verl.experimental.reward_loop.reward_manager.naive import NaiveRewardManager
from verl.trainer.ppo.core_algos import compute_policy_loss_vanilla
from verl.workers.config import FSDPActorConfig

from verl_coder.errors import RewardError
from verl_coder.run.notices import parse_notices
from verl_coder.tiny.build import BASE
from verl_coder.trainer.evaluation.workers import SampleGuard
from verl_coder.trainer.sample_masks import SampleMasksMixin

ANSWER = [5, 6, 2]
SCORES = [1.0, 0.0, None, 1.0]
"""Of a group of four samples; the third one's is the bad one."""


def configuration(out: Path, **settings: Any) -> Any:
    return OmegaConf.create(
        {
            "verl_coder": {"run_name": "r", "out": str(out), "recipe": "x", **settings},
            "data": {"max_response_length": 8, "max_prompt_length": 4},
            "trainer": {"v1": {"trainer_mode": "sync"}},
            "reward": {"custom_reward_function": {"path": "mine.py"}},
            "algorithm": {
                "adv_estimator": "grpo",
                "use_kl_in_reward": False,
                "gamma": 1,
                "lam": 1,
                "filter_groups": {"enable": True, "metric": "pass_rate"},
            },
            "actor_rollout_ref": {"rollout": {"n": len(SCORES)}},
        }
    )


class _RewardLoop:
    """verl's worker, as far as the reward: its reward manager with the user's function."""

    def __init__(self, config: Any, compute_score: Any) -> None:
        self.config, self.compute_score = config, compute_score

    async def _compute_score(self, outputs: list[AgentLoopOutput], kwargs: dict[str, Any]) -> None:
        final = outputs[-1]
        tokens = torch.tensor([final.response_ids])
        batch = TensorDict({"responses": tokens, "attention_mask": torch.ones_like(tokens)}, batch_size=1)
        plain = {**kwargs, "tool_extra_fields": final.extra_fields}
        manager = NaiveRewardManager(self.config, AutoTokenizer.from_pretrained(BASE), self.compute_score)
        data = DataProto(batch, {name: np.array([value], dtype=object) for name, value in plain.items()})
        result = await manager.run_single(data)
        final.reward_score = result["reward_score"]
        final.extra_fields["reward_extra_info"] = result["reward_extra_info"]


class Worker(SampleGuard, _RewardLoop):
    """Our guard over it."""


class Masks(SampleMasksMixin):
    """The trainer, as far as the advantages."""

    def __init__(self, config: Any) -> None:
        self.config, self.global_steps = config, 3

    def on_sample_end(self) -> None:
        """Abstract in verl's trainer."""

    def on_step_end(self) -> None:
        """Abstract in verl's trainer."""


def graded(config: Any, bad: Any) -> FakeQueue:
    """The batch of a step, as the workers put it."""
    scores = [bad if score is None else score for score in SCORES]

    def compute_score(data_source: str, solution_str: str, ground_truth: str, extra_info: Any) -> Any:
        score = scores[extra_info["sample"]]
        return score() if callable(score) else score

    worker = Worker(config, compute_score)
    worker.guard()
    outputs = []
    for sample in range(len(scores)):
        output = AgentLoopOutput(
            prompt_ids=[1],
            response_ids=ANSWER,
            response_mask=[1, 1, 1],
            num_turns=2,
            metrics=AgentLoopMetrics(),
        )
        row = {
            "data_source": "mbpp",
            "reward_model": {"ground_truth": "{}"},
            "extra_info": {"problem_id": "mbpp/7", "sample": sample},
            "session_id": sample,
        }
        asyncio.run(worker._compute_score([output], row))
        outputs.append(output)
    return FakeQueue(
        uid=["u" for _ in outputs],
        extra_fields=[output.extra_fields for output in outputs],
        responses=[torch.tensor(output.response_ids) for output in outputs],
        rm_scores=[torch.tensor([0.0, 0.0, output.reward_score]) for output in outputs],
        response_mask=[torch.ones(3, dtype=torch.long) for _ in outputs],
        loss_mask=[torch.ones(3, dtype=torch.long) for _ in outputs],
    )


def no_number() -> Any:
    return {"score": 1.0, "acc": 1.0, "sandbox_unavailable": 0.0, "pass_rate": math.nan}


BAD = [
    (math.nan, "score is nan"),
    (None, "score is None"),
    (-math.inf, "score is -inf"),
    ("good", "score is 'good'"),
    ({"score": 1.0, "acc": "yes", "sandbox_unavailable": 0.0}, "acc is 'yes'"),
    (no_number, "pass_rate is nan"),
]


@pytest.mark.parametrize(("bad", "what"), BAD)
def test_it_ends_the_run_before_the_advantages_with_the_samples_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: Any, what: str
) -> None:
    config = configuration(tmp_path)
    held = graded(config, bad)
    with pytest.raises(RewardError, match=r"mend mine\.py") as raised:
        Masks(config)._compute_advantage(held.stand_in(monkeypatch), {})
    assert f"step 3: the reward's {what} for problem mbpp/7, sample 2:" in str(raised.value)
    assert "advantages" not in held.columns
    (told,) = parse_notices((tmp_path / "warnings.jsonl").read_bytes().splitlines())
    assert f"{what} for problem mbpp/7, sample 2" in told


@pytest.mark.parametrize(("bad", "what"), BAD)
def test_by_setting_it_is_masked_and_the_loss_is_that_of_the_other_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bad: Any, what: str
) -> None:
    config = configuration(tmp_path, on_bad_score="mask", max_failed_share=0.5)
    held = graded(config, bad)
    metrics: dict[str, Any] = {}
    Masks(config)._compute_advantage(held.stand_in(monkeypatch), metrics)
    assert metrics["masked/bad_score_share"] == 0.25
    advantages = torch.stack(held.columns["advantages"])
    mask = torch.stack(held.columns["loss_mask"])
    assert advantages.isfinite().all() and not advantages[2].any() and not mask[2].any()
    log_prob = torch.zeros(4, 3, requires_grad=True)
    actor = FSDPActorConfig(strategy="fsdp", rollout_n=4, ppo_micro_batch_size_per_gpu=1)
    loss, _ = compute_policy_loss_vanilla(log_prob.detach(), log_prob, advantages, mask, config=actor)
    loss.backward()
    assert loss.isfinite() and log_prob.grad is not None and log_prob.grad.isfinite().all()
    assert log_prob.grad[[0, 1, 3]].any() and not log_prob.grad[2].any()
