"""The actor's loss on verl's own batches: verl's policy loss unchanged, the supervised terms beside it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from tensordict import TensorDict
from verl.utils import tensordict_utils as tu
from verl.utils.metric import AggregationType, Metric, reduce_metrics
from verl.utils.py_functional import append_to_dict, rename_dict
from verl.workers.config import FSDPActorConfig, PolicyLossConfig
from verl.workers.utils.losses import ppo_loss
from verl.workers.utils.padding import no_padding_2_padding

from verl_coder.paths import repository_root
from verl_coder.trainer.composite.loss import (
    ALPHA_FIELD,
    actor_loss,
    rollout_loss,
    take_token_means,
    token_sums,
)
from verl_coder.trainer.composite.policy_file import FILE_MODE, PolicyFile

PROMPTS, RESPONSES = (2, 3, 1, 2), (4, 2, 3, 5)
TEACHER = 2
"""The row that is a teacher's: response mask 0."""


def _nested(rows: list[torch.Tensor]) -> torch.Tensor:
    return torch.nested.as_nested_tensor(rows, layout=torch.jagged)


def _batch(rows: list[int], *, supervised: float, alpha: float, dp_size: int = 1) -> TensorDict:
    generator = torch.Generator().manual_seed(3)
    drawn = [torch.randn(3, length, generator=generator) for length in RESPONSES]
    responses = [drawn[row] for row in rows]
    masks = [torch.full((RESPONSES[row],), int(row != TEACHER)) for row in rows]
    teacher = [torch.full((RESPONSES[r],), supervised * (r == TEACHER)) for r in rows]
    own = [torch.full((RESPONSES[r],), supervised * (r == 1)) for r in rows]
    fields: dict[str, Any] = {
        "prompts": _nested([torch.ones(PROMPTS[r], dtype=torch.long) for r in rows]),
        "responses": _nested([torch.ones(RESPONSES[r], dtype=torch.long) for r in rows]),
        "response_mask": _nested(masks),
        "old_log_probs": _nested([-row[0].abs() for row in responses]),
        "ref_log_prob": _nested([-row[1].abs() for row in responses]),
        "advantages": _nested([row[2] * mask for row, mask in zip(responses, masks, strict=True)]),
        "sft_teacher_weights": _nested(teacher),
        "sft_self_weights": _nested(own),
    }
    data = TensorDict(fields, batch_size=len(rows))
    tokens = sum(length for row, length in enumerate(RESPONSES) if row != TEACHER)
    options = {"dp_size": dp_size, "batch_num_tokens": tokens, "global_batch_size": 3, ALPHA_FIELD: alpha}
    tu.assign_non_tensor(data, **options)
    return data


def _config() -> FSDPActorConfig:
    return FSDPActorConfig(
        strategy="fsdp2", rollout_n=3, ppo_micro_batch_size_per_gpu=1, use_kl_loss=True, kl_loss_coef=0.1
    )


def _log_probs(rows: list[int]) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Jagged log-probs of prompt and response, and the leaf of each row."""
    generator = torch.Generator().manual_seed(4)
    every = [-torch.rand(p + r, generator=generator) for p, r in zip(PROMPTS, RESPONSES, strict=True)]
    leaves = [every[row].requires_grad_() for row in rows]
    values = torch.cat(leaves)
    offsets = torch.tensor([0, *(len(leaf) for leaf in leaves)]).cumsum(0)
    return torch.nested.nested_tensor_from_jagged(values, offsets=offsets), leaves


def _gradients(rows: list[int], **options: Any) -> tuple[float, dict[int, torch.Tensor], dict[str, Any]]:
    log_probs, leaves = _log_probs(rows)
    loss, metrics = actor_loss(_config(), {"log_probs": log_probs}, _batch(rows, **options))
    loss.backward()
    return loss.item(), {row: leaf.grad for row, leaf in zip(rows, leaves, strict=True)}, metrics


def _of_a_step(micro_batches: list[dict[str, Any]]) -> dict[str, float]:
    """What the trainer makes of their metrics, as verl hands them over."""
    collected: dict[str, Any] = {}
    for metrics in micro_batches:
        append_to_dict(
            collected, {name: value for name, value in metrics.items() if isinstance(value, Metric)}
        )
    means = reduce_metrics(rename_dict(collected, "actor/"))
    take_token_means(means)
    return means


@pytest.mark.parametrize("mode", ["token-mean", "seq-mean-token-mean"])
def test_a_mini_batch_in_which_every_row_is_masked_has_a_loss_of_0(mode: str) -> None:
    config = FSDPActorConfig(
        strategy="fsdp2", rollout_n=3, ppo_micro_batch_size_per_gpu=1, loss_agg_mode=mode, use_kl_loss=True
    )
    log_probs, leaves = _log_probs([TEACHER])
    data = _batch([TEACHER], supervised=0.0, alpha=1.0)
    tu.assign_non_tensor(data, batch_num_tokens=0)
    loss, metrics = rollout_loss(config, {"log_probs": log_probs}, data)
    loss.backward()
    assert loss.item() == 0.0 and not leaves[0].grad.any()  # type: ignore[union-attr]
    assert all(metrics[name].aggregate() == 0.0 for name in ("actor/pg_loss", "kl_loss"))


def test_with_a_token_to_learn_the_rollouts_loss_is_verls() -> None:
    found = []
    for loss in (rollout_loss, ppo_loss):
        log_probs, _ = _log_probs([0, 1, 3])
        found.append(
            loss(_config(), {"log_probs": log_probs}, _batch([0, 1, 3], supervised=0.0, alpha=1.0))[0].item()
        )
    assert found[0] == found[1] != 0.0


@pytest.mark.parametrize("loss", [rollout_loss, actor_loss])
def test_a_file_that_says_the_same_as_verls_loss_trains_the_same(loss: Any) -> None:
    found = []
    for policy in (None, PolicyFile(path=str(repository_root() / "losses" / "clipped.py"))):
        config = FSDPActorConfig(
            strategy="fsdp2",
            rollout_n=3,
            ppo_micro_batch_size_per_gpu=1,
            use_kl_loss=True,
            policy_loss=PolicyLossConfig(loss_mode=FILE_MODE if policy else "vanilla"),
        )
        log_probs, leaves = _log_probs([0, 1, 2, 3])
        data = _batch([0, 1, 2, 3], supervised=0.5, alpha=0.7)
        value, metrics = loss(config, {"log_probs": log_probs}, data, policy=policy)
        value.backward()
        gradients = torch.cat([leaf.grad for leaf in leaves])  # type: ignore[misc]
        means = _of_a_step([metrics])
        found.append((value, gradients, means["actor/ppo_kl"]))
    torch.testing.assert_close(found[0], found[1])
    assert 0 < means["actor/clipped_share"] < 1


def test_a_loss_of_whole_rows_leaves_a_teachers_row_its_own_gradient(tmp_path: Path) -> None:
    mean = "((log_prob - old_log_prob) * response_mask).sum(-1, keepdim=True) / response_mask.sum(-1, keepdim=True)"
    head = "def token_loss(log_prob, old_log_prob, advantages, response_mask, **kwargs):"
    (tmp_path / "rows.py").write_text(f"{head}\n    return -advantages * ({mean}).exp()\n")
    config = FSDPActorConfig(
        strategy="fsdp2",
        rollout_n=3,
        ppo_micro_batch_size_per_gpu=1,
        policy_loss=PolicyLossConfig(loss_mode=FILE_MODE),
    )
    log_probs, leaves = _log_probs([0, 1, 2, 3])
    data = _batch([0, 1, 2, 3], supervised=0.5, alpha=1.0)
    policy = PolicyFile(path=str(tmp_path / "rows.py"))
    actor_loss(config, {"log_probs": log_probs}, data, policy=policy)[0].backward()
    expected = torch.zeros(PROMPTS[TEACHER] + RESPONSES[TEACHER])
    expected[PROMPTS[TEACHER] - 1 : -1] = -0.5
    torch.testing.assert_close(leaves[TEACHER].grad, expected)
    assert all(leaf.grad.isfinite().all() and leaf.grad.any() for leaf in leaves)  # type: ignore[union-attr]


def test_old_log_probs_that_differ_by_rounding_are_the_policys_own() -> None:
    found = []
    for noise in (0.0, 3e-5, -3e-5, 3e-2):
        log_probs, leaves = _log_probs([0, 1, 3])
        data = _batch([0, 1, 3], supervised=0.0, alpha=1.0)
        own = no_padding_2_padding(log_probs.detach(), data)
        rows = [row[:n] + noise for row, n in zip(own, data["responses"].offsets().diff(), strict=True)]
        data["old_log_probs"] = torch.nested.as_nested_tensor(rows, layout=torch.jagged)
        loss, _ = rollout_loss(_config(), {"log_probs": log_probs}, data)
        loss.backward()
        found.append((loss.item(), torch.cat([leaf.grad for leaf in leaves]).tolist()))  # type: ignore[misc]
    assert found[0] == found[1] == found[2] != found[3]


def test_without_supervised_weights_it_is_verls_loss() -> None:
    rows = [0, 1, 2, 3]
    loss, gradients, metrics = _gradients(rows, supervised=0.0, alpha=1.0)
    log_probs, leaves = _log_probs(rows)
    expected, _ = ppo_loss(_config(), {"log_probs": log_probs}, _batch(rows, supervised=0.0, alpha=1.0))
    expected.backward()
    assert loss == pytest.approx(expected.item(), abs=1e-6)
    for row, leaf in zip(rows, leaves, strict=True):
        torch.testing.assert_close(gradients[row], leaf.grad)
    assert metrics["pull/teacher"].aggregate() == 0 and metrics["pull/grpo"].aggregate() > 0


def test_a_teachers_row_moves_the_supervised_term_only() -> None:
    _, gradients, metrics = _gradients([0, 1, 2, 3], supervised=0.5, alpha=1.0)
    expected = torch.zeros(PROMPTS[TEACHER] + RESPONSES[TEACHER])
    # Shifted by one: the log-prob at a position is that of the next token.
    expected[PROMPTS[TEACHER] - 1 : -1] = -0.5
    torch.testing.assert_close(gradients[TEACHER], expected)
    assert metrics["term/teacher"].aggregate() > 0 and metrics["term/self"].aggregate() > 0


@pytest.mark.parametrize("split", [[[0], [1], [2], [3]], [[0, 2], [1, 3]], [[2], [0, 1, 3]]])
def test_the_split_into_micro_batches_changes_nothing(split: list[list[int]]) -> None:
    options: dict[str, Any] = {"supervised": 0.3, "alpha": 0.6}
    whole, expected, whole_metrics = _gradients([0, 1, 2, 3], **options)
    parts = [_gradients(rows, **options) for rows in split]
    assert sum(part[0] for part in parts) == pytest.approx(whole, abs=1e-6)
    for _, gradients, _ in parts:
        for row, gradient in gradients.items():
            torch.testing.assert_close(gradient, expected[row], atol=1e-6, rtol=0)
    for name in ("term/teacher", "pull/grpo", "pull/self"):
        total = sum(part[2][name].aggregate() for part in parts)
        assert total == pytest.approx(whole_metrics[name].aggregate(), abs=1e-6)


@pytest.mark.parametrize("split", [[[0], [1], [2], [3]], [[2], [0, 1, 3]]])
def test_micro_batches_of_traces_alone_leave_the_policys_metrics_as_they_are(split: list[list[int]]) -> None:
    def means(parts: list[list[int]]) -> dict[str, float]:
        return _of_a_step([_gradients(rows, supervised=0.3, alpha=0.6)[2] for rows in parts])

    whole, found = means([[0, 1, 2, 3]]), means(split)
    for name in ("actor/ppo_kl", "actor/pg_clipfrac"):
        assert found[name] == pytest.approx(whole[name], abs=1e-6) and found[name] != 0
    assert not any("token_sum" in name for name in found)
    assert means([[TEACHER]])["actor/ppo_kl"] == 0.0


@pytest.mark.parametrize("name", ["tokens", "tokens_of_token_sums", "token_sum/tokens"])
def test_a_metric_of_a_users_own_loss_may_have_any_name(name: str) -> None:
    def part(value: float, tokens: int) -> dict[str, Any]:
        return token_sums({name: Metric(value=value, aggregation=AggregationType.MEAN)}, tokens)

    assert _of_a_step([part(1.0, 3), part(5.0, 1)]) == {f"actor/{name}": 2.0}


def test_alpha_zero_leaves_the_supervised_terms() -> None:
    _, gradients, metrics = _gradients([0, 1, 2, 3], supervised=0.3, alpha=0.0)
    assert metrics["term/grpo"].aggregate() == 0
    assert not gradients[0].any() and not gradients[3].any() and gradients[1].any()


def test_a_mini_batch_whose_rollouts_are_all_masked_still_learns_from_its_teacher() -> None:
    log_probs, leaves = _log_probs([TEACHER])
    data = _batch([TEACHER], supervised=0.5, alpha=1.0)
    tu.assign_non_tensor(data, batch_num_tokens=0)
    loss, _ = actor_loss(_config(), {"log_probs": log_probs}, data)
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(leaves[0].grad).all() and leaves[0].grad.any()
