"""The metrics of a source are its own: without its weight, over the mini-batches that have it."""

import pytest
import torch

from verl_coder.trainer.composite.source_metrics import SourceCounts, source_metrics


def test_a_sources_loss_is_without_its_weight_and_its_empty_mini_batches() -> None:
    masks = [torch.tensor([1, 1, 0]), torch.tensor([0, 1, 1])]
    counts = {
        "grpo": SourceCounts.of(masks, 1.0),
        "teacher": SourceCounts.of(masks[:1], 0.3, covered=0.5),
        "self": SourceCounts.of([], 0.0, covered=0.0),
    }
    reported = {"term/grpo": -0.2, "term/teacher": 0.06, "term/self": 0.0}
    reported |= {"pull/grpo": 3.0, "pull/teacher": 1.0, "pull/self": 0.0}
    metrics = source_metrics(reported, counts)
    assert metrics["source/grpo/loss"] == -0.2 and metrics["source/grpo/tokens"] == 4
    assert metrics["source/teacher/loss"] == pytest.approx(0.06 / (0.3 * 0.5))
    assert metrics["source/teacher/logit_gradient_share"] == 0.25
    assert metrics["source/self/loss"] == 0 and metrics["source/self/rows"] == 0


def test_shares_of_an_update_without_any_gradient_are_zero() -> None:
    counts = {name: SourceCounts.of([], 0.0) for name in ("grpo", "teacher", "self")}
    reported = {f"{kind}/{name}": 0.0 for kind in ("term", "pull") for name in counts}
    metrics = source_metrics(reported, counts)
    assert all(metrics[f"source/{name}/logit_gradient_share"] == 0 for name in counts)
