"""The picture of a comparison: held-out pass@1 and tool calls of each arm against steps, a line for each seed."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean

from verl_coder.files import whole_file
from verl_coder.launch.arms import ArmResult, run_folder
from verl_coder.launch.summary import pass_rate
from verl_coder.run.run_dir import RunDir

Curve = dict[int, float]
"""Step -> value."""


def read_curves(out: Path, results: Sequence[ArmResult]) -> dict[str, list[tuple[Curve, Curve]]]:
    """Arm -> for each seed its (pass@1, tool calls a problem) by step of evaluation."""
    curves: dict[str, list[tuple[Curve, Curve]]] = defaultdict(list)
    for result in results:
        rates, calls = {}, {}
        for record in RunDir(run_folder(out, result.arm, result.seed)).read_metrics():
            rate = pass_rate(record["data"])
            if rate is not None:
                rates[record["step"]] = rate
                calls[record["step"]] = record["data"].get("val-aux/tool_calls/mean", 0.0)
        curves[result.arm].append((rates, calls))
    return dict(curves)


def means(curves: Sequence[Curve]) -> Curve:
    """Mean over seeds at the steps that all have."""
    steps = set.intersection(*(set(curve) for curve in curves)) if curves else set()
    return {step: mean(curve[step] for curve in curves) for step in sorted(steps)}


def draw_arms(curves: Mapping[str, Sequence[tuple[Curve, Curve]]], path: Path) -> None:
    """Draw `curves` into a PNG: means thick, single seeds thin; written whole or not at all."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    titles = ("held-out pass@1", "tool calls a problem")
    for number, (arm, seeds) in enumerate(curves.items()):
        color = f"C{number % 10}"
        for side, place in enumerate(axes):
            own = [pair[side] for pair in seeds]
            for curve in own if len(own) > 1 else []:
                place.plot(list(curve), list(curve.values()), color=color, alpha=0.25, linewidth=1)
            middle = means(own)
            place.plot(list(middle), list(middle.values()), "o-", color=color, label=arm, markersize=4)
    for place, title in zip(axes, titles, strict=True):
        place.set(xlabel="step", title=title)
        place.set_ylim(bottom=0)
        place.grid(alpha=0.3)
    axes[0].set_ylim(0, 1.02)
    axes[0].legend(loc="best", fontsize="small")
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=110, format="png")
    plt.close(figure)
