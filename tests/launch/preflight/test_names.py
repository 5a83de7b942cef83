"""What a setting names is looked up before a run: a module, a class, a file, a card."""

import pytest
from omegaconf import DictConfig, OmegaConf

from verl_coder.errors import ConfigError
from verl_coder.launch.plan import Plan, TrainRequest, make_plan
from verl_coder.launch.preflight.names import check_names
from verl_coder.launch.preflight.verl_classes import check_verl_classes
from verl_coder.paths import recipe_names

MODEL, ROLLOUT, OPTIM = (
    "actor_rollout_ref.model",
    "actor_rollout_ref.rollout",
    "actor_rollout_ref.actor.optim",
)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """The smallest recipe, planned once."""
    return make_plan(TrainRequest(recipe="tiny_cpu", out=str(tmp_path_factory.mktemp("out"))))


def changed(plan: Plan, override: str) -> DictConfig:
    merged = OmegaConf.merge(plan.config, OmegaConf.from_dotlist([override]))
    assert isinstance(merged, DictConfig)
    return merged


@pytest.mark.parametrize("name", recipe_names())
def test_what_the_recipes_name_is_there_and_verls_classes_take_it(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    plan = make_plan(TrainRequest(recipe=name, out=str(tmp_path_factory.mktemp("out"))))
    check_names(plan.config, plan.settings)
    check_verl_classes(plan.config)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        (f"{MODEL}.external_lib=no_such_library", "no such module"),
        (
            f"{MODEL}.external_lib=[verl_coder.platform.fsdp_cpu,no.such.library]",
            "no.such.library: no such module",
        ),
        (f"{ROLLOUT}.checkpoint_engine.custom_backend_module=no_such", "no such module"),
        (f"{MODEL}.override_config.attn_implementation=flash", "choose one of .*flash_attention_2"),
        (f"{OPTIM}.optimizer=Adamm", "no class torch.optim.Adamm"),
        ("data.custom_cls.path=/nowhere.py", "no such file"),
    ],
)
def test_a_name_of_nothing_is_refused(plan: Plan, override: str, words: str) -> None:
    with pytest.raises(ConfigError, match=f"^{override.partition('=')[0]}=.*{words}") as caught:
        check_names(changed(plan, override), plan.settings)
    assert "\n" not in str(caught.value)


def test_a_kernel_of_the_hub_and_a_librarys_own_attention_pass(plan: Plan) -> None:
    place = f"{MODEL}.override_config.attn_implementation"
    check_names(changed(plan, f"{place}=kernels-community/flash-attn"), plan.settings)
    own = changed(plan, f"{place}=mine")
    own.actor_rollout_ref.model.external_lib = "json"
    check_names(own, plan.settings)


def test_a_card_that_nobody_knows_is_refused(plan: Plan) -> None:
    settings = plan.settings.model_copy(update={"plan_for": "ZX81"})
    with pytest.raises(ConfigError, match=r"verl_coder.plan_for=ZX81: choose one of .*H100"):
        check_names(plan.config, settings)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        (
            f"{OPTIM}.lr_scheduler_type=line",
            rf"^{OPTIM}\.lr_scheduler_type=line: verl refuses it: .*constant",
        ),
        ("actor_rollout_ref.actor.ppo_micro_batch_size=4", "verl refuses it: .*ppo_micro_batch_size"),
        (f"{ROLLOUT}.pipeline_model_parallel_size=3", f"^{ROLLOUT}: verl refuses it"),
    ],
)
def test_what_verls_own_classes_refuse_is_one_line(
    plan: Plan, override: str, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        check_verl_classes(changed(plan, override))
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().out == ""
