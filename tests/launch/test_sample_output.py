"""What the README shows of the first command is what the code prints, line by line, with the numbers of one run."""

import io
import re
from typing import Any

from rich.console import Console

from verl_coder.launch.progress import step_line
from verl_coder.launch.summary import PHASES, summary_table
from verl_coder.paths import repository_root
from verl_coder.run.phase import START_PARTS, starting

SHOWN = re.search(
    r"^```\n(profile: cpu .*?)^```$", (repository_root() / "README.md").read_text(), re.M | re.S
)
assert SHOWN is not None
LINES = SHOWN[1].splitlines()
HOME = "/home/you/verl-coder"
STEP = {
    "critic/score/mean": 0.5,
    "reward/acc/mean": 0.5,
    "actor/pg_loss": 0.5,
    "actor/kl_loss": 0.5,
    "actor/entropy_loss": 0.5,
    **{f"timing_s/{name}": 1.0 for name in ("step", "gen", "ref", "update_actor", "update_weights")},
}
EVALUATION = {"val-core/sample/acc/mean@1": 0.5, "val-aux/tool_calls/mean": 1.0}


def shape(line: str) -> str:
    """A line without its numbers."""
    return re.sub(r"[-+]?\d+(\.\d+)?( min)?", "N", re.sub(r" +(?=\d+/)", " ", line))


def after(word: str) -> list[str]:
    """The numbers in the last cells of the row of the table that begins with `word`."""
    row = next(line for line in LINES if line.startswith(f"│ {word}"))
    return [cell.strip() for cell in row.strip("│").split("│")[1:]]


def test_the_parts_of_the_start_are_all_there() -> None:
    told = [line for line in LINES if line.startswith("start ") and ", for " not in line]
    assert told == [starting(part).describe() for part in START_PARTS]


def test_a_step_is_shown_as_it_is_printed() -> None:
    steps = [line for line in LINES if line.startswith("step ")]
    expected = [
        step_line(0, EVALUATION, 12),
        step_line(1, STEP, 12, 60.0),
        *(step_line(n, STEP | EVALUATION | {"timing_s/testing": 1.0}, 12, 60.0) for n in (4, 8)),
        step_line(12, STEP | EVALUATION | {"timing_s/testing": 1.0}, 12),
    ]
    assert [shape(line).replace("N s", "N") for line in steps] == [
        shape(line).replace("N s", "N") for line in expected
    ]


def test_the_table_is_the_one_that_closes_a_run() -> None:
    names = [*PHASES.values(), "other", "evaluation", "start and stop"]
    rates = {
        key: dict(zip(("before", "after"), map(float, after(word)), strict=True))
        for key, word in (
            ("pass_at_1", "held-out pass@1"),
            ("tool_calls_per_problem", "tool calls per problem"),
        )
    }
    rewards = dict(zip(("first", "last"), map(float, after("training reward")), strict=True))
    summary: dict[str, Any] = {
        "recipe": "tiny_cpu", "seed": 0, "steps": 12, **rates, "reward": rewards,
        "phases_s": {name: float(after(f"seconds: {name}")[1]) for name in names},
        "wall_s": float(after("seconds: all")[1]),
        "peak_memory_gib": float(after("peak memory measured, GiB")[1]),
    }  # fmt: skip
    console = Console(file=io.StringIO(), width=100, color_system=None)
    console.print(summary_table(summary))
    printed = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    first = next(place for place, line in enumerate(LINES) if line.strip() == printed[0].strip())
    assert LINES[first : first + len(printed)] == [line.rstrip() for line in printed]
    assert abs(sum(summary["phases_s"].values()) - summary["wall_s"]) < 0.5


def test_the_last_evaluation_is_the_tables_after() -> None:
    last = [line for line in LINES if "held-out pass@1 0" in line][-1]
    assert f"held-out pass@1 {after('held-out pass@1')[1]}" in last


def test_folders_are_told_as_they_are_printed_absolute() -> None:
    run = f"{HOME}/outputs/tiny_cpu-seed0"
    for line in (
        f"profile: cpu (no NVIDIA GPU is here); environment: {HOME}/.venv",
        f"output: {run} (verl's, Ray's and vLLM's own log: train.log)",
        f"summary: {run}/summary.json",
        f"picture: {run}/curve.png",
    ):
        assert line in LINES
