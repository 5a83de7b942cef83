"""Which format of numbers a run without a GPU should have, told before it starts."""

import pytest
from omegaconf import DictConfig, OmegaConf

from verl_coder.launch.preflight import processor
from verl_coder.launch.preflight.processor import check_numbers
from verl_coder.launch.recipe import compose
from verl_coder.paths import repository_root

LARGE = "Qwen/Qwen2.5-Coder-0.5B-Instruct"


@pytest.fixture(params=[True, False], ids=["multiplies bfloat16", "emulates bfloat16"])
def fast(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    monkeypatch.setattr(processor, "multiplies_bfloat16", lambda: request.param)
    return bool(request.param)


def config(model: str, *, rollout: str, passes: str, device: str = "cpu") -> DictConfig:
    return OmegaConf.create(
        {
            "trainer": {"device": device},
            "actor_rollout_ref": {
                "model": {"path": model},
                "actor": {"fsdp_config": {"mixed_precision": {"param_dtype": passes}}},
                "rollout": {"dtype": rollout},
            },
        }
    )


def test_a_large_model_in_float32_is_told_of_the_faster_format(fast: bool) -> None:
    words = check_numbers(config(LARGE, rollout="float32", passes="fp32"))
    assert ("cpu_numbers=bfloat16" in words) is fast


@pytest.mark.parametrize(
    ("rollout", "passes"), [("bfloat16", "bf16"), ("float32", "bf16"), ("bfloat16", "fp32")]
)
def test_an_emulated_format_is_told_of(fast: bool, rollout: str, passes: str) -> None:
    words = check_numbers(config(LARGE, rollout=rollout, passes=passes))
    assert ("cpu_numbers=float32" in words) is not fast


def test_nothing_is_said_of_a_small_model_of_one_that_is_not_known_and_on_a_gpu(fast: bool) -> None:
    tiny = str(repository_root() / "src/verl_coder/tiny/base")
    for model in (tiny, "somebody/unknown"):
        assert check_numbers(config(model, rollout="float32", passes="fp32")) == ""
    assert check_numbers(config(LARGE, rollout="bfloat16", passes="bf16", device="cuda")) == ""


def test_one_setting_changes_the_format_of_the_passes_and_of_the_rollout() -> None:
    folder = repository_root() / "recipes/coder_0.5b_cpu"
    for overrides, rollout, passes in (
        ((), "float32", "fp32"),
        (("cpu_numbers=bfloat16",), "bfloat16", "bf16"),
    ):
        ours = compose(folder, overrides).actor_rollout_ref
        assert ours.rollout.dtype == rollout
        assert {ours[part].fsdp_config.mixed_precision.param_dtype for part in ("actor", "ref")} == {passes}
        assert ours.actor.fsdp_config.model_dtype == "fp32"
