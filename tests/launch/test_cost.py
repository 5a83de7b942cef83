"""The estimate of a step follows the settings, and comes near the run that was measured."""

from dataclasses import replace

import pytest

from verl_coder.launch.cards import CARDS
from verl_coder.launch.cost import StepCost, step_cost
from verl_coder.launch.model_shape import shape_of
from verl_coder.launch.plan import TrainRequest, make_plan


def cost(*overrides: str, recipe: str = "qwen_grpo", card: str = "H100") -> StepCost:
    config = make_plan(TrainRequest(recipe=recipe, out="/nowhere", overrides=overrides)).config
    shape = shape_of(str(config.actor_rollout_ref.model.path))
    assert shape is not None
    found = step_cost(config, shape, CARDS[card])
    assert found is not None
    return found


def test_the_measured_run_is_met_within_a_fifth() -> None:
    """recipes/coder_0.5b_gpu/README.md: H200, 32 x 8, 1024 + 1536 tokens; it also gave the constants."""
    found = cost(
        *("data.train_batch_size=32", "actor_rollout_ref.actor.ppo_mini_batch_size=32"),
        *("data.max_response_length=1536", "trainer.n_gpus_per_node=1"),
        recipe="coder_0.5b_gpu",
        card="H200",
    )
    measured = {"generate_s": 16.8, "log_probs_s": 3.7, "update_s": 7.1, "sync_s": 0.3, "seconds": 27.0}
    for name, seconds in measured.items():
        assert getattr(found, name) == pytest.approx(seconds, rel=0.2), name


@pytest.mark.parametrize(
    ("override", "faster"),
    [
        ("trainer.n_gpus_per_node=16", True),
        ("actor_rollout_ref.model.enable_gradient_checkpointing=false", True),
        ("actor_rollout_ref.actor.use_kl_loss=false", True),
        ("algorithm.rollout_correction.bypass_mode=true", True),
        ("data.max_response_length=3072", True),
        ("actor_rollout_ref.rollout.n=8", False),
        ("actor_rollout_ref.rollout.max_num_seqs=16", False),
    ],
)
def test_it_follows_the_settings(override: str, faster: bool) -> None:
    before, after = cost().seconds, cost(override).seconds
    assert after < before if faster else after > before


def test_an_adapter_has_fewer_operations_and_traces_more() -> None:
    assert cost(recipe="qwen_lora").update_s < cost().update_s
    assert cost(recipe="qwen_teacher_guided").update_s == pytest.approx(1.25 * cost().update_s)
    unused = cost("verl_coder.losses.beta=0", recipe="qwen_teacher_guided")
    assert unused.update_s == pytest.approx(cost().update_s)


def test_samples_that_are_trained_on_twice_take_twice_the_time() -> None:
    assert cost("actor_rollout_ref.actor.ppo_epochs=2").update_s == pytest.approx(2 * cost().update_s)


def test_a_card_of_unknown_speed_has_no_estimate() -> None:
    config = make_plan(TrainRequest(recipe="qwen_grpo", out="/nowhere")).config
    shape = shape_of("Qwen/Qwen3-1.7B")
    assert shape is not None
    assert step_cost(config, shape, replace(CARDS["H100"], tflops=None)) is None


def test_the_lines_name_the_phases_the_hours_and_what_they_assume() -> None:
    lines = cost().lines(200)
    assert "s a step on 8 x H100 (generate " in lines[0] and "tokens/s" in lines[0]
    assert lines[1].startswith("200 steps in about ") and lines[1].split()[-4] == "h,"
    assert "within a factor of two" in lines[2]
    assert len(cost().lines(None)) == 2


def test_generation_on_gpus_of_its_own_goes_on_beside_the_training() -> None:
    found = cost("mode=separate_async", "actor_rollout_ref.rollout.n_gpus_per_node=2")
    assert found.side_by_side and found.gpus == 10
    assert found.generate_s > cost().generate_s
    assert found.seconds == pytest.approx(max(found.generate_s, cost().seconds - cost().generate_s))
