"""The composite loss is the sum of its three terms, however a batch is cut up."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from verl_coder.trainer.composite.loss import (
    composite_loss,
    logit_gradient_mass,
    token_weights,
    weighted_nll,
)

ALPHA, BETA, GAMMA = 0.7, 0.4, 0.25
ROWS, LENGTH, VOCABULARY = 8, 6, 11


class Batch:
    """Rows 0-5 are rollouts, 6-7 are a teacher's; rows 1 and 4 are the rollouts of the self term."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.inputs = torch.randn(ROWS, LENGTH, 5, generator=generator, dtype=torch.float64)
        self.labels = torch.randint(VOCABULARY, (ROWS, LENGTH), generator=generator)
        self.advantages = torch.randn(ROWS, 1, generator=generator, dtype=torch.float64)
        mask = torch.rand(ROWS, LENGTH, generator=generator) > 0.3
        mask[:, 0] = True
        self.policy_mask = mask & (torch.arange(ROWS) < 6)[:, None]
        self.teacher_mask = mask & (torch.arange(ROWS) >= 6)[:, None]
        self.self_mask = mask & torch.isin(torch.arange(ROWS), torch.tensor([1, 4]))[:, None]

    def weights(self, mask: torch.Tensor, weight: float) -> torch.Tensor:
        """(ROWS, LENGTH), as float64: the test compares sums in different orders."""
        rows = token_weights(list(mask.long()), [0] * ROWS, weight)
        return torch.stack(rows).double()


def _model() -> torch.nn.Module:
    torch.manual_seed(1)
    return torch.nn.Sequential(
        torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, VOCABULARY)
    ).double()


def _log_prob(model: torch.nn.Module, batch: Batch, rows: list[int]) -> torch.Tensor:
    logits = model(batch.inputs[rows]).log_softmax(-1)
    return logits.gather(-1, batch.labels[rows][..., None]).squeeze(-1)


def _policy_loss(log_prob: torch.Tensor, batch: Batch, rows: list[int], dp_size: int) -> torch.Tensor:
    """verl's form: a token mean over the rollouts of the whole mini-batch."""
    mask = batch.policy_mask[rows]
    return -(log_prob * batch.advantages[rows] * mask).sum() / batch.policy_mask.sum() * dp_size


def _flat_gradient(model: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def _three_passes() -> torch.Tensor:
    """The reference: one forward and backward pass for each source, each a plain mean, added up by autograd."""
    batch, model, every = Batch(), _model(), list(range(ROWS))
    (ALPHA * _policy_loss(_log_prob(model, batch, every), batch, every, 1)).backward()
    for mask, weight in ((batch.teacher_mask, BETA), (batch.self_mask, GAMMA)):
        (weight * -_log_prob(model, batch, every)[mask].mean()).backward()
    return _flat_gradient(model)


def _one_pass(rows: list[int], micro_batch: int, dp_size: int) -> torch.Tensor:
    """This rank's gradient of the composite loss over its rows, in micro-batches."""
    batch, model = Batch(), _model()
    teacher, own = batch.weights(batch.teacher_mask, BETA), batch.weights(batch.self_mask, GAMMA)
    for start in range(0, len(rows), micro_batch):
        part = rows[start : start + micro_batch]
        log_prob = _log_prob(model, batch, part)
        policy = _policy_loss(log_prob, batch, part, dp_size)
        loss, _ = composite_loss(policy, log_prob, [teacher[part], own[part]], alpha=ALPHA, dp_size=dp_size)
        loss.backward()
    return _flat_gradient(model)


@pytest.mark.parametrize("micro_batch", [1, 2, 3, 8])
def test_gradients_equal_three_separate_passes_for_any_micro_batch(micro_batch: int) -> None:
    gradient = _one_pass(list(range(ROWS)), micro_batch, dp_size=1)
    torch.testing.assert_close(gradient, _three_passes(), atol=1e-5, rtol=0)


def _rank(rank: int, meeting: str, result: str) -> None:
    """What each of two processes runs; both teacher rows are on the second."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    gradient = _one_pass([[0, 1, 2, 3], [4, 5, 6, 7]][rank], micro_batch=2, dp_size=2)
    dist.all_reduce(gradient)
    if rank == 0:
        torch.save(gradient / 2, result)
    dist.destroy_process_group()


def test_gradients_equal_three_separate_passes_on_two_data_parallel_ranks(tmp_path: Path) -> None:
    """Real processes over gloo, gradients averaged as FSDP does."""
    result = tmp_path / "gradient.pt"
    command = [sys.executable, __file__, str(tmp_path / "meeting"), str(result)]
    ranks = [subprocess.Popen([*command, rank]) for rank in ("0", "1")]
    try:
        assert [process.wait(timeout=100) for process in ranks] == [0, 0]
    finally:
        for process in ranks:
            process.kill()
    torch.testing.assert_close(torch.load(result), _three_passes(), atol=1e-5, rtol=0)


def test_the_loss_is_the_sum_of_its_terms() -> None:
    batch, every = Batch(), list(range(ROWS))
    log_prob = _log_prob(_model(), batch, every)
    weights = [batch.weights(batch.teacher_mask, BETA), batch.weights(batch.self_mask, GAMMA)]
    loss, terms = composite_loss(torch.tensor(2.0).double(), log_prob, weights, alpha=ALPHA)
    assert torch.isclose(loss, sum(terms, torch.zeros(())))
    assert torch.isclose(terms[0], torch.tensor(1.4).double())
    assert torch.isclose(terms[1], -BETA * log_prob[batch.teacher_mask].mean(), atol=1e-6)


def test_an_empty_source_adds_nothing() -> None:
    weights = token_weights([torch.zeros(3), torch.zeros(2)], [0, 0], 0.5)
    assert all(not row.any() for row in weights)
    log_prob = torch.randn(2, 3, requires_grad=True)
    loss, _ = composite_loss(log_prob.sum(), log_prob, [torch.zeros(2, 3)] * 2, alpha=1.0)
    assert torch.isfinite(loss)


def test_a_token_without_weight_does_not_spoil_the_sum() -> None:
    log_prob = torch.tensor([[-1.0, -torch.inf]], requires_grad=True)
    loss = weighted_nll(log_prob, torch.tensor([[0.5, 0.0]]))
    loss.backward()
    assert loss.item() == 0.5
    assert log_prob.grad is not None and log_prob.grad.tolist() == [[-0.5, 0.0]]


def test_weights_are_normalised_within_each_mini_batch() -> None:
    masks = [torch.tensor([1, 1, 0]), torch.tensor([1]), torch.tensor([0, 1])]
    weights = token_weights(masks, [0, 1, 0], 0.6)
    assert torch.allclose(torch.cat(weights), torch.tensor([0.2, 0.2, 0.0, 0.6, 0.0, 0.2]))


def test_a_certain_token_has_no_pull() -> None:
    mass = logit_gradient_mass(torch.tensor([0.0, -100.0]), torch.tensor([5.0, -0.5]))
    assert torch.isclose(mass, torch.tensor(0.5))


def test_the_pull_is_the_gradient_at_the_chosen_logits() -> None:
    logits = torch.randn(4, VOCABULARY, requires_grad=True)
    labels, weights = torch.tensor([1, 2, 3, 4]), torch.tensor([0.1, 0.0, 0.3, 0.2])
    log_prob = logits.log_softmax(-1)[torch.arange(4), labels]
    weighted_nll(log_prob, weights).backward()
    assert logits.grad is not None
    expected = logits.grad[torch.arange(4), labels].abs().sum()
    assert torch.isclose(logit_gradient_mass(log_prob, weights), expected)


if __name__ == "__main__":
    _rank(int(sys.argv[3]), sys.argv[1], sys.argv[2])
