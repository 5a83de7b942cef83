"""Per-source metrics of an update: weight, loss, tokens, rows, and an estimate of each source's pull."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from verl_coder.trainer.composite.loss import SOURCES


@dataclass(frozen=True, kw_only=True)
class SourceCounts:
    """What one source put into a step."""

    rows: int
    tokens: int
    weight: float
    """alpha, beta or gamma at this step."""
    covered: float
    """Share of the step's mini-batches in which the source has a token."""

    @classmethod
    def of(cls, masks: Sequence[torch.Tensor], weight: float, covered: float = 1.0) -> "SourceCounts":
        """Counts of a source's rows, by their loss masks."""
        tokens = sum(int(mask.sum()) for mask in masks)
        return cls(rows=len(masks), tokens=tokens, weight=weight, covered=covered)


def source_metrics(reported: Mapping[str, float], counts: Mapping[str, SourceCounts]) -> dict[str, float]:
    """`source/<name>/{weight,loss,tokens,rows,logit_gradient_share}` of one step.

    reported: `term/<name>` and `pull/<name>` of loss.actor_loss, means over the step's mini-batches. The loss
    is that of the source itself, without its weight; the share is of the sums described in
    `loss.logit_gradient_mass`, not of the parameters' gradient.
    """
    pulls = {name: float(reported[f"pull/{name}"]) for name in SOURCES}
    total = sum(pulls.values())
    metrics: dict[str, float] = {}
    for name in SOURCES:
        count = counts[name]
        divisor = count.weight * count.covered
        metrics[f"source/{name}/weight"] = count.weight
        metrics[f"source/{name}/loss"] = float(reported[f"term/{name}"]) / divisor if divisor else 0.0
        metrics[f"source/{name}/tokens"] = float(count.tokens)
        metrics[f"source/{name}/rows"] = float(count.rows)
        metrics[f"source/{name}/logit_gradient_share"] = pulls[name] / total if total else 0.0
    return metrics


def counts_of_step(updates: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The counts among the `source/*` of a step's updates, of which verl would take the mean.

    Tokens and rows of all of them; of the traces that were left out so far what the last one says.
    """
    counts: dict[str, float] = {}
    for metrics in updates:
        for name, value in metrics.items():
            if name.endswith(("/tokens", "/rows")):
                counts[name] = counts.get(name, 0.0) + value
            elif name.endswith(("/too_long", "/refused")):
                counts[name] = value
    return counts
