"""A sample that has no score of its own is told, counted and masked, never dropped."""

import asyncio
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from verl_coder.errors import RewardError
from verl_coder.run.notices import parse_notices
from verl_coder.trainer.evaluation import workers
from verl_coder.trainer.evaluation.evaluate import complete
from verl_coder.trainer.evaluation.report import Answer, evaluation_metrics
from verl_coder.trainer.evaluation.workers import SampleGuard
from verl_coder.trainer.rl_trainer import rollout_statistics, sampled_entropy
from verl_coder.trainer.rollout_faults import FAULT, RolloutClock, SampleFault, faults_of, score_fault
from verl_coder.trainer.sample_masks import SampleMasksMixin


@pytest.mark.parametrize(
    "score", [math.nan, math.inf, None, "1.0", [1.0], torch.ones(2), torch.tensor(math.nan)]
)
def test_a_score_that_is_no_finite_number_is_a_fault(score: Any) -> None:
    assert "score is" in score_fault(score, {"acc": 1.0})
    assert "acc is" in score_fault(1.0, {"acc": score})
    assert score_fault(0.5, {"acc": True}) == score_fault(np.float32(1), None) == ""


@pytest.mark.parametrize("score", [torch.tensor(0.5), torch.tensor([0.5]), np.array([0.5]), np.float32(0.5)])
def test_a_score_of_one_element_is_a_number_from_here_on(tmp_path: Path, score: Any) -> None:
    output = SimpleNamespace(reward_score=None, extra_fields=dict[str, Any]())
    made = worker(tmp_path, score=score)
    made.infos = {"acc": score, "names": ["a"]}
    asyncio.run(made._compute_score([output], KWARGS))  # type: ignore[list-item]
    assert FAULT not in output.extra_fields and type(output.reward_score) is float
    infos = output.extra_fields["reward_extra_info"]
    assert type(infos["acc"]) is float and infos == {"acc": 0.5, "names": ["a"]}


@pytest.mark.parametrize("samples", range(2, 33))
def test_equal_values_of_the_metric_that_groups_are_filtered_by_deviate_by_nothing(
    tmp_path: Path, samples: int
) -> None:
    made = worker(tmp_path, score=1.0)
    made.config.algorithm.filter_groups = {"enable": True, "metric": "pass_rate"}
    of_verl = 0
    for passed, tests in [(1, 10), (2, 3), (1, 7), (3, 11)]:
        made.infos = {"acc": 0.1, "pass_rate": passed / tests}
        output = SimpleNamespace(reward_score=None, extra_fields=dict[str, Any]())
        asyncio.run(made._compute_score([output], KWARGS))  # type: ignore[list-item]
        infos = output.extra_fields["reward_extra_info"]
        assert infos["acc"] == 0.1 and infos["pass_rate"] == pytest.approx(passed / tests)
        assert np.std([infos["pass_rate"]] * samples) == 0.0
        of_verl += np.std([passed / tests] * samples) != 0.0
    assert of_verl > 0 or samples not in (3, 6, 7)


class _VerlsWorker:
    """verl's part, as a test scripts it."""

    def __init__(self, out: Path, *, score: Any = None, rollouts: Any = (), mode: str = "sync") -> None:
        self.config = OmegaConf.create(
            {
                "verl_coder": {
                    "run_name": "r",
                    "out": str(out),
                    "recipe": "x",
                    "watchdog_least_s": 0.1,
                    "watchdog_first_s": 0.1,
                },
                "data": {"max_response_length": 8, "max_prompt_length": 4},
                "trainer": {"v1": {"trainer_mode": mode}},
                "algorithm": {"filter_groups": {"enable": False, "metric": "reward"}},
                "actor_rollout_ref": {"rollout": {"calculate_log_probs": True}},
            }
        )
        out.mkdir(exist_ok=True)
        self.tokenizer = SimpleNamespace(
            eos_token_id=2, apply_chat_template=lambda *_, **__: [1, 1, 1, 1, 1, 1]
        )
        self.infos: dict[str, Any] = {"acc": 1.0}
        self.score, self.rollouts, self.put = score, list(rollouts), list[Any]()
        self.asked = list[dict[str, Any]]()

    async def _compute_score(self, outputs: Any, kwargs: Any) -> None:
        if isinstance(self.score, Exception):
            raise self.score
        outputs[-1].reward_score = self.score
        outputs[-1].extra_fields["reward_extra_info"] = dict(self.infos)

    async def _run_agent_loop(self, sampling_params: Any, trajectory: Any, **kwargs: Any) -> None:
        self.asked.append(sampling_params)
        await self.rollouts.pop(0)()

    async def _agent_loop_postprocess(self, output: Any, validate: bool, **kwargs: Any) -> None:
        self.put.append(output)


class Worker(SampleGuard, _VerlsWorker):
    """The guard over it."""


def worker(out: Path, **script: Any) -> Worker:
    made = Worker(out, **script)
    made.guard()
    return made


def said(out: Path) -> list[str]:
    path = out / "warnings.jsonl"
    return parse_notices(path.read_bytes().splitlines()) if path.is_file() else []


KWARGS = {"extra_info": {"problem_id": "mbpp/7"}, "session_id": 2, "uid": "u", "raw_prompt": []}


@pytest.mark.parametrize(
    ("score", "kind"),
    [(KeyError("difficulty"), "reward_raised"), (math.nan, "bad_score"), (None, "bad_score")],
)
def test_a_reward_that_fails_leaves_a_failed_sample_and_is_told_once(
    tmp_path: Path, score: Any, kind: str
) -> None:
    made = worker(tmp_path, score=score)
    for _ in range(3):
        output = SimpleNamespace(reward_score=None, extra_fields=dict[str, Any]())
        asyncio.run(made._compute_score([output], KWARGS))  # type: ignore[list-item]
        assert output.reward_score == 0.0
        assert output.extra_fields["reward_extra_info"]["acc"] == 0.0
        (fault,) = faults_of([output.extra_fields])
        assert fault is not None and (fault.kind, fault.where) == (kind, "problem mbpp/7, sample 2")
    assert len(said(tmp_path)) == 1 and "mbpp/7" in said(tmp_path)[0]


def test_an_answer_without_a_tool_call_has_the_counts_too(tmp_path: Path) -> None:
    output = SimpleNamespace(reward_score=None, extra_fields=dict[str, Any]())
    asyncio.run(worker(tmp_path, score=1.0)._compute_score([output], KWARGS))  # type: ignore[list-item]
    assert output.extra_fields["tool_calls"] == output.extra_fields["tool_successes"] == 0
    assert FAULT not in output.extra_fields and output.reward_score == 1.0


async def never() -> None:
    await asyncio.sleep(3600)


async def at_once() -> None:
    return None


async def raises() -> None:
    raise ValueError("of an agent loop")


async def rests() -> None:
    await asyncio.sleep(0.4)  # four times what is allowed: the replicas sleep while the trainer trains


def rollout(made: Worker, validate: bool = False) -> None:
    trajectory = {"step": 4, "validate": validate}
    asyncio.run(made._run_agent_loop({}, trajectory, agent_name="tool_agent", **KWARGS))


def test_a_rollout_that_does_not_end_is_asked_again_by_name(tmp_path: Path) -> None:
    made = worker(tmp_path, rollouts=[never, at_once])
    rollout(made)
    assert made.rollouts == [] and made.put == []
    assert "u_2, problem mbpp/7, sample 2" in said(tmp_path)[0] and "asked once more" in said(tmp_path)[0]


def test_a_sample_draws_by_a_seed_of_its_own_in_each_attempt(tmp_path: Path) -> None:
    seeds = []
    for sample in (0, 1):
        made = worker(tmp_path, rollouts=[never, at_once])
        step = {"validate": False, "step": 3}
        asyncio.run(made._run_agent_loop({"top_k": -1}, step, **(KWARGS | {"session_id": sample})))
        assert made.asked[0] == made.asked[1] and made.asked[0]["top_k"] == -1
        seeds.append(made.asked[0]["seed"])
    assert seeds[0] != seeds[1]


def test_a_rollout_that_rests_while_the_trainer_trains_is_not_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_LOOK_EVERY_S", 0.02)
    made = worker(tmp_path, rollouts=[rests], mode="colocate_async")
    rollout(made)
    assert made.put == [] and said(tmp_path) == []


def test_evaluation_never_rests_so_its_hung_rollouts_are_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "_LOOK_EVERY_S", 0.02)
    rollout(worker(tmp_path, rollouts=[never, at_once], mode="colocate_async"), validate=True)
    assert "asked once more" in said(tmp_path)[0]


def test_an_answer_is_not_lost_that_waits_behind_training_rollouts(tmp_path: Path) -> None:
    """Their seconds, with rests in them, say nothing; that they end does."""
    made, time = worker(tmp_path, mode="colocate_async"), SimpleNamespace(now=0.0)
    made.clock = RolloutClock(max_tokens=1000, least_s=60, first_s=300, now=lambda: time.now)
    metrics = SimpleNamespace(generate_sequences=1e6, tool_calls=0.0)
    output = SimpleNamespace(extra_fields={}, metrics=metrics, response_ids=[1])
    time.now = 400.0
    asyncio.run(made._agent_loop_postprocess(output, False))
    assert not made.clock.is_over(0.0) and made.clock.limit_s == 300
    time.now += 61
    assert made.clock.is_over(0.0)


@pytest.mark.parametrize("rollouts", [[never, never], [raises]])
def test_a_lost_rollout_is_put_masked(tmp_path: Path, rollouts: list[Any]) -> None:
    made = worker(tmp_path, rollouts=rollouts)
    rollout(made)
    (output,) = made.put
    assert output.response_mask == [0] and output.reward_score == 0.0 and len(output.prompt_ids) == 4
    (fault,) = faults_of([output.extra_fields])
    assert fault is not None and fault.kind == "lost"


def test_a_long_rollout_is_told_from_a_hung_one() -> None:
    time = [0.0]
    clock = RolloutClock(max_tokens=1000, least_s=60, first_s=1800, now=lambda: time[0])
    time[0] = 1700
    assert not clock.is_over(0.0)
    clock.ended(seconds=20, tokens=100)
    assert clock.limit_s == 400
    time[0] = 1800
    assert not clock.is_over(1500.0) and clock.is_over(1300.0)
    clock.ended(seconds=1, tokens=100)
    assert not clock.is_over(1300.0)


@pytest.mark.parametrize("failing", ["lost", "reward_raised"])
def test_a_failed_sample_has_the_number_that_groups_are_filtered_by(tmp_path: Path, failing: str) -> None:
    made = worker(tmp_path, rollouts=[raises], score=KeyError("x"))
    made.config.algorithm = {"filter_groups": {"enable": True, "metric": "pass_rate"}}
    if failing == "lost":
        rollout(made)
        (output,) = made.put
    else:
        output = SimpleNamespace(reward_score=None, extra_fields=dict[str, Any]())
        asyncio.run(made._compute_score([output], KWARGS))  # type: ignore[list-item]
    assert output.extra_fields["reward_extra_info"]["pass_rate"] == 0.0


class Masks(SampleMasksMixin):
    """The mixin without verl."""

    def __init__(self, out: Path, **settings: Any) -> None:
        self.config = OmegaConf.create(
            {
                "verl_coder": {"run_name": "r", "out": str(out), "recipe": "x", **settings},
                "reward": {"custom_reward_function": {"path": "mine.py"}},
            }
        )
        self.global_steps = 3

    def on_sample_end(self) -> None:
        """Abstract in verl's trainer."""

    def on_step_end(self) -> None:
        """Abstract in verl's trainer."""


BAD = SampleFault(kind="bad_score", what="score is nan", where="problem mbpp/7, sample 2")
RAISED = SampleFault(kind="reward_raised", what="KeyError: 'x'", where="problem mbpp/8, sample 0")
REAL = np.array([True] * 8)


def test_a_bad_score_ends_the_run_with_the_samples_place(tmp_path: Path) -> None:
    with pytest.raises(
        RewardError, match=r"step 3: the reward's score is nan for problem mbpp/7, sample 2: mend mine.py"
    ):
        Masks(tmp_path)._failed_rows([BAD, *[None] * 7], REAL, {})


def test_by_setting_it_is_masked_and_counted(tmp_path: Path) -> None:
    metrics: dict[str, Any] = {}
    rows = Masks(tmp_path, on_bad_score="mask")._failed_rows([BAD, RAISED, *[None] * 6], REAL, metrics)
    assert rows.tolist() == [True, True, *[False] * 6]
    assert metrics == {"masked/reward_raised_share": 0.125, "masked/bad_score_share": 0.125}


def test_too_many_failures_end_the_run(tmp_path: Path) -> None:
    with pytest.raises(
        RewardError, match=r"38% of the samples have no score .*KeyError: 'x' for problem mbpp/8"
    ):
        Masks(tmp_path)._failed_rows([RAISED] * 3 + [None] * 5, REAL, {})


def test_a_failed_sample_counts_as_failed_in_every_metric() -> None:
    fields = [{"reward_extra_info": RAISED.infos()}, {"reward_extra_info": {"acc": 1.0, "pass_rate": 1.0}}]
    metrics = rollout_statistics(fields)
    assert metrics["reward/acc/mean"] == metrics["reward/pass_rate/mean"] == 0.5
    assert complete([{"acc": 0.0}, {"acc": 1.0, "pass_rate": 1.0}])["pass_rate"] == [0.0, 1.0]
    answers = [answer({"acc": 1.0}), answer(RAISED.infos())]
    found = evaluation_metrics(answers)
    assert found["eval/greedy/pass_at_1"] == 0.5 and found["eval/failed_share"] == 0.5


def answer(infos: dict[str, Any]) -> Answer:
    return Answer(
        uid="u", problem_id="p", difficulty="easy", data_source="s", sampled=False, prompt="", text="",
        score=0.0, infos=infos, turns=2, response_tokens=1, end_reason="", tool_calls=0, tool_successes=0,
        ground_truth="", extra_info={},
    )  # fmt: skip


def test_the_entropy_of_what_was_drawn_is_estimated_by_the_tokens_of_the_policy_alone() -> None:
    torch.manual_seed(0)
    distribution = torch.distributions.Categorical(probs=torch.tensor([0.7, 0.2, 0.1]))
    rows = [distribution.log_prob(distribution.sample((2000,))) for _ in range(2)]
    rows = [torch.cat([row, torch.full((50,), -30.0)]) for row in rows]  # what a tool printed
    masks = [torch.tensor([1] * 2000 + [0] * 50) for _ in rows]
    found = sampled_entropy(rows, masks)["rollout/entropy"]
    assert found == pytest.approx(float(distribution.entropy()), abs=0.03)
    assert sampled_entropy(rows, [torch.zeros_like(mask) for mask in masks]) == {} == sampled_entropy([], [])


def test_a_sample_without_a_verdict_is_not_counted_as_wrong() -> None:
    right = {"reward_extra_info": {"acc": 1.0, "sandbox_unavailable": 0.0}}
    no_grade = {"reward_extra_info": {"acc": 0.0, "sandbox_unavailable": 1.0}}
    no_tool = {"reward_extra_info": {"acc": 0.0, "sandbox_unavailable": 0.0}, "tool_sandbox_unavailable": 1}
    metrics = rollout_statistics([right, no_grade, no_tool, right])
    assert metrics["reward/acc/mean"] == 1.0 and metrics["reward/sandbox_unavailable/mean"] == 0.25
    assert "reward/acc/mean" not in rollout_statistics([no_grade])
