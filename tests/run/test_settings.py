"""The `verl_coder:` section: what is refused, and weights that change over training as their schedule says."""

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from verl_coder.errors import ConfigError
from verl_coder.launch.plan import TrainRequest, make_plan
from verl_coder.paths import repository_root
from verl_coder.run.settings import CompositeSettings, CurriculumSettings, Schedule, Settings
from verl_coder.sections import read_section


def test_every_setting_stands_in_the_base_of_all_recipes() -> None:
    """What is not there cannot be overridden without a plus."""
    base = OmegaConf.load(repository_root() / "config" / "base.yaml")
    assert set(base.verl_coder) == set(Settings.model_fields)


def _composite(section: dict[str, Any]) -> CompositeSettings:
    return read_section(CompositeSettings, section, "verl_coder")


def _schedule(value: object) -> Schedule:
    return read_section(
        CompositeSettings, {"losses": {"beta": value}, "teacher": {"traces": "t"}}, "verl_coder"
    ).losses.beta


def _values(value: object, steps: int) -> list[float]:
    schedule = _schedule(value)
    return [round(schedule.value(step), 6) for step in range(1, steps + 1)]


def test_a_number_is_constant() -> None:
    assert _values("3e-1", 3) == [0.3, 0.3, 0.3]


def test_linear_goes_to_its_end_and_stays() -> None:
    given = {"schedule": "linear", "start": 1.0, "end": 0.0, "steps": 4}
    assert _values(given, 6) == [1.0, 0.75, 0.5, 0.25, 0.0, 0.0]


def test_cosine_is_half_way_in_the_middle() -> None:
    given = {"schedule": "cosine", "start": 1.0, "end": 0.2, "steps": 2}
    assert _values(given, 4) == [1.0, 0.6, 0.2, 0.2]


def test_a_warm_up_comes_first() -> None:
    given = {"schedule": "linear", "start": 0.9, "end": 0.0, "steps": 3, "warmup_steps": 2}
    assert _values(given, 6) == [0.3, 0.6, 0.9, 0.6, 0.3, 0.0]


def test_a_schedule_that_was_written_down_is_read_again() -> None:
    for value in (0.3, {"schedule": "linear", "start": 1.0, "end": 0.5, "steps": 3}):
        schedule = _schedule(value)
        assert _schedule(schedule.model_dump()) == schedule


def test_a_constant_weight_may_have_a_warm_up_and_is_described_with_it() -> None:
    given = {"start": 0.9, "warmup_steps": 2}
    assert _values(given, 4) == [0.3, 0.6, 0.9, 0.9]
    assert _schedule(given).describe() == "0.9 (2 steps of warm-up)"
    rising = {"schedule": "linear", "start": 1.0, "end": 0.5, "steps": 3, "warmup_steps": 1}
    assert _schedule(rising).describe() == "1 -> 0.5 (linear, 3 steps after 1 step of warm-up)"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (-0.1, "0 or more"),
        ("much", "use a number"),
        (True, "use a number"),
        (float("nan"), "use a number"),
        ({"schedule": "step", "start": 1.0}, "use one of"),
        ({"schedule": "cosine", "start": 1.0}, "needs start, end, steps"),
        (
            {"start": 1.0, "end": 0.1, "steps": 20},
            "end and steps of a constant schedule .* add schedule: linear",
        ),
        ({"schedule": "constant", "start": 1.0, "steps": 20}, "steps of a constant schedule"),
        ({"start": 1.0, "end": 0.0}, "end of a constant schedule"),
        ({"schedule": "linear", "start": 1.0, "end": -1.0, "steps": 3}, "0 or more"),
        ({"schedule": "linear", "start": 1.0, "end": 0.0, "steps": 0}, "whole number"),
        ({"start": 1.0, "stop": 2}, "no such setting"),
    ],
)
def test_a_bad_value_is_named(value: object, message: str) -> None:
    with pytest.raises(ConfigError, match=f"beta.*{message}"):
        _schedule(value)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"losses": {"beta": -0.1}}, r"losses\.beta=-0\.1"),
        ({"losses": {"alpha": 0, "beta": 0, "gamma": 0}}, "all 0"),
        ({"losses": {"beta": 0.3}}, r"beta is above 0 and teacher\.traces names no file"),
        ({"losses": {"delta": 1}}, r"losses\.delta: no such setting"),
        ({"teacher": {"rows": 0}}, r"teacher\.rows=0: use a whole number of 1 or more"),
        (
            {"teacher": {"max_group_pass_rate": 1.0}},
            r"max_group_pass_rate=1\.0: use null, or a number in \[0, 1\)",
        ),
        ({"self_sft": {"top_k": 1.5}}, r"self_sft\.top_k=1\.5"),
        ({"self_sft": {"only_mixed": "sometimes"}}, "only_mixed=sometimes: use true or false"),
    ],
)
def test_a_wrong_value_is_named(section: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        _composite(section)


def test_a_schedule_can_be_given_on_the_command_line(tmp_path: Path) -> None:
    given = "verl_coder.losses.beta={schedule:cosine,start:1.0,end:0.1,steps:10}"
    plan = make_plan(TrainRequest(recipe="tiny_teacher", out=str(tmp_path / "run"), overrides=(given,)))
    assert plan.settings.losses.beta.value(11) == pytest.approx(0.1)


def test_grpo_alone_leaves_verls_update_in_place() -> None:
    assert not _composite({"losses": {"alpha": 1.0, "beta": 0.0, "gamma": 0.0}}).is_composite


CURRICULUM: dict[str, Any] = {
    "by": "difficulty",
    "stages": [
        {"name": "first", "values": ["easy"], "threshold": 0.8},
        {"name": "second", "values": ["medium"], "threshold": 0.9},
        {"name": "third", "values": ["hard"]},
    ],
    "evaluations": 2,
    "max_steps": 10,
    "mix_in": 0.25,
}


def test_pass_rates_make_stages_too() -> None:
    stages = [
        {"name": "often", "low": 0.5, "high": 1.0, "threshold": 0.9},
        {"name": "seldom", "low": 0.0, "high": 0.5},
    ]
    settings = read_section(CurriculumSettings, {"by": "pass_rate", "stages": stages}, "c")
    rates = (1.0, 0.5, 0.49, 0.0, None)
    assert [settings.stage_of({"pass_rate": rate}) for rate in rates] == [0, 0, 1, 1, None]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"by": "length"}, "by=length"),
        ({"stages": [{"name": "a", "values": ["x"]}]}, "two or more"),
        (
            {"stages": [{"values": ["x"], "threshold": 1.5}, {"values": ["y"]}]},
            r"\[0\]\.threshold=1\.5: use null, or a number in \(0, 1\]",
        ),
        ({"stages": [{"values": ["x"]}, {"values": ["y"]}]}, "threshold is missing"),
        ({"stages": [{"threshold": 0.5}, {"values": ["y"]}]}, "values is empty"),
        (
            {"stages": [{"values": ["x"], "threshold": 0.5}, {"values": ["y"], "threshold": 0.5}]},
            r"stages\[1\]\.threshold=0\.5: training stays in the last stage",
        ),
        (
            {"stages": [{"values": ["x"], "threshold": 0.5, "name": "2"}, {"values": ["y"]}]},
            r"stages\[1\]\.name=2: two stages have that name",
        ),
        ({"mix_in": 1.0}, "mix_in=1.0: use a number in \\[0, 1\\)"),
        ({"evaluations": 0}, "evaluations=0: use a whole number of 1 or more"),
        ({"max_steps": 0}, "max_steps=0"),
        ({"mixin": 0.5}, "mixin: no such setting; did you mean mix_in"),
    ],
)
def test_a_wrong_curriculum_is_refused_in_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        read_section(CurriculumSettings, CURRICULUM | changes, "verl_coder.curriculum")
    assert "\n" not in str(caught.value)


RUN = {"run_name": "r", "out": "o", "recipe": "tiny_cpu"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": -1}, "verl_coder.seed=-1: use a whole number of 0 or more"),
        ({"seed": "three"}, "verl_coder.seed=three: use a whole number of 0 or more"),
        ({"sandbox_port": 99999}, "verl_coder.sandbox_port=99999: use a whole number in [0, 65535]"),
        ({"poll_interval_s": 0}, "verl_coder.poll_interval_s=0: use a number in (0, 10]"),
        (
            {"max_sandbox_unavailable_share": 2},
            "verl_coder.max_sandbox_unavailable_share=2: use a number in [0, 1]",
        ),
        ({"wandb": "on"}, "verl_coder.wandb=on: use one of auto, online, offline, disabled"),
        ({"keep_best": "yes"}, "verl_coder.keep_best=yes: use true or false"),
        ({"eval_sample": 1}, "verl_coder.eval_sample: no such setting; did you mean eval_samples?"),
        ({"losses": 1}, "verl_coder.losses=1: use a mapping with alpha, beta, gamma"),
        (
            {"curriculum": {"stages": []}},
            "verl_coder.curriculum.by is missing: give one of difficulty, pass_rate",
        ),
    ],
)
def test_a_setting_of_the_wrong_kind_or_out_of_range_is_one_line(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read_section(Settings, RUN | changes, "verl_coder")
    assert str(caught.value) == message
