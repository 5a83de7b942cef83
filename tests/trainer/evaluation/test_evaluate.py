"""An evaluation in the trainer: who is asked how often, and what counts when the sandbox fails."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from omegaconf import open_dict
from trainer.fake_queue import FakeQueue
from trainer.fake_trainer import FakeTrainer

from verl_coder.run.notices import parse_notices
from verl_coder.trainer.curriculum.training import CurriculumMixin
from verl_coder.trainer.evaluation import evaluate
from verl_coder.trainer.evaluation.evaluate import EvaluationMixin, last_outputs
from verl_coder.trainer.evaluation.report import Answer
from verl_coder.trainer.evaluation.workers import SAMPLED


class Trainer(EvaluationMixin, FakeTrainer):
    """Answers are given; verl's own metrics only note what they were asked for."""

    answers: list[Answer]

    def __init__(self, out: Path, **settings: Any) -> None:
        super().__init__(out, **settings)
        with open_dict(self.config):
            self.config.actor_rollout_ref = {"rollout": {"val_kwargs": {"n": 1}}}
        problems = np.array([{"problem_id": name} for name in "abc"], dtype=object)
        self.val_dataloader = [
            {
                "raw_prompt": np.array([[{}]] * 3, dtype=object),
                "data_source": np.array(["sample"] * 3, dtype=object),
                "extra_info": problems,
                "dummy": torch.arange(3),
            }
        ]
        self.failing: set[str] = set()
        self.calls = {"a": 0, "b": 3, "c": 2}
        self.failure: dict[str, Any] = {"acc": 0.0, "sandbox_unavailable": True}
        self.asked: dict[str, Any] = {}
        self.expected: dict[tuple[str, str], int] = {}

    def _answer(self, rows: dict[str, Any]) -> list[Answer]:
        self.asked = rows
        return [
            Answer(
                uid=rows["uid"][i],
                problem_id=rows["extra_info"][i]["problem_id"],
                difficulty="easy",
                data_source=rows["data_source"][i],
                sampled=rows[SAMPLED][i],
                prompt="p",
                text="t",
                score=1.0,
                infos={"acc": 1.0}
                if rows["extra_info"][i]["problem_id"] not in self.failing
                else dict(self.failure),
                turns=2,
                response_tokens=100,
                end_reason="length",
                tool_calls=self.calls[rows["extra_info"][i]["problem_id"]],
                tool_successes=0,
                ground_truth="{}",
                extra_info={},
            )
            for i in range(len(rows["uid"]))
        ]

    def _val_metrics_update(
        self, sources: Any, uids: Any, infos: Any, turns: Any, expected: Any = None
    ) -> Any:
        self.expected = expected
        return {"val-core/sample/acc/mean@1": float(np.mean(infos["acc"]))}


class Reading(EvaluationMixin, FakeTrainer):
    """Answers come out of the queue; only what reading them needs is there."""

    def __init__(self, out: Path) -> None:
        super().__init__(out)
        self.tokenizer = SimpleNamespace(decode=lambda ids, **_: "text")


class Staged(CurriculumMixin, Trainer):
    """With a curriculum that only notes what it is told."""

    def __init__(self, out: Path, **settings: Any) -> None:
        super().__init__(out, **settings)
        self.observed: list[int] = []
        stage = SimpleNamespace(stage_of=lambda _: 0, names=("one",))
        self.curriculum = SimpleNamespace(  # type: ignore[assignment]
            settings=stage, observe=lambda step, rates: self.observed.append(step)
        )


@pytest.fixture
def out(tmp_path: Path) -> Path:
    (tmp_path / "checkpoints").mkdir()
    return tmp_path


def test_each_problem_is_answered_once_greedily_and_sampled_as_often_as_asked(out: Path) -> None:
    trainer = Trainer(out, eval_samples=4)
    trainer._validate()
    assert list(trainer.asked[SAMPLED]) == [False] * 3 + [True] * 3
    assert list(trainer.asked["__rollout_n__"]) == [1] * 3 + [4] * 3
    assert trainer.asked["dummy"].tolist() == [0, 1, 2, 0, 1, 2]
    assert len(set(trainer.asked["uid"])) == 6


def test_problems_of_several_batches_have_names_of_their_own(out: Path) -> None:
    trainer = Trainer(out, eval_samples=2)
    trainer.val_dataloader *= 2
    names: list[str] = []
    answer = trainer._answer
    trainer._answer = lambda rows: (names.extend(rows["uid"]), answer(rows))[1]  # type: ignore[method-assign]
    trainer._validate()
    assert len(names) == len(set(names)) == 12 and len(trainer.expected) == 6


def test_without_samples_only_the_greedy_answers_are_asked_for(out: Path) -> None:
    trainer = Trainer(out)
    metrics = trainer._validate()
    assert list(trainer.asked[SAMPLED]) == [False] * 3
    assert "eval/greedy/pass_at_1" in metrics and "eval/sampled/pass_at_1" not in metrics


def test_the_table_is_a_file_that_the_metrics_name(out: Path) -> None:
    metrics = Trainer(out)._validate()
    rows = (out / metrics["tables/eval/samples"]).read_text().splitlines()
    assert sorted(json.loads(row)["problem"] for row in rows) == ["a", "b", "c"]


def test_every_answer_is_a_line_with_its_length_and_why_it_ended(out: Path) -> None:
    trainer, written = Trainer(out), {}
    trainer.config.trainer.validation_data_dir = str(out / "validation")
    trainer._dump_generations = lambda **columns: written.update(columns["reward_extra_infos_dict"])  # type: ignore[method-assign]
    trainer._validate()
    assert written["problem_id"] == ["a", "b", "c"] and written["turns"] == [1, 1, 1]
    assert written["response_tokens"] == [100] * 3 and written["end_reason"] == ["length"] * 3


def test_an_answer_without_a_verdict_is_not_missed(out: Path) -> None:
    trainer = Trainer(out, max_sandbox_unavailable_share=0.5)
    trainer.failing = {"b"}
    metrics = trainer._validate()
    assert metrics["val-core/sample/acc/mean@1"] == metrics["eval/greedy/pass_at_1"] == 1.0
    assert len(trainer.expected) == 2 and set(trainer.expected.values()) == {1}
    assert not (out / "warnings.jsonl").exists()


def test_an_evaluation_without_verdicts_warns_and_makes_no_checkpoint_the_best(out: Path) -> None:
    trainer = Trainer(out)
    trainer.failing = set("abc")
    metrics = trainer._validate()
    assert not any(name.startswith(("val-core", "eval/greedy")) for name in metrics)
    assert trainer._evaluated is None
    [said] = parse_notices((out / "warnings.jsonl").read_bytes().splitlines())
    assert "100% of its answers have no verdict" in said


def test_the_tool_calls_of_the_held_out_answers_are_counted_and_not_worked_out_of_their_turns(
    out: Path,
) -> None:
    metrics = Trainer(out)._validate()  # each answer of two turns
    assert metrics["val-aux/tool_calls/mean"] == pytest.approx(5 / 3)
    assert metrics["val-aux/tool_calls/rate"] == pytest.approx(2 / 3)


def test_an_answer_whose_tool_call_the_sandbox_failed_has_no_verdict(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra = [
        {"reward_extra_info": {"acc": 0.0, "sandbox_unavailable": 0.0}, "tool_sandbox_unavailable": 1},
        {"reward_extra_info": {"acc": 0.0, "sandbox_unavailable": 0.0}},
    ]
    queue = FakeQueue(
        uid=["u", "v"],
        prompts=[torch.tensor([1])] * 2,
        responses=[torch.tensor([1])] * 2,
        rm_scores=[torch.tensor([0.0])] * 2,
        num_turns=[2, 2],
        extra_fields=extra,
    )
    monkeypatch.setattr(evaluate, "tq", queue)
    rows = {SAMPLED: [False] * 2, "data_source": ["s"] * 2}
    answers = Reading(out)._read_answers(queue.stand_in(monkeypatch), {"u": 0, "v": 1}, rows)
    assert [answer.graded for answer in answers] == [False, True]


@pytest.mark.parametrize("setting", ["max_sandbox_unavailable_share", "max_failed_share"])
@pytest.mark.parametrize("most", [0.5, 0.75])
def test_an_evaluation_that_says_little_makes_no_checkpoint_the_best_and_ends_no_stage(
    out: Path, setting: str, most: float
) -> None:
    trainer = Staged(out, **{setting: most})
    trainer.global_steps = 8
    trainer.failing = {"a", "b"}
    if setting == "max_failed_share":
        trainer.failure = {"acc": 0.0, "reward_raised": 1.0}
    trainer._validate()
    says_little = most < 2 / 3
    assert (trainer._evaluated is None) is says_little
    assert trainer.observed == ([] if says_little else [8])
    assert (out / "warnings.jsonl").exists() is says_little


def test_the_last_output_of_each_session_counts() -> None:
    assert last_outputs(["u_0_0", "u_0_2", "u_0_1", "u_1_0"]) == ["u_0_2", "u_1_0"]
