"""The terminal's view: one line per step, warnings once, nothing twice."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from verl_coder.launch.progress import PhaseTeller, RunProgress, step_line
from verl_coder.run.notices import Notices
from verl_coder.run.phase import START_PARTS, Phase, starting
from verl_coder.run.run_dir import RunDir

STEP = {
    "critic/score/mean": 0.5,
    "reward/acc/mean": 0.25,
    "tool_calls/mean": 1.5,
    "response_length/mean": 70.4,
    "response_length/max": 352.0,
    "actor/pg_loss": -0.01,
    "actor/kl_loss": 0.002,
    "actor/teacher_loss": 0.3,
    "timing_s/step": 8.0,
    "timing_s/gen": 5.0,
    "timing_s/update_actor": 2.5,
    "timing_s/save_checkpoint": 0.01,
}


@pytest.fixture
def run_dir(tmp_path: Path) -> RunDir:
    return RunDir(tmp_path)


def write(run_dir: RunDir, step: int, data: dict[str, Any]) -> None:
    with run_dir.metrics.open("a") as file:
        file.write(json.dumps({"step": step, "data": data}) + "\n")


def test_a_line_has_what_one_asks_of_a_step() -> None:
    line = step_line(7, STEP, 20, 104.0)
    for part in (
        "step    7/20",
        "reward 0.500",
        "passed 0.250",
        "tool calls 1.50",
        "length 70 (max 352)",
        "policy -0.0100",
        "kl +0.0020",
        "teacher +0.3000",
        "8.0 s (generate 5.0, update 2.5)",
        "left 2 min",
    ):
        assert part in line
    assert "\n" not in line


def test_an_evaluation_and_a_stage_stand_in_the_line_of_their_step() -> None:
    data = STEP | {
        "val-core/sample/acc/mean@1": 0.75,
        "val-aux/tool_calls/mean": 1.25,
        "eval/sampled/pass_at_1": 0.7,
        "curriculum/stage": 1.0,
    }
    line = step_line(2, data)
    assert "held-out pass@1 0.750, tool calls 1.25" in line and "sampled 0.700" in line and "stage 2" in line


def test_every_step_is_shown_once_and_those_before_this_start_are_not(run_dir: RunDir) -> None:
    write(run_dir, 1, STEP)
    console = Console(record=True, width=200)
    progress = RunProgress(run_dir, console, 4)
    for step in (2, 3):
        write(run_dir, step, STEP)
        progress.poll()
        progress.poll()
    shown = console.export_text()
    assert [shown.count(f"step {step:>4}") for step in (1, 2, 3)] == [0, 1, 1]


def test_a_line_that_is_being_written_is_shown_when_it_is_whole(run_dir: RunDir) -> None:
    console = Console(record=True, width=200)
    progress = RunProgress(run_dir, console, 4)
    whole = json.dumps({"step": 1, "data": STEP}) + "\n"
    run_dir.metrics.write_text(whole[:30])
    progress.poll()
    run_dir.metrics.write_text(whole)
    progress.poll()
    assert console.export_text().count("step    1") == 1


def test_the_time_left_is_that_of_the_steps_left_with_their_evaluations(run_dir: RunDir) -> None:
    console = Console(record=True, width=250)
    progress = RunProgress(run_dir, console, 12)
    write(run_dir, 1, STEP)
    write(run_dir, 2, STEP | {"timing_s/testing": 4.0})
    progress.poll()
    shown = console.export_text().splitlines()
    assert "left 88 s" in shown[0] and "left 2 min" in shown[1]  # 11 x 8 s, then 10 x 10 s


def test_a_warning_is_shown_once(run_dir: RunDir) -> None:
    console = Console(record=True, width=200)
    progress = RunProgress(run_dir, console, 4)
    notices = Notices(run_dir.notices)
    for _ in range(3):
        notices.say("disk", "the disk is full")
        progress.poll()
    assert console.export_text().count("warning: the disk is full") == 1


def test_the_start_tells_each_part_and_a_long_part_how_far_it_is() -> None:
    time = [0.0]
    teller = PhaseTeller(now=lambda: time[0], every_s=20)
    assert teller.lines(starting("starting vLLM")) == ["start 6/8: starting vLLM"]
    assert teller.lines(starting("starting vLLM")) == []
    answering = Phase(phase="evaluating", step=0, total=12, part="answering", done=0, of=32)
    assert teller.lines(answering) == []
    time[0] = 30.0
    halfway = Phase(phase="evaluating", step=0, total=12, part="answering", done=8, of=32)
    told = "evaluating, step 0 of 12, answering (8 of 32), for 30 s, about 90 s left"
    assert teller.lines(halfway) == [told]
    assert teller.lines(halfway) == []
    time[0] = 51.0
    assert teller.lines(halfway) != []


def test_the_numbers_of_a_start_have_no_holes() -> None:
    """A part that is over before the next look is told with the one that follows."""
    teller = PhaseTeller(now=lambda: 0.0)
    seen = ("starting Ray", "reading the data", "starting vLLM", "first weight sync")
    told = [line for part in seen for line in teller.lines(starting(part))]
    assert told == [f"start {n}/8: {part}" for n, part in enumerate(START_PARTS, start=1)]


def test_a_part_that_never_came_is_not_told_of_a_start_that_is_over() -> None:
    teller = PhaseTeller(now=lambda: 0.0)
    teller.lines(starting("starting Ray"))
    assert teller.lines(Phase(phase="training", step=1, total=2)) == []


def test_a_log_gets_lines_where_a_terminal_has_bars(run_dir: RunDir) -> None:
    console = Console(record=True, width=200, force_terminal=False)
    progress = RunProgress(run_dir, console, 12)
    starting("loading the model").write(run_dir.phase)
    progress.poll()
    assert "start 5/8: loading the model" in console.export_text()


def test_a_second_start_knows_how_long_it_takes() -> None:
    time = [0.0]
    history = {"starting: starting vLLM": 60.0, "starting: first weight sync": 5.0}
    teller = PhaseTeller(now=lambda: time[0], history=history)
    assert teller.lines(starting("starting vLLM")) == ["start 6/8: starting vLLM, about 65 s left"]
    time[0] = 25.0
    assert teller.lines(starting("starting vLLM"))[0].endswith("for 25 s, about 40 s left")


def test_a_part_that_comes_again_takes_as_long_as_before() -> None:
    """Of an evaluation whose answers all end in its last minute the first ones would promise an hour."""
    time = [0.0]
    teller = PhaseTeller(now=lambda: time[0], every_s=20)
    answering = Phase(phase="evaluating", step=0, total=12, part="answering", done=0, of=96)
    teller.lines(answering)
    time[0] = 300.0
    teller.lines(Phase(phase="training", step=1, total=12))
    time[0] = 400.0
    teller.lines(replace(answering, step=1))
    time[0] = 520.0
    told = teller.lines(replace(answering, step=1, done=2))
    assert told == ["evaluating, step 1 of 12, answering (2 of 96), for 2 min, about 3 min left"]
    time[0] = 730.0
    (told,) = teller.lines(replace(answering, step=1, done=95))
    assert "for 6 min, about" in told  # later than before: by its pace


def test_a_part_of_another_size_or_that_went_on_says_nothing_of_the_next() -> None:
    time = [0.0]
    teller = PhaseTeller(now=lambda: time[0], every_s=20)
    answering = Phase(phase="evaluating", step=0, total=12, part="answering", done=40, of=96)
    for first in (answering, replace(answering, done=0, of=8)):
        teller.lines(first)
        time[0] += 300.0
        teller.lines(Phase(phase="training", step=1, total=12))
    teller.lines(replace(answering, done=0))
    time[0] += 30.0
    assert teller.lines(replace(answering, done=0))[0].endswith("(0 of 96), for 30 s")


def test_the_last_ones_of_a_part_are_told_as_open_once_they_are_overdue() -> None:
    time = [0.0]
    teller = PhaseTeller(now=lambda: time[0], every_s=20)
    answering = Phase(phase="training", step=1, total=12, part="generating", done=0, of=32)
    teller.lines(answering)
    time[0] = 60.0
    told = teller.lines(replace(answering, done=30))
    assert told == ["training, step 1 of 12, generating (30 of 32), for 60 s, about 4 s left"]
    time[0] = 240.0
    told = teller.lines(replace(answering, done=30))
    assert told == [
        "training, step 1 of 12, generating (30 of 32), for 4 min, 2 still open, none ended for 3 min"
    ]


def test_a_start_that_takes_longer_than_the_last_one_has_no_time_left() -> None:
    time = [0.0]
    teller = PhaseTeller(now=lambda: time[0], history={"starting: starting vLLM": 20.0})
    teller.lines(starting("starting vLLM"))
    time[0] = 25.0
    assert teller.lines(starting("starting vLLM")) == ["start 6/8: starting vLLM, for 25 s"]


def test_a_terminal_shows_what_a_log_is_told(run_dir: RunDir) -> None:
    console = Console(record=True, width=200, force_terminal=True)
    with RunProgress(run_dir, console, 12) as progress:
        for step in (1, 2):
            write(run_dir, step, STEP)
            progress.poll()
        Phase(phase="training", step=3, total=12, part="generating", done=2, of=8).write(run_dir.phase)
        progress.poll()
        assert progress._bar.tasks[0].fields["left"] == "about 80 s left"
