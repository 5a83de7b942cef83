"""An override of a part that the run does not use is told in a line; one that counts, or of a recipe's own, is not."""

from pathlib import Path

import pytest

from verl_coder.launch.plan import Plan, TrainRequest, make_plan
from verl_coder.launch.preflight.unused import _PARTS, unused_settings

ACTOR, CORRECTION = "actor_rollout_ref.actor", "algorithm.rollout_correction"


def _plan(tmp_path: Path, *overrides: str, recipe: str = "tiny_cpu") -> Plan:
    return make_plan(TrainRequest(recipe=recipe, out=str(tmp_path / "out"), overrides=overrides))


def _notes(plan: Plan, *loops: str) -> tuple[str, ...]:
    return unused_settings(plan.config, plan.settings, plan.overrides, loops)


@pytest.mark.parametrize(
    ("overrides", "why"),
    [
        (("verl_coder.teacher.rows=3",), "verl_coder.losses.beta is 0"),
        (("verl_coder.self_sft={top_k:4}",), "verl_coder.losses.gamma is 0"),
        ((f"{ACTOR}.kl_loss_coef=0.5", f"{ACTOR}.use_kl_loss=false"), f"{ACTOR}.use_kl_loss is false"),
        (("algorithm.kl_ctrl.kl_coef=0.5",), "algorithm.use_kl_in_reward is false"),
        ((f"{ACTOR}.loss_scale_factor=352",), f"{ACTOR}.loss_agg_mode is not seq-mean-token-sum-norm"),
        ((f"{ACTOR}.ppo_max_token_len_per_gpu=4096",), f"{ACTOR}.use_dynamic_bsz is false"),
        ((f"{CORRECTION}.rollout_is_threshold=5",), f"{CORRECTION}.rollout_is is null"),
        ((f"{CORRECTION}.rollout_rs_threshold=5",), f"{CORRECTION}.rollout_rs is null"),
        (("algorithm.filter_groups.max_num_gen_batches=3",), "algorithm.filter_groups.enable is false"),
        (("trainer.v1.sampler.max_off_policy_threshold=1",), "trainer.v1.trainer_mode is sync"),
        (
            ("trainer.v1.separate_async.parameter_sync_step=4",),
            "trainer.v1.trainer_mode is not separate_async",
        ),
        (("actor_rollout_ref.model.lora_alpha=8",), "actor_rollout_ref.model.lora_rank is 0"),
        (("critic.optim.lr=5",), "algorithm.adv_estimator needs no critic"),
    ],
)
def test_an_override_without_an_effect_is_told(tmp_path: Path, overrides: tuple[str, ...], why: str) -> None:
    assert _notes(_plan(tmp_path, *overrides)) == (f"note: {overrides[0]}: no effect, as {why}",)


def test_one_that_counts_is_not_told(tmp_path: Path) -> None:
    plan = _plan(
        tmp_path,
        "verl_coder.losses.beta=0.3",
        "verl_coder.teacher.traces=traces.parquet",
        f"{ACTOR}.kl_loss_coef=0.5",
        f"{ACTOR}.ppo_micro_batch_size_per_gpu=8",
        "mode=colocate_async",
        "trainer.v1.sampler.max_off_policy_threshold=1",
    )
    assert _notes(plan) == ()


def test_a_recipe_may_hold_values_of_a_part_that_it_does_not_use(tmp_path: Path) -> None:
    plan = _plan(tmp_path, recipe="ablation")
    assert plan.settings.self_sft.only_mixed and not plan.settings.uses_self
    assert _notes(plan) == ()


def test_the_code_that_ends_an_answer_ends_answers_of_one_turn_alone(tmp_path: Path) -> None:
    plan = _plan(tmp_path, "verl_coder.stop_after_code=true")
    (told,) = _notes(plan, "tool_agent")
    assert told.endswith("no effect, as the rows' agent loop is tool_agent, not single_turn_agent")
    assert _notes(plan, "tool_agent", "single_turn_agent") == _notes(plan) == ()


def test_every_place_is_a_setting(tmp_path: Path) -> None:
    config = _plan(tmp_path).config
    for part in _PARTS:
        for place in part.places:
            parent, _, name = place.rpartition(".")
            node = config
            for key in filter(None, parent.split(".")):
                node = node[key]
            assert name in node, place
