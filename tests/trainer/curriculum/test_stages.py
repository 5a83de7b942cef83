"""When stages end."""

from typing import Any

import pytest

from verl_coder.errors import ConfigError
from verl_coder.run.settings import CURRICULUM, CurriculumSettings
from verl_coder.sections import read_section
from verl_coder.trainer.curriculum.stages import Curriculum


def section(**changes: Any) -> dict[str, Any]:
    stages = [
        {"name": "first", "values": ["easy"], "threshold": 0.8},
        {"name": "second", "values": ["medium"], "threshold": 0.9},
        {"name": "third", "values": ["hard"]},
    ]
    return {"by": "difficulty", "stages": stages, "evaluations": 2, "max_steps": 10, "mix_in": 0.25} | changes


def curriculum(**changes: Any) -> Curriculum:
    return Curriculum(read_section(CurriculumSettings, section(**changes), CURRICULUM))


def test_a_stage_ends_after_k_evaluations_at_its_threshold() -> None:
    c = curriculum()
    assert c.observe(4, {0: 0.8}) is None and c.stage == 0
    assert c.observe(8, {0: 0.85}) is not None
    assert (c.stage, c.entered_after, c.passed) == (1, 8, 0)


def test_an_evaluation_below_the_threshold_starts_the_count_anew() -> None:
    c = curriculum()
    for step, rate in ((1, 0.9), (2, 0.7), (3, 0.9)):
        assert c.observe(step, {0: rate}) is None
    assert c.stage == 0 and c.passed == 1


def test_other_stages_do_not_count() -> None:
    c = curriculum(evaluations=1)
    assert c.observe(1, {1: 1.0, 2: 1.0}) is None
    assert c.stage == 0


def test_a_stuck_stage_is_left_with_a_warning() -> None:
    c = curriculum()
    c.observe(5, {0: 0.3})
    assert all(c.step_done(step) is None for step in range(1, 10))
    warning = c.step_done(10)
    assert warning is not None and "max_steps=10" in warning
    assert "only 0 of 2 evaluations in a row reached its threshold 0.8 (the last one: 0.300)" in warning
    assert (c.stage, c.forced) == (1, 1)
    assert c.step_done(19) is None and c.step_done(20) is not None


def test_the_last_stage_is_never_left() -> None:
    c = curriculum(max_steps=1, evaluations=1)
    for step in range(1, 9):
        c.observe(step, {0: 1.0, 1: 1.0, 2: 1.0})
        c.step_done(step)
    assert c.stage == 2 and c.last


def test_a_restored_curriculum_goes_on_exactly() -> None:
    one, two = curriculum(), curriculum()
    one.observe(3, {0: 0.9})
    two.restore(one.state())
    for c in (one, two):
        c.observe(6, {0: 0.9})
    assert one.state() == two.state() and two.stage == 1
    assert one.metrics(7) == two.metrics(7)


def test_a_checkpoint_of_other_stages_is_refused() -> None:
    state = curriculum().state() | {"stages": ["a", "b"]}
    with pytest.raises(ConfigError, match="take them back"):
        curriculum().restore(state)
