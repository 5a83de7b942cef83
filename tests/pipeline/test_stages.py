"""The tasks of a pipeline: command lines that the commands take, with what is stated once in each of them."""

from pathlib import Path
from typing import Any

import pytest
from command_lines import parse
from hydra.core.override_parser.overrides_parser import OverridesParser
from pipeline.fake_pipeline import digests_of

import verl_coder.pipeline.tasks as tasks
from verl_coder.errors import ConfigError
from verl_coder.launch.plan import TrainRequest
from verl_coder.paths import repository_root
from verl_coder.pipeline.config import STAGES, read_config
from verl_coder.pipeline.fingerprint import Digests
from verl_coder.pipeline.records import products_of
from verl_coder.pipeline.stages import tasks_of
from verl_coder.pipeline.tasks import PipelineTask, Workplace

EXAMPLES = repository_root() / "config" / "pipeline"
RECIPE = {
    "data.max_prompt_length": 96,
    "data.max_response_length": 352,
    "actor_rollout_ref.rollout.multi_turn.max_assistant_turns": 3,
    "actor_rollout_ref.rollout.multi_turn.tool_config_path": "tool_config/python_interpreter_brief.yaml",
    "reward.custom_reward_function.path": str(repository_root() / "rewards" / "pass_rate.py"),
    "trainer.total_training_steps": 4,
}


@pytest.fixture(autouse=True)
def composed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The composed recipe without verl."""
    monkeypatch.setattr(tasks, "recipe_settings", lambda request, cache: dict(RECIPE))


def composed_traces(request: TrainRequest, cache: Path) -> dict[str, Any]:
    """The same with the overrides of the pipeline, read as Hydra reads them."""
    parsed = OverridesParser.create().parse_overrides(list(request.overrides))
    return RECIPE | {override.key_or_group: override.value() for override in parsed}


def planned(path: Path, out: Path) -> dict[str, PipelineTask]:
    place = Workplace(read_config(path, out=str(out)))
    return {task.name: task for stage in place.config.stages for task in tasks_of(stage, place)}


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["tiny", "qwen", "example_config"])
def test_every_command_line_is_one_that_its_command_takes(name: str, tmp_path: Path) -> None:
    for task in planned(EXAMPLES / f"{name}.yaml", tmp_path / "out").values():
        options = parse(task.command)
        overrides = options.pop("overrides")
        assert all("=" in override for override in overrides)
        assert not overrides or task.name in ("sft", "train")


def test_what_is_stated_once_is_in_every_stage(tmp_path: Path) -> None:
    text = (EXAMPLES / "tiny.yaml").read_text() + "\nseed: 7\nmax_response_length: 200\ntools: null\n"
    found = {
        name: parse(task.command) for name, task in planned(written(tmp_path, text), tmp_path / "out").items()
    }
    assert {found[name]["seed"] for name in ("data/sample", "teacher", "sft", "train", "evaluate/base")} == {
        7
    }
    assert found["sft"]["max_response_length"] == found["evaluate/base"]["max_response_tokens"] == 200
    assert "data.max_response_length=200" in found["train"]["overrides"]
    assert found["sft"]["max_prompt_length"] == found["evaluate/base"]["max_prompt_tokens"] == 96
    assert found["evaluate/base"]["max_turns"] == 3
    brief = str(repository_root() / "tool_config/python_interpreter_brief.yaml")
    assert found["sft"]["tools"] == found["train"]["tools"] == found["evaluate/trained"]["tools"] == brief


def test_each_stage_takes_what_the_one_before_has_made(tmp_path: Path) -> None:
    out = tmp_path / "out"
    plan = planned(EXAMPLES / "tiny.yaml", out)
    found = {name: parse(task.command) for name, task in plan.items()}
    assert str(found["sft"]["traces"]) == str(out / "teacher" / "traces.parquet")
    assert found["train"]["model"] == str(out / "sft" / "model")
    assert found["train"]["train"] == str(out / "data" / "sample" / "train.parquet")
    assert found["evaluate/trained"]["model"] == str(out / "model")
    assert plan["train"].inputs["model"] == out / "sft" / "model"
    assert plan["report"].command[1:-2] == tuple(
        str(out / name) for name in ("sft", "train", "evaluate/base", "evaluate/sft", "evaluate/trained")
    )


def test_the_settings_of_training_are_those_of_the_composed_recipe(tmp_path: Path) -> None:
    task = planned(EXAMPLES / "tiny.yaml", tmp_path / "out")["train"]
    assert task.settings["trainer.total_training_steps"] == 4
    assert not any("path" in name for name in task.settings)
    assert task.inputs["reward"].name == "pass_rate.py"


def test_without_sft_training_begins_with_the_base(tmp_path: Path) -> None:
    text = "model: src/verl_coder/tiny/base\nrecipe: tiny_cpu\ndata: {datasets: {sample: {}}}\ntrain:\nevaluate:\n"
    plan = planned(written(tmp_path, text), tmp_path / "out")
    assert list(plan) == [
        "data/sample",
        "train",
        "train/export",
        "evaluate/base",
        "evaluate/trained",
        "evaluate/compare",
    ]
    assert parse(plan["train"].command)["model"] == str(repository_root() / "src/verl_coder/tiny/base")


def test_files_that_are_there_take_the_place_of_datasets(tmp_path: Path) -> None:
    for name in ("t", "v", "x"):
        (tmp_path / f"{name}.parquet").touch()
    text = (
        f"model: owner/m\ndata: {{train: [{tmp_path}/t.parquet], validation: [{tmp_path}/v.parquet], "
        f"test: [{tmp_path}/x.parquet]}}\nevaluate: {{split: test}}\n"
    )
    plan = planned(written(tmp_path, text), tmp_path / "out")
    assert list(plan) == ["evaluate/base"]
    assert plan["evaluate/base"].inputs["problems"] == tmp_path / "x.parquet"
    assert plan["evaluate/base"].settings["model"] == "owner/m"


def test_several_datasets_are_mixed(tmp_path: Path) -> None:
    text = (
        "model: owner/m\nrecipe: tiny_cpu\ndata: {datasets: {mbpp: {limit: 3}, apps: {}}, shares: {apps: 0.5}, "
        "mix: {decontaminate: true}}\ntrain:\nevaluate: {split: test, models: [base]}\n"
    )
    plan = planned(written(tmp_path, text), tmp_path / "out")
    mixed = parse(plan["data/mixed"].command)
    assert mixed["shares"] == "mbpp=1,apps=0.5" and mixed["decontaminate"]
    assert parse(plan["train"].command)["train"] == str(tmp_path / "out/data/mixed/train.parquet")
    assert [
        path.parent.name for path in plan["evaluate/base"].inputs.values() if path.suffix == ".parquet"
    ] == [
        "mbpp",
        "apps",
    ]


def test_where_a_sandbox_is_changes_no_result(tmp_path: Path) -> None:
    def settings(text: str) -> dict[str, Any]:
        path = written(tmp_path, f"model: owner/m\ndata: {{datasets: {{mbpp: {text}}}}}\n")
        return planned(path, tmp_path / "out")["data/mbpp"].settings

    assert settings("{sandbox_url: 'http://a:1'}") == settings("{}") != settings("{limit: 3}")


def test_a_teacher_that_runs_programs_is_given_the_tools_and_the_problems(tmp_path: Path) -> None:
    found = planned(EXAMPLES / "qwen.yaml", tmp_path / "out")["teacher"]
    options = parse(found.command)
    assert [str(path) for path in options["problems"]] == [str(tmp_path / "out/data/mbpp/train.parquet")]
    assert found.inputs["problems"] == tmp_path / "out/data/mbpp/train.parquet"
    assert options["model"] == found.settings["model"] == "Qwen/Qwen3-32B-FP8"


def test_traces_go_to_a_recipe_that_learns_from_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "recipe_settings", composed_traces)
    text = (EXAMPLES / "tiny.yaml").read_text().replace("train:\n", "train:\n  teacher_traces: true\n")
    task = planned(written(tmp_path, text), tmp_path / "out")["train"]
    traces = tmp_path / "out" / "teacher" / "traces.parquet"
    assert f"verl_coder.teacher.traces='{traces}'" in task.command
    assert task.inputs["traces"] == traces


@pytest.mark.parametrize("name", ["lr=1e-4", "runs (1)", "it's [mine]", "a: b"])
def test_a_folder_of_any_name_holds_the_traces(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "recipe_settings", composed_traces)
    text = (EXAMPLES / "tiny.yaml").read_text().replace("train:\n", "train:\n  teacher_traces: true\n")
    task = planned(written(tmp_path, text), tmp_path / name)["train"]
    assert task.inputs["traces"] == tmp_path / name / "teacher" / "traces.parquet"


def test_a_path_with_a_comma_is_refused_where_commas_separate_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"train: .*/a,b/data/sample/train\.parquet has a comma"):
        planned(EXAMPLES / "tiny.yaml", tmp_path / "a,b")


def test_traces_that_are_there_already_are_the_same_for_sft_and_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks, "recipe_settings", composed_traces)
    mine = tmp_path / "mine.parquet"
    mine.touch()
    text = (EXAMPLES / "tiny.yaml").read_text().replace("train:\n", "train:\n  teacher_traces: true\n")
    plan = planned(
        written(tmp_path, text.replace("tiny: {problems: 256}", f"file: {mine}")), tmp_path / "out"
    )
    assert "teacher" not in plan
    assert plan["sft"].inputs["traces"] == plan["train"].inputs["traces"] == mine
    assert f"verl_coder.teacher.traces='{mine}'" in plan["train"].command


@pytest.mark.parametrize(
    "key", ["verl_coder.teacher.traces", "data.custom_cls.path", "actor_rollout_ref.model.hf_config_path"]
)
def test_a_file_that_the_recipe_or_an_override_names_counts_by_its_content(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine"
    mine.touch()
    monkeypatch.setitem(RECIPE, key, str(mine))
    assert mine in planned(EXAMPLES / "tiny.yaml", tmp_path / "out")["train"].inputs.values()


def test_traces_of_the_recipes_own_may_be_made_by_its_prepare_and_those_of_the_teacher_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RECIPE, "verl_coder.teacher.traces", str(tmp_path / "none.parquet"))
    assert planned(EXAMPLES / "tiny.yaml", tmp_path / "out")["train"].may_be_absent == ("traces",)
    ours = tmp_path / "out" / "teacher" / "traces.parquet"
    monkeypatch.setitem(RECIPE, "verl_coder.teacher.traces", str(ours))
    assert not planned(EXAMPLES / "tiny.yaml", tmp_path / "out")["train"].may_be_absent


def test_every_stage_has_its_tasks() -> None:
    assert set(STAGES) == set(tasks_of.__globals__["_STAGES"])


def test_sft_and_evaluation_have_the_chat_template_of_the_recipe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = RECIPE | {"data.apply_chat_template_kwargs.enable_thinking": False}
    monkeypatch.setattr(tasks, "recipe_settings", lambda request, cache: dict(settings))
    found = planned(EXAMPLES / "tiny.yaml", tmp_path / "out")
    for name in ("sft", "evaluate/base", "evaluate/trained"):
        assert parse(found[name].command)["chat_template_kwargs"] == '{"enable_thinking": false}', name
        assert '{"enable_thinking": false}' in found[name].settings.values(), name


@pytest.mark.parametrize("text", ["a." * 200, "a/\0b", "./nowhere.parquet"])
def test_a_text_that_can_be_no_path_is_a_setting(text: str) -> None:
    assert tasks.path_inputs({"extra": text}) == {}
    assert tasks.settings_of({"extra": text}) == {"extra": text}


PARQUET = ("train", "validation", "test")


def made(folder: Path, *splits: str, text: str = "rows") -> Path:
    """A folder as `data prepare` leaves it, of files that hold a text."""
    folder.mkdir(parents=True, exist_ok=True)
    for split in splits:
        (folder / f"{split}.parquet").write_text(text)
    return folder


def test_a_mix_is_of_rows_and_not_of_the_times_in_a_card(tmp_path: Path) -> None:
    path = written(tmp_path, "model: owner/m\ndata: {datasets: {mbpp: {}, apps: {}}}\n")
    out = tmp_path / "out"
    made(out / "data" / "mbpp", *PARQUET)
    made(out / "data" / "apps", "train", "validation")

    def digests() -> dict[str, str | None]:
        return digests_of(planned(path, out)["data/mixed"], tmp_path)

    first = digests()
    (out / "data" / "mbpp" / "card.json").write_text("wall_s: 3")
    (out / "data" / "apps" / "verdicts.jsonl").write_text("seconds: 3")
    assert digests() == first
    made(out / "data" / "mbpp", "test", text="others")
    assert {name for name, digest in digests().items() if digest != first[name]} == {"mbpp test"}


def test_a_mix_reads_the_held_out_rows_that_it_is_compared_with(tmp_path: Path) -> None:
    path = written(tmp_path, "model: owner/m\ndata: {datasets: {mbpp: {}, apps: {}}}\n")
    held_out = made(tmp_path / "out" / "data" / "humaneval", "test")
    inputs = planned(path, tmp_path / "out")["data/mixed"].inputs
    assert inputs["humaneval test"] == held_out / "test.parquet"
    assert inputs["apps train"].name == "train.parquet"  # not there yet: without it there is no mix


def test_a_dataset_of_held_out_rows_alone_is_a_dataset(tmp_path: Path) -> None:
    task = planned(
        written(tmp_path, "model: owner/m\ndata: {datasets: {humaneval: {}}}\nevaluate: {split: test}\n"),
        tmp_path / "out",
    )["data/humaneval"]
    made(tmp_path / "out" / "data" / "humaneval", "test")
    assert products_of(task, tmp_path / "out", Digests(tmp_path / "cache.json"))


@pytest.mark.parametrize("name", ["mbpp_raw", "./mbpp_raw"])
def test_a_local_source_counts_by_its_content(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mbpp_raw").mkdir()
    (tmp_path / "mbpp_raw" / "a.jsonl").write_text("{}")
    path = written(tmp_path, f"model: owner/m\ndata: {{datasets: {{mbpp: {{source: {name}}}}}}}\n")
    before = digests_of(planned(path, tmp_path / "out")["data/mbpp"], tmp_path)
    (tmp_path / "mbpp_raw" / "a.jsonl").write_text("{ }")
    assert digests_of(planned(path, tmp_path / "out")["data/mbpp"], tmp_path) != before


def test_a_path_of_an_option_needs_no_slash_and_a_word_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("held_out", "easy"):
        (tmp_path / name).mkdir()
    text = "data: {datasets: {mbpp: {}, apps: {difficulty: easy}}, mix: {against: [held_out]}}"
    plan = planned(written(tmp_path, f"model: owner/m\n{text}\n"), tmp_path / "out")
    assert plan["data/mixed"].inputs["against 1"] == Path("held_out")
    assert plan["data/apps"].settings["difficulty"] == "easy"


def test_a_dataset_by_its_path_is_written_below_out_and_by_its_name(tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text((repository_root() / "data_prep" / "sample.py").read_text())
    out = tmp_path / "out"
    text = f"model: owner/m\nrecipe: tiny_cpu\ndata: {{datasets: {{mbpp: {{}}, {mine}: {{}}}}}}\ntrain:\n"
    plan = planned(written(tmp_path, text), out)
    assert parse(plan["data/mine"].command)["out"] == out / "data" / "mine"
    assert parse(plan["data/mixed"].command)["shares"] == "mbpp=1,mine=1"
    assert plan["data/mine"].inputs["its data_prep file"] == mine
    one = planned(written(tmp_path, text.replace("mbpp: {}, ", "")), out)
    assert parse(one["train"].command)["train"] == str(out / "data/mine/train.parquet")


def test_every_file_of_a_report_is_its_product(tmp_path: Path) -> None:
    out = tmp_path / "out"
    task = planned(EXAMPLES / "tiny.yaml", out)["report"]
    (out / "report" / "data").mkdir(parents=True)
    for name in ("index.html", "page.css", "data/site.js", "data/index.js"):
        (out / "report" / name).touch()
    products = products_of(task, out, Digests(tmp_path / "cache.json"))
    assert products is not None
    assert {"report/page.css", "report/data/index.js", "report/data/site.js"} <= set(products)


def test_a_report_shows_the_comparison_that_it_is_made_after(tmp_path: Path) -> None:
    out = tmp_path / "out"
    plan = planned(EXAMPLES / "tiny.yaml", out)
    assert plan["report"].inputs["comparison"] == parse(plan["evaluate/compare"].command)["out"]
    assert plan["report"].inputs["comparison"] == out / plan["evaluate/compare"].products[0]
    text = "model: owner/m\ndata: {datasets: {sample: {}}}\nevaluate: {models: [base]}\nreport:\n"
    one = planned(written(tmp_path, text), out)
    assert "evaluate/compare" not in one and "comparison" not in one["report"].inputs


def test_repairs_are_of_all_shards(tmp_path: Path) -> None:
    out = tmp_path / "out"
    folder = out / "data" / "mbpp"
    made(folder, "train-00000-of-00002", "train-00001-of-00002")
    text = "model: owner/m\ndata: {datasets: {mbpp: {rows_per_shard: 3}}}\nteacher: {repairs: {}}\nsft:\n"
    task = planned(written(tmp_path, text), out)["teacher"]
    assert parse(task.command)["problems"] == folder / "train.parquet"  # which stands for its shards
    assert {"problems 1", "problems 2"} <= set(task.inputs)


def test_repairs_of_several_files_are_refused(tmp_path: Path) -> None:
    for name in ("a", "b", "v"):
        (tmp_path / f"{name}.parquet").touch()
    data = (
        f"data: {{train: [{tmp_path}/a.parquet, {tmp_path}/b.parquet], validation: [{tmp_path}/v.parquet]}}"
    )
    with pytest.raises(ConfigError, match=r"data\.train names 2 files, and teacher\.repairs reads one"):
        planned(
            written(tmp_path, f"model: owner/m\n{data}\nteacher: {{repairs: {{}}}}\nsft:\n"), tmp_path / "out"
        )


def test_the_rows_of_an_earlier_yaml_may_be_replaced_where_the_dataset_asks(tmp_path: Path) -> None:
    text = "model: owner/m\ndata: {datasets: {mbpp: {source: mbpp.jsonl}, sample: {}}}\n"
    plan = planned(written(tmp_path, text), tmp_path / "out")
    assert "--replace" in plan["data/mbpp"].command and "--replace" not in plan["data/sample"].command
