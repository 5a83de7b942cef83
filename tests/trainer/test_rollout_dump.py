import json
from pathlib import Path
from typing import Any

import pytest
import torch
from trainer.fake_trainer import FakeTrainer
from transfer_queue import KVBatchMeta
from verl.trainer.ppo.v1.trainer_base import PPOTrainer

from verl_coder.trainer import rollout_dump
from verl_coder.trainer.rollout_dump import RolloutDumpMixin, sequence_advantage, token_columns

WORDS = ["<pad>", "def", " f", "()", "ok", "<|im_end|>"]


class Tokenizer:
    def decode(self, ids: Any, skip_special_tokens: bool = False) -> str:
        texts = [WORDS[int(token)] for token in ids]
        return "".join(text for text in texts if not (skip_special_tokens and text.startswith("<|")))


class DumpingTrainer(RolloutDumpMixin, FakeTrainer):
    """Writes at once where verl's hands the file to a thread."""

    tokenizer = Tokenizer()

    def _dump_generations(self, *arguments: Any) -> None:
        PPOTrainer._write_generations(*arguments, self.global_steps)


@pytest.fixture
def columns(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Two samples of one prompt, as TransferQueue hands them out."""
    responses = [torch.tensor([1, 2, 4, 5]), torch.tensor([1, 3])]
    extras = [
        {
            "tool_calls": 1, "tool_successes": 0, "end_reason": "length",
            "reward_extra_info": {"score": 1.0, "acc": 1.0, "bonus": 0.5},
        },
        {"tool_calls": 0, "reward_extra_info": {"score": 0.0, "acc": 0.0}},
    ]  # fmt: skip
    found: dict[str, Any] = {
        "prompts": torch.nested.as_nested_tensor([torch.tensor([1]), torch.tensor([2])], layout=torch.jagged),
        "responses": torch.nested.as_nested_tensor(responses, layout=torch.jagged),
        "rm_scores": torch.nested.as_nested_tensor([torch.zeros(4), torch.ones(2) / 2], layout=torch.jagged),
        "response_mask": torch.nested.as_nested_tensor(
            [torch.tensor([1, 1, 0, 1]), torch.tensor([1, 1])], layout=torch.jagged
        ),
        "advantages": torch.nested.as_nested_tensor(
            [torch.tensor([-2.0, -2.0, 0.0, -2.0]), torch.tensor([2.0, 2.0])], layout=torch.jagged
        ),
        "extra_info": [{"problem_id": "p", "difficulty": "easy"}] * 2,
        "extra_fields": extras,
        "reward_model": [{"ground_truth": "{}"}] * 2,
        "num_turns": [4, 2],
    }
    monkeypatch.setattr(rollout_dump, "read_columns", lambda batch, *names: found)
    return found


def dumped(tmp_path: Path, **settings: Any) -> list[dict[str, Any]]:
    trainer = DumpingTrainer(tmp_path, **settings)
    batch = KVBatchMeta(partition_id="train", keys=["a_1_0", "a_0_0"], tags=[{}, {}])
    trainer._log_rollout_data(batch, {}, str(tmp_path / "rollouts"))
    return [json.loads(line) for line in (tmp_path / "rollouts" / "1.jsonl").read_text().splitlines()]


def test_a_line_holds_verdict_tools_and_advantage_and_samples_stand_in_order(
    tmp_path: Path, columns: dict[str, Any]
) -> None:
    columns["extra_fields"][0]["reward_extra_info"]["turns"] = 99  # a name of ours is not a reward's
    second, first = dumped(tmp_path)
    assert [row["uid"] for row in (second, first)] == ["a_0_0", "a_1_0"]
    assert first == {
        "input": "def", "output": "def fok", "gts": "{}", "score": 0.0, "step": 1, "uid": "a_1_0", "problem_id": "p",
        "difficulty": "easy", "tool_calls": 1, "tool_successes": 0, "turns": 2, "response_tokens": 4,
        "end_reason": "length", "acc": 1.0, "bonus": 0.5, "advantage": -2.0,
    }  # fmt: skip
    assert (second["score"], second["turns"], second["advantage"], second["bonus"]) == (1.0, 1, 2.0, None)


def test_a_line_whose_tool_call_the_sandbox_failed_has_no_verdict(
    tmp_path: Path, columns: dict[str, Any]
) -> None:
    columns["extra_fields"][0]["tool_sandbox_unavailable"] = 1
    columns["extra_fields"][0]["reward_extra_info"]["sandbox_unavailable"] = 0.0
    assert dumped(tmp_path)[1]["sandbox_unavailable"] == 1.0


def test_tokens_are_written_where_the_recipe_asks_for_them(tmp_path: Path, columns: dict[str, Any]) -> None:
    columns["rollout_log_probs"] = torch.nested.as_nested_tensor(
        [torch.tensor([-0.12345, 0.0, 0.0, -1.0]), torch.tensor([-0.5, -0.25])], layout=torch.jagged
    )
    _, first = dumped(tmp_path, rollout_tokens=True)
    assert first["tokens"] == {
        "text": ["def", " f", "ok", "<|im_end|>"], "learnt": [1, 1, 0, 1], "log_prob": [-0.1235, 0.0, 0.0, -1.0]
    }  # fmt: skip


def test_a_masked_sample_has_no_advantage_and_nothing_learnt() -> None:
    assert sequence_advantage(torch.tensor([1.0, 1.0]), torch.tensor([0, 0])) is None
    row = {
        "responses": torch.tensor([0, 1]), "response_mask": torch.tensor([1, 1]), "loss_mask": torch.tensor([0, 0]),
        "rollout_log_probs": None,
    }  # fmt: skip
    assert token_columns(row, str) == {"text": ["0", "1"], "learnt": [0, 0]}
