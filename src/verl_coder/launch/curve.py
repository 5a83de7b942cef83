"""The picture of a run: reward, held-out pass rate and tool calls against steps."""

from pathlib import Path
from typing import Any

from verl_coder.files import whole_file
from verl_coder.launch.summary import pass_rate


def draw_curve(records: list[dict[str, Any]], title: str, path: Path) -> None:
    """Draw `records` (RunDir.read_metrics) into a PNG; written whole or not at all."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    def series(name: str) -> tuple[list[int], list[float]]:
        pairs = [(r["step"], r["data"][name]) for r in records if name in r["data"]]
        return [step for step, _ in pairs], [value for _, value in pairs]

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    rates = [(r["step"], pass_rate(r["data"])) for r in records if pass_rate(r["data"]) is not None]
    left.plot(*series("critic/score/mean"), color="tab:gray", label="training reward")
    left.plot([s for s, _ in rates], [v for _, v in rates], "o-", color="tab:blue", label="held-out pass@1")
    left.set(xlabel="step", ylim=(0, 1.02), title="pass rate")
    right.plot(*series("tool_calls/mean"), color="tab:gray", label="training, per sample")
    right.plot(*series("val-aux/tool_calls/mean"), "o-", color="tab:orange", label="held-out, per problem")
    right.set(xlabel="step", title="tool calls")
    right.set_ylim(bottom=0)
    for axes in (left, right):
        axes.legend(loc="lower right")
        axes.grid(alpha=0.3)
    figure.suptitle(title)
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
    plt.close(figure)
