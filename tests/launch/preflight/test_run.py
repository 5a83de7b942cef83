"""What is wrong with a run is found before Ray starts, and named."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import DictConfig, OmegaConf

from verl_coder.errors import CheckpointError, ConfigError, DataError
from verl_coder.launch.plan import Plan, TrainRequest, make_plan
from verl_coder.launch.preflight import places, sizes
from verl_coder.launch.preflight.files import check_parquet
from verl_coder.launch.preflight.model import check_model
from verl_coder.launch.recipe import compose, find_recipe
from verl_coder.run.checkpoint_files import planned_bytes
from verl_coder.run.run_dir import RunDir

_SMALL_MICRO_BATCHES = tuple(
    f"actor_rollout_ref.{key}_per_gpu=1"
    for key in (
        "actor.ppo_micro_batch_size",
        "rollout.log_prob_micro_batch_size",
        "ref.log_prob_micro_batch_size",
    )
)


@pytest.fixture(scope="module")
def composed() -> DictConfig:
    """The smallest recipe, composed once; its interpolations are open."""
    return compose(find_recipe("tiny_cpu"))


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """The smallest recipe, planned once."""
    return make_plan(TrainRequest(recipe="tiny_cpu", out=str(tmp_path_factory.mktemp("out"))))


@pytest.fixture
def config(plan: Plan) -> DictConfig:
    """The plan's configuration."""
    return plan.config


def _changed(config: DictConfig, *overrides: str) -> DictConfig:
    merged = OmegaConf.merge(config, OmegaConf.from_dotlist(list(overrides)))
    assert isinstance(merged, DictConfig)
    return merged


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.train_files: no file .*nowhere\.parquet"):
        check_parquet("data.train_files", [tmp_path / "nowhere.parquet"])


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"data_source": ["x"], "prompt": ["y"]}), path)
    with pytest.raises(DataError, match="lacks the column 'agent_name'"):
        check_parquet("data.train_files", [path])


def test_a_file_that_is_not_parquet_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    path.write_text("not parquet")
    with pytest.raises(DataError, match="not a Parquet file"):
        check_parquet("data.val_files", [path])


def test_a_model_folder_without_config_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"MODEL: .* has no config\.json"):
        check_model(str(tmp_path))


def test_a_model_that_is_neither_folder_nor_hub_name_is_named() -> None:
    with pytest.raises(ConfigError, match="no folder /nowhere/model"):
        check_model("/nowhere/model")


def test_too_little_disk_is_named(
    config: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "free_bytes", lambda _: 1)
    with pytest.raises(ConfigError, match="0 MiB free, the checkpoints need"):
        places.check_disk(config, tmp_path, keep_best=True)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("actor_rollout_ref.actor.ppo_mini_batch_size=5",), "multiple of"),
        (
            ("trainer.n_gpus_per_node=6",),
            r"128 samples cannot be dealt to 6 workers.*N_GPUS=6.*use 4 of them",
        ),
        (("actor_rollout_ref.rollout.n=1", *_SMALL_MICRO_BATCHES), "GRPO"),
        (("actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=48",), "log_prob_micro_batch_size"),
        (("data.max_response_length=9000",), "max_model_len"),
        (("actor_rollout_ref.rollout.tensor_model_parallel_size=2",), "distributed_executor_backend=mp"),
    ],
)
def test_sizes_that_cannot_work_are_refused(
    composed: DictConfig, overrides: tuple[str, ...], message: str
) -> None:
    sizes.check_batch_sizes(composed)
    with pytest.raises(ConfigError, match=message):
        sizes.check_batch_sizes(_changed(composed, *overrides))


def test_workers_that_share_their_rows_count_as_one(composed: DictConfig) -> None:
    actor = "actor_rollout_ref.actor"
    sizes.check_shares(
        _changed(composed, "trainer.n_gpus_per_node=6", f"{actor}.ulysses_sequence_parallel_size=3")
    )
    with pytest.raises(ConfigError, match="dealt to 3 workers"):
        sizes.check_shares(
            _changed(
                composed, "trainer.n_gpus_per_node=6", f"{actor}.fsdp_config.ulysses_sequence_parallel_size=2"
            )
        )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+verl_coder.pol_interval_s=1", "no such setting"),
        ("verl_coder.poll_interval_s=0", "poll_interval_s"),
        ("verl_coder.max_sandbox_unavailable_share=2", "max_sandbox_unavailable_share"),
    ],
)
def test_our_own_settings_are_checked(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_plan(TrainRequest(recipe="tiny_cpu", out=str(tmp_path), overrides=(override,)))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.resume_mode=disable", r"trainer\.resume_mode=disable"),
        ("trainer.del_local_ckpt_after_load=true", "del_local_ckpt_after_load"),
        ("trainer.default_local_dir=/elsewhere", r"trainer\.default_local_dir=/elsewhere"),
        ("actor_rollout_ref.actor.checkpoint.async_save=true", "async_save"),
    ],
)
def test_settings_that_would_undo_our_checkpoints_are_refused(
    plan: Plan, override: str, message: str
) -> None:
    sizes.check_checkpoint_settings(plan.config, plan.run_dir)
    with pytest.raises(ConfigError, match=message):
        sizes.check_checkpoint_settings(_changed(plan.config, override), plan.run_dir)


def test_the_rollouts_of_a_checkpoint_are_read_back_by_as_many_as_held_them(
    plan: Plan, tmp_path: Path
) -> None:
    run_dir = RunDir(tmp_path)
    held = run_dir.checkpoints / "global_step_4/transfer_queue/simple_storage/storage_unit_info.json"
    held.parent.mkdir(parents=True)
    held.write_text('[{"position": 0, "storage_unit_id": "a"}, {"position": 1, "storage_unit_id": "b"}]')
    (run_dir.checkpoints / "global_step_4/data.pt").write_text("")
    (run_dir.checkpoints / "latest_checkpointed_iteration.txt").write_text("4")
    units = "transfer_queue.backend.SimpleStorage.num_data_storage_units"
    here = _changed(plan.config, f"trainer.default_local_dir={run_dir.checkpoints}", f"{units}=8")
    sizes.check_checkpoint_settings(here, run_dir)
    for mode in ("colocate_async", "separate_async"):
        later = _changed(here, f"trainer.v1.trainer_mode={mode}")
        with pytest.raises(CheckpointError, match=f"{units}=8: .* held by 2, .* set {units}=2"):
            sizes.check_checkpoint_settings(later, run_dir)
        sizes.check_checkpoint_settings(_changed(later, f"{units}=2"), run_dir)


@pytest.mark.parametrize("content", ['[{"position": 0, ', "", "7", b"\xff"])
def test_a_note_of_the_rollouts_that_was_cut_off_is_one_line(
    plan: Plan, tmp_path: Path, content: str | bytes
) -> None:
    run_dir = RunDir(tmp_path)
    held = run_dir.checkpoints / "global_step_4/transfer_queue/simple_storage/storage_unit_info.json"
    held.parent.mkdir(parents=True)
    held.write_bytes(content if isinstance(content, bytes) else content.encode())
    (run_dir.checkpoints / "global_step_4/data.pt").write_text("")
    (run_dir.checkpoints / "latest_checkpointed_iteration.txt").write_text("4")
    here = _changed(
        plan.config,
        f"trainer.default_local_dir={run_dir.checkpoints}",
        "trainer.v1.trainer_mode=colocate_async",
    )
    with pytest.raises(
        CheckpointError, match=r"storage_unit_info.json is broken .*checkpointed_iteration.txt"
    ) as raised:
        sizes.check_checkpoint_settings(here, run_dir)
    assert "\n" not in str(raised.value)


def test_checkpoints_that_are_there_need_no_more_room(
    config: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = planned_bytes(places.parameter_count(config.actor_rollout_ref.model.path))
    monkeypatch.setattr(places, "free_bytes", lambda _: 200 * 2**20 + one)
    with pytest.raises(ConfigError, match="MiB free"):
        places.check_disk(config, tmp_path, keep_best=True)
    for step in (1, 2, 3):
        (tmp_path / "checkpoints" / f"global_step_{step}").mkdir(parents=True)
    places.check_disk(config, tmp_path, keep_best=True)


def test_an_adapter_has_a_small_optimiser_on_the_disk(
    config: DictConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = 4 * places.parameter_count(config.actor_rollout_ref.model.path)
    monkeypatch.setattr(places, "free_bytes", lambda _: 200 * 2**20 + 2 * 3 * weights)
    with pytest.raises(ConfigError, match="MiB free"):
        places.check_disk(config, tmp_path, keep_best=True)
    places.check_disk(_changed(config, "actor_rollout_ref.model.lora_rank=1"), tmp_path, keep_best=True)


def test_knobs_win_over_the_recipe(tmp_path: Path) -> None:
    reward = tmp_path / "mine.py"
    reward.write_text("")
    plan = make_plan(TrainRequest(recipe="tiny_cpu", out=str(tmp_path), reward=str(reward), seed=3))
    assert plan.config.reward.custom_reward_function.path == str(reward)
    assert plan.settings.seed == plan.config.verl_coder.seed == 3
    assert plan.config.data.seed == 4


def test_planning_writes_nothing(tmp_path: Path) -> None:
    make_plan(TrainRequest(recipe="tiny_cpu", out=str(tmp_path / "run")))
    assert list(tmp_path.iterdir()) == []
