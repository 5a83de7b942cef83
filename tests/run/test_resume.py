"""A resume may change what is on the list; anything else is refused with both values."""

import json
from pathlib import Path
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from verl_coder.errors import CheckpointError
from verl_coder.launch.plan import TrainRequest, make_plan
from verl_coder.paths import repository_root
from verl_coder.run.resume import _FILES, MAY_CHANGE, _flat, check, may_change, record


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> DictConfig:
    return make_plan(TrainRequest(recipe="tiny_cpu", out=str(tmp_path_factory.mktemp("out")))).config


@pytest.fixture
def config(planned: DictConfig, tmp_path: Path) -> DictConfig:
    """The smallest recipe with files of its own."""
    config = OmegaConf.create(OmegaConf.to_container(planned))
    for name in ("train", "val"):
        (tmp_path / f"{name}.parquet").write_text(name)
        config.data[f"{name}_files"] = [str(tmp_path / f"{name}.parquet")]
    (tmp_path / "reward.py").write_text("one")
    config.reward.custom_reward_function.path = str(tmp_path / "reward.py")
    (tmp_path / "loss.py").write_text("one")
    config.verl_coder.policy_loss.path = str(tmp_path / "loss.py")
    (tmp_path / "loops.yaml").write_text("one")
    config.actor_rollout_ref.rollout.agent.agent_loop_config_path = str(tmp_path / "loops.yaml")
    config.verl_coder.losses.gamma = {"schedule": "linear", "start": 1.0, "end": 0.1, "steps": 20}
    return config


@pytest.fixture
def recorded(config: DictConfig, tmp_path: Path) -> Path:
    record(tmp_path / "resume.json", config)
    return tmp_path / "resume.json"


def test_the_same_start_goes_on(config: DictConfig, recorded: Path) -> None:
    check(recorded, config)


@pytest.mark.parametrize(
    "override",
    [
        "trainer.total_training_steps=99",
        "trainer.total_epochs=99",
        "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=8",
        "actor_rollout_ref.rollout.gpu_memory_utilization=0.5",
        "verl_coder.watchdog_least_s=90",
        "verl_coder.plan_for=H100",
        "ray_kwargs.ray_init.object_store_memory=700000000",
    ],
)
def test_what_changes_no_number_may_change(config: DictConfig, recorded: Path, override: str) -> None:
    check(recorded, OmegaConf.merge(config, OmegaConf.from_dotlist([override])))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("override", "both"),
    [
        ("actor_rollout_ref.model.lora_alpha=64", "lora_alpha=16, this start gives 64"),
        ("actor_rollout_ref.actor.optim.lr=0.5", "lr=0.0003, this start gives 0.5"),
        ("data.seed=9", "data.seed=1, this start gives 9"),
        ("actor_rollout_ref.rollout.n=4", "rollout.n=8, this start gives 4"),
        ("verl_coder.teacher.max_group_pass_rate=0", "max_group_pass_rate=null, this start gives 0"),
        ("verl_coder.losses.gamma.warmup_steps=10", "gamma.warmup_steps=0, this start gives 10"),
        ("verl_coder.losses.alpha=0.5", r"losses.alpha.start=1.0, this start gives 0.5"),
    ],
)
def test_what_changes_the_run_is_refused_with_both_values(
    config: DictConfig, recorded: Path, override: str, both: str
) -> None:
    changed = OmegaConf.merge(config, OmegaConf.from_dotlist([override]))
    assert isinstance(changed, DictConfig)
    with pytest.raises(CheckpointError, match=both):
        check(recorded, changed)
    check(recorded, changed, allowed=[override.partition("=")[0]])


@pytest.mark.parametrize(
    ("override", "both"),
    [
        ("model.tokenizer_path=/other", "tokenizer_path=null, this start gives /other"),
        ("model.hf_config_path=/other", "hf_config_path=null, this start gives /other"),
        ("model.lora_adapter_path=/other", "lora_adapter_path=null, this start gives /other"),
        ("rollout.enable_rollout_routing_replay=true", "replay=False, this start gives True"),
    ],
)
def test_a_pattern_admits_no_neighbour_that_changes_the_run(
    config: DictConfig, recorded: Path, override: str, both: str
) -> None:
    changed = OmegaConf.merge(config, OmegaConf.from_dotlist([f"actor_rollout_ref.{override}"]))
    assert isinstance(changed, DictConfig)
    with pytest.raises(CheckpointError, match=both):
        check(recorded, changed)


def test_what_may_stand_elsewhere_is_compared_by_its_content() -> None:
    elsewhere = {
        "actor_rollout_ref.model.path",
        "data.tool_config_path",
    }  # by RunDir.check_shape; that of rollout
    places = [key for key in MAY_CHANGE if key.endswith(("path", "files", "traces"))]
    assert set(places) <= {*_FILES.values(), *elsewhere}


@pytest.mark.parametrize("file", ["x", 5, None, {}, {"path": "x"}, ["path", "sha256"]])
def test_a_damaged_record_of_a_file_is_named(config: DictConfig, recorded: Path, file: Any) -> None:
    recorded.write_text(json.dumps({"settings": {}, "files": {"TRAIN": file}}))
    with pytest.raises(CheckpointError, match=r"resume\.json is broken \(files\.TRAIN is .*\): remove it"):
        check(recorded, config)


def as_before(recorded: Path, config: DictConfig) -> None:
    """Make the record one of the time when only what the recipe says was written, without nulls."""
    record_of_then = json.loads(recorded.read_text())
    record_of_then["settings"] = _flat(config)
    recorded.write_text(json.dumps(record_of_then))


def test_an_old_record_goes_on_where_nothing_changed(config: DictConfig, recorded: Path) -> None:
    del config.verl_coder.losses.alpha
    as_before(recorded, config)
    check(recorded, config)
    config.verl_coder.losses.alpha = 1.0  # said now, and what it was by default
    check(recorded, config)


@pytest.mark.parametrize(
    ("override", "both"),
    [
        ("verl_coder.teacher.max_group_pass_rate=0.5", "max_group_pass_rate=null, this start gives 0.5"),
        ("verl_coder.losses.gamma.warmup_steps=10", "gamma.warmup_steps=0, this start gives 10"),
    ],
)
def test_what_an_old_record_lacks_was_the_default(
    config: DictConfig, recorded: Path, override: str, both: str
) -> None:
    as_before(recorded, config)
    changed = OmegaConf.merge(config, OmegaConf.from_dotlist([override]))
    assert isinstance(changed, DictConfig)
    with pytest.raises(CheckpointError, match=both):
        check(recorded, changed)


def test_a_curriculum_that_is_begun_or_changed_is_refused(config: DictConfig, recorded: Path) -> None:
    stages = [{"values": ["easy"], "threshold": 0.5}, {"values": ["hard"]}]
    config.verl_coder.curriculum = {"by": "difficulty", "stages": stages}
    with pytest.raises(CheckpointError, match=r"verl_coder.curriculum.by=null, this start gives difficulty"):
        check(recorded, config)
    check(recorded, config, allowed=["verl_coder.curriculum"])
    as_before(recorded, config)
    check(recorded, config)
    config.verl_coder.curriculum.mix_in = 0.5
    with pytest.raises(CheckpointError, match=r"curriculum.mix_in=0.0, this start gives 0.5"):
        check(recorded, config)


def test_a_setting_that_is_gone_is_told(config: DictConfig, recorded: Path) -> None:
    as_before(recorded, OmegaConf.merge(config, {"verl_coder": {"mask_all": True}}))  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match=r"verl_coder.mask_all=True, this start gives null"):
        check(recorded, config)
    check(recorded, config, allowed=["verl_coder.mask_all"])


@pytest.mark.parametrize(
    ("knob", "name"),
    [
        ("TRAIN", "train.parquet"),
        ("REWARD", "reward.py"),
        ("LOSS", "loss.py"),
        ("agent_loop_config_path", "loops.yaml"),
    ],
)
def test_other_content_is_refused_and_another_place_is_not(
    config: DictConfig, recorded: Path, tmp_path: Path, knob: str, name: str
) -> None:
    other = tmp_path / "elsewhere"
    other.mkdir()
    (other / name).write_text((tmp_path / name).read_text())
    if knob == "TRAIN":
        config.data.train_files = [str(other / name)]
    elif knob == "LOSS":
        config.verl_coder.policy_loss.path = str(other / name)
    elif knob == "REWARD":
        config.reward.custom_reward_function.path = str(other / name)
    else:
        config.actor_rollout_ref.rollout.agent.agent_loop_config_path = str(other / name)
    check(recorded, config)
    (other / name).write_text("another")
    with pytest.raises(
        CheckpointError, match=rf"{knob}={tmp_path / name} .* this start gives {other / name}"
    ):
        check(recorded, config)
    check(recorded, config, allowed=[knob])


TOOLS = "actor_rollout_ref.rollout.multi_turn.tool_config_path"


@pytest.mark.parametrize("given", [True, False])
def test_tools_are_neither_taken_away_nor_added(config: DictConfig, tmp_path: Path, given: bool) -> None:
    (tmp_path / "tools.yaml").write_text("tools")
    path = str(tmp_path / "tools.yaml")
    OmegaConf.update(config, TOOLS, path if given else None)
    record(tmp_path / "resume.json", config)
    OmegaConf.update(config, TOOLS, None if given else path)
    words = (
        r"tools.yaml \(.*this start gives null" if given else r"TOOLS=null, this start gives .*tools\.yaml"
    )
    with pytest.raises(CheckpointError, match=words):
        check(tmp_path / "resume.json", config)
    check(tmp_path / "resume.json", config, allowed=["TOOLS"])


def test_a_rewards_parameters_stay(config: DictConfig, recorded: Path) -> None:
    OmegaConf.update(config, "reward.custom_reward_function.reward_kwargs", {"exponent": 1}, force_add=True)
    with pytest.raises(CheckpointError, match=r"reward_kwargs\.exponent=null, this start gives 1"):
        check(recorded, config)


def test_no_setting_ties_a_run_to_the_place_of_its_checkout(planned: DictConfig) -> None:
    root = str(repository_root())
    tied = [key for key, value in _flat(planned).items() if root in str(value) and not may_change(key)]
    assert not tied


@pytest.mark.parametrize("recipe", ["tiny_cpu", "tiny_lora", "coder_0.5b_gpu"])
def test_the_folder_of_a_run_may_be_renamed(recipe: str, tmp_path: Path) -> None:
    before, after = (
        make_plan(TrainRequest(recipe=recipe, out=str(tmp_path / name))).config for name in ("a", "b")
    )
    record(tmp_path / "resume.json", before)
    check(tmp_path / "resume.json", after)
