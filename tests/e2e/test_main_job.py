"""The main job on real verl, Ray, vLLM and FSDP2: what it wrote, and how it stops and goes on."""

import json

import pyarrow.parquet as pq
import pytest
import torch
from e2e.training_run import STEPS, TrainingRun

from verl_coder.launch.status import run_status
from verl_coder.paths import repository_root
from verl_coder.run.checkpoint_files import saved_steps

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


def test_an_interrupt_stops_the_run_and_says_how_to_go_on(training_run: TrainingRun) -> None:
    assert training_run.first_status == 130
    assert "the same command goes on after step 1" in training_run.first_output


def test_no_process_of_ray_or_vllm_takes_a_batch_systems_sigterm(training_run: TrainingRun) -> None:
    assert training_run.takes_sigterm == []


def test_vllm_is_imported_by_its_server_and_by_what_its_engine_is_forked_from_alone(
    training_run: TrainingRun,
) -> None:
    assert training_run.hold_vllm == ["VLLM::EngineCore", "fork server", "ray::vLLMHttpServer"]


def test_an_interrupt_leaves_no_process(training_run: TrainingRun) -> None:
    assert training_run.left_after_interrupt == []


def test_the_next_start_resumes_and_ends_well(training_run: TrainingRun) -> None:
    assert training_run.second_status == 0
    assert "after step 1" in training_run.second_output


def test_metrics_have_every_step_once(training_run: TrainingRun) -> None:
    steps = [json.loads(line)["step"] for line in training_run.run_dir.metrics.read_text().splitlines()]
    assert steps == list(range(STEPS + 1))


def test_each_step_has_a_file_with_the_same_metrics_for_wandb(training_run: TrainingRun) -> None:
    backup = training_run.run_dir.backup
    assert backup.steps() == list(range(STEPS + 1))
    for line in training_run.run_dir.metrics.read_text().splitlines():
        record = json.loads(line)
        assert backup.read(record["step"])["data"] == record["data"]


def test_tensorboard_has_every_step_once(training_run: TrainingRun) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = EventAccumulator(str(training_run.run_dir.tensorboard))
    board.Reload()
    steps = {event.step: event.value for event in board.Scalars("critic/score/mean")}
    assert [event.step for event in board.Scalars("critic/score/mean")] == list(range(1, STEPS + 1))
    for record in training_run.run_dir.read_metrics()[1:]:
        assert steps[record["step"]] == pytest.approx(record["data"]["critic/score/mean"], abs=1e-6)


def test_every_file_that_a_run_leaves_is_explained(training_run: TrainingRun) -> None:
    explained = (repository_root() / "src/verl_coder/run/RUNS.md").read_text()
    names = [path.name for path in training_run.run_dir.path.iterdir() if not path.name.startswith(".")]
    assert [name for name in names if f"`{name}" not in explained] == []


def test_an_evaluation_has_its_rate_its_tools_and_its_table(training_run: TrainingRun) -> None:
    for step in (0, STEPS):
        record = training_run.run_dir.backup.read(step)
        assert 0 <= record["data"]["eval_avg_test_pass_rate"] <= 1
        assert record["data"]["eval/problems"] == 24
        assert 0 <= record["data"]["eval_avg_test_pass_rate_sampled"] <= 1
        assert all(f"eval/{kind}/tool_calls/mean" in record["data"] for kind in ("greedy", "sampled"))
        table = training_run.run_dir.path / record["tables"]["eval/samples"]
        rows = [json.loads(line) for line in table.read_text().splitlines()]
        assert [row["sampled"] for row in rows] == [False, True] * 16  # 32 rows: 16 problems, side by side
        assert len({row["problem"] for row in rows}) == 16 and all(row["prompt"] for row in rows)


def test_status_tells_how_the_run_stands(training_run: TrainingRun) -> None:
    status = run_status(training_run.run_dir.path)
    assert status["state"] == "finished"
    assert status["last step"] == str(STEPS) and status["checkpoint"] == f"step {STEPS}"
    assert status["best checkpoint"].startswith(f"step {STEPS} (pass rate ")
    assert status["local metrics"] == f"{STEPS + 1} steps in wandb_backup/"
    assert status["W&B"].startswith("offline, run ")
    assert f"{STEPS + 1} steps" in status["W&B lacks"]


def test_only_the_last_checkpoints_and_the_best_are_kept(training_run: TrainingRun) -> None:
    # The only evaluation after a save is that of the last step.
    assert saved_steps(training_run.run_dir.checkpoints) == [STEPS - 1, STEPS]
    assert json.loads(training_run.run_dir.best.read_text())["step"] == STEPS


def test_the_data_order_goes_on_where_it_was(rollouts: dict[int, list[dict]]) -> None:
    prompts = [{row["input"] for row in rows} for _, rows in sorted(rollouts.items())]
    assert all(len(step) == 8 for step in prompts)
    assert len(set().union(*prompts)) == 8 * STEPS


def test_every_prompt_was_sampled_n_times(rollouts: dict[int, list[dict]]) -> None:
    assert all(len(rows) == 32 for rows in rollouts.values())


def test_rewards_come_from_the_named_file(rollouts: dict[int, list[dict]]) -> None:
    scores = {row["score"] for rows in rollouts.values() for row in rows}
    assert scores == {0.0, 1.0}


def test_the_tool_ran_in_the_sandbox(training_run: TrainingRun, rollouts: dict[int, list[dict]]) -> None:
    outputs = [row["output"] for rows in rollouts.values() for row in rows]
    assert any("<tool_response>" in output for output in outputs)
    data = training_run.run_dir.read_metrics()[-1]["data"]
    assert data["tool_calls/mean"] > 0
    assert data["tool_calls/success_rate"] > 0
    assert data["sandbox/unavailable_share"] == 0


def test_the_tool_is_that_of_the_named_yaml(rollouts: dict[int, list[dict]]) -> None:
    # The recipe's own YAML shows one line of an error, never the line above it.
    outputs = [row["output"] for rows in rollouts.values() for row in rows]
    assert any('File "<given>"' in output for output in outputs)


def test_the_policy_was_updated(training_run: TrainingRun) -> None:
    steps = [record["data"] for record in training_run.run_dir.read_metrics() if record["step"]]
    assert any(data["actor/grad_norm"] > 0 for data in steps)
    assert all("actor/kl_loss" in data for data in steps)


def test_the_policy_loss_is_that_of_the_named_file(training_run: TrainingRun) -> None:
    steps = [record["data"] for record in training_run.run_dir.read_metrics() if record["step"]]
    assert all("actor/clipped_share" in data and "actor/pg_clipfrac" not in data for data in steps)


def test_vllm_samples_from_the_updated_weights(training_run: TrainingRun) -> None:
    # The ratio of the loss is taken to vLLM's own log-probabilities: 1e-3 away from 1 where a weight sync is lost.
    steps = [record["data"] for record in training_run.run_dir.read_metrics() if record["step"]]
    assert all(abs(data["actor/ppo_kl"]) < 1e-5 for data in steps)


def test_the_checkpoint_is_whole(training_run: TrainingRun) -> None:
    assert training_run.run_dir.checkpoint_step() == STEPS
    folder = training_run.run_dir.checkpoints / f"global_step_{STEPS}" / "actor"
    [weights] = folder.glob("model_world_size_1_rank_0.pt")
    state = torch.load(weights, weights_only=False)
    assert all(torch.isfinite(getattr(t, "_local_tensor", t)).all() for t in state.values())


def test_the_summary_has_what_its_readers_rely_on(training_run: TrainingRun) -> None:
    summary = json.loads(training_run.run_dir.summary.read_text())
    assert summary["recipe"] == "tiny_cpu"
    assert summary["steps"] == STEPS
    assert summary["wall_s"] > 0
    assert 0 <= summary["pass_at_1"]["before"] <= 1
    assert 0 <= summary["pass_at_1"]["after"] <= 1
    assert summary["metrics_file"] == str(training_run.run_dir.metrics)


def test_the_picture_is_a_png(training_run: TrainingRun) -> None:
    assert training_run.run_dir.curve.read_bytes().startswith(b"\x89PNG")


def test_the_terminal_shows_steps_and_the_closing_table(training_run: TrainingRun) -> None:
    assert "held-out pass@1" in training_run.second_output
    assert "tool calls per problem" in training_run.second_output
    assert f"step {STEPS:>4}" in training_run.second_output


def test_a_finished_run_says_so(training_run: TrainingRun) -> None:
    assert training_run.third_status == 0
    assert "finished" in training_run.third_output


def test_no_half_written_file_is_left(training_run: TrainingRun) -> None:
    assert [path for path in training_run.run_dir.path.rglob("*") if ".tmp" in path.name] == []


def test_the_resolved_configuration_names_files_that_exist(training_run: TrainingRun) -> None:
    from omegaconf import OmegaConf

    config = OmegaConf.load(training_run.run_dir.config)
    assert pq.read_metadata(config.data.train_files[0]).num_rows > 0
