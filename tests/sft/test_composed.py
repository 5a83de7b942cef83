"""An override that verl's SFT trainer would trip over is refused before it starts, in one line with its place."""

from pathlib import Path

import pytest

from verl_coder.errors import ConfigError
from verl_coder.run.run_dir import RunDir
from verl_coder.sft.composed import check_composed
from verl_coder.sft.settings import SftRequest, trainer_keys


def _check(out: Path, profile: str, *overrides: str) -> None:
    traces = Path("traces.parquet")
    request = SftRequest(model="m", traces=traces, out=out, profile=profile, overrides=overrides)
    keys = trainer_keys(
        request, model=Path("/m"), train_file=traces, val_file=traces, longest=9, recompute=True
    )
    check_composed(keys, run_dir=RunDir(out), steps=3, profile=profile, name=out.name)


@pytest.mark.parametrize("profile", ["cpu", "gpu"])
def test_what_a_run_is_given_by_itself_passes_in_a_folder_of_any_name(tmp_path: Path, profile: str) -> None:
    _check(tmp_path / "a=b, c", profile)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+model.override_config.attn_implementation=sdpaa", r"=sdpaa: did you mean sdpa\?"),
        ("model.external_lib=no_such", "model.external_lib=no_such: no such module"),
        ("optim.optimizer=Adamm", "optim.optimizer=Adamm: no class"),
        ("optim.lr_scheduler_type=cosin", "optim.lr_scheduler_type=cosin: verl refuses it"),
        ("optim.weight_decay=abc", "optim.weight_decay=abc: use a number"),
        ("optim.weight_decy=1", r"no setting optim.weight_decy; did you mean optim.weight_decay\?"),
        ("optim.weight_decay=-1", "optim.weight_decay=-1: use a number of 0 or more"),
        ("optim.betas=[0.9]", r"optim.betas=\[0.9\]: use two numbers"),
        ("engin.seed=1", r"no setting engin; did you mean engine\?"),
    ],
)
def test_what_the_trainer_would_trip_over_is_named(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        _check(tmp_path, "cpu", override)
    assert "\n" not in str(caught.value)


def test_a_key_that_is_added_and_the_words_for_when_pass(tmp_path: Path) -> None:
    _check(tmp_path, "cpu", "+mine=3", "trainer.save_freq=after_each_epoch", "trainer.test_freq=2")
