"""Every row is read before Ray starts; prompts are counted with the model's own template."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import DictConfig, OmegaConf

from verl_coder.errors import ConfigError, DataError
from verl_coder.launch.plan import TrainRequest, make_plan
from verl_coder.launch.preflight.agent_loops import check_agent_loops
from verl_coder.launch.preflight.checked_tools import CheckedTools
from verl_coder.launch.preflight.files import check_parquet
from verl_coder.launch.preflight.rows import Lengths, check_rows, fit_epochs, read_rows, repeated
from verl_coder.problems import ROW_SCHEMA, FunctionCase, FunctionTests, Problem


def problem(index: int, statement: str = "Write f.") -> dict[str, Any]:
    """A row of the data."""
    return Problem(
        data_source="sample",
        problem_id=f"sample/{index}",
        prompt=({"role": "user", "content": statement},),
        tests=FunctionTests(entry_point="f", tests=(FunctionCase(args=[1], expected=1),)),
        split="train",
        index=index,
    ).to_row()


Configure = Callable[..., DictConfig]


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> DictConfig:
    return make_plan(TrainRequest(recipe="tiny_cpu", out=str(tmp_path_factory.mktemp("out")))).config


@pytest.fixture
def configure(planned: DictConfig, tmp_path: Path) -> Configure:
    """`configure(rows, override, ...)`: the smallest recipe on these rows, in batches of 4."""

    def with_rows(rows: list[dict[str, Any]], *overrides: str) -> DictConfig:
        path = tmp_path / "rows.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema=ROW_SCHEMA), path)
        config = OmegaConf.merge(planned, OmegaConf.from_dotlist(["data.train_batch_size=4", *overrides]))
        assert isinstance(config, DictConfig)
        config.data.train_files = config.data.val_files = [str(path)]
        return config

    return with_rows


def broken(what: Callable[[dict[str, Any]], Any]) -> list[dict[str, Any]]:
    """Eight rows, of which 5 and 6 are changed."""
    rows = [problem(index) for index in range(8)]
    what(rows[5])
    what(rows[6])
    return rows


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda row: row["reward_model"].update(ground_truth="{no"), "is not JSON"),
        (lambda row: row["reward_model"].update(ground_truth=None), "ground_truth is null"),
        (lambda row: row["reward_model"].update(ground_truth='{"style": "x"}'), "style is 'x'"),
        (lambda row: row.update(prompt=[]), "prompt is empty"),
        (
            lambda row: row["prompt"][0].update(content="Print <|im_end|>."),
            "holds '<.im_end.>', a control token",
        ),
        (lambda row: row.update(prompt=[{"role": "user", "content": None}]), "content is None"),
        (lambda row: row.update(prompt=[{"role": "user", "content": ""}]), "no text in any message"),
        (lambda row: row.update(data_source=None), "data_source is null"),
    ],
)
def test_bad_rows_are_named_and_counted(configure: Configure, change: Any, words: str) -> None:
    with pytest.raises(
        DataError, match=rf"rows.parquet row 5 \(sample/5\): .*{words}.* 2 of 8 rows are bad \(5, 6\)"
    ):
        check_rows(configure(broken(change)), tests_are_parsed=True)


COLUMNS = {
    "prompt": [("Write f.", r"type string: give a list of {role, content}"), (["a"], "give a list of {role")],
    "reward_model": [
        ("x", "give a struct with ground_truth"),
        ({"style": "rule"}, "a struct with ground_truth"),
    ],
    "extra_info": [("x", "give a struct"), (["x"], "give a struct")],
    "data_source": [(5, "int64: give texts")],
    "agent_name": [(5, "int64: give texts")],
}


@pytest.mark.parametrize(
    ("name", "value", "words"), [(name, *case) for name, cases in COLUMNS.items() for case in cases]
)
def test_a_column_of_another_type_is_named(tmp_path: Path, name: str, value: Any, words: str) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist([problem(0) | {name: value}]), path)
    with pytest.raises(DataError, match=rf"data.train_files: .*column '{name}' is of .*{words}") as caught:
        check_parquet("data.train_files", [path])
    assert "\n" not in str(caught.value)


def test_columns_as_other_libraries_write_them_pass(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    rows = pa.Table.from_pylist([problem(0) | {"extra_info": None}])
    place = rows.schema.get_field_index("data_source")
    pq.write_table(rows.set_column(place, "data_source", rows["data_source"].dictionary_encode()), path)
    check_parquet("data.train_files", [path])


def test_a_file_with_damaged_pages_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    rows = pa.Table.from_pylist([problem(index) for index in range(64)], schema=ROW_SCHEMA)
    pq.write_table(rows, path, compression="zstd", use_dictionary=False)
    whole = path.read_bytes()
    for start in range(4, len(whole) // 2, 50):
        path.write_bytes(whole[:start] + bytes(50) + whole[start + 50 :])
        for read in (lambda: list(read_rows(path)), lambda: check_agent_loops(None, CheckedTools(), [path])):
            try:
                read()
            except DataError as error:
                assert "\n" not in str(error)


def test_a_folder_in_the_place_of_a_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is a folder: name the Parquet files in it"):
        check_parquet("data.train_files", [tmp_path])


def test_what_is_there_twice_is_told(configure: Configure) -> None:
    lengths = check_rows(configure([problem(0)] * 4), tests_are_parsed=True)
    words = repeated(lengths["train"], lengths["val"])
    assert words[0].startswith("data.val_files: 4 of 4 prompts are in data.train_files, too")
    assert words[1:] == [
        f"data.{name}_files: 3 of 4 rows have another row's prompt" for name in ("train", "val")
    ]


def test_rows_that_differ_are_not_told(configure: Configure) -> None:
    lengths = check_rows(configure([problem(i, f"Write f{i}.") for i in range(4)]), tests_are_parsed=True)
    other = Lengths(place="x", tokens=[1], limit=2, filtered=True, digests=[hash("another")])
    assert repeated(lengths["train"], other) == []


@pytest.mark.parametrize("template", ["{% for x", "{{ raise_exception('no') }}"])
def test_a_template_that_renders_nothing_is_one_line(configure: Configure, template: str) -> None:
    config = configure([problem(index) for index in range(4)])
    config.actor_rollout_ref.model.custom_chat_template = template
    with pytest.raises(DataError, match="template renders no prompt of it") as caught:
        check_rows(config, tests_are_parsed=True)
    assert "\n" not in str(caught.value)


def test_a_reward_of_ones_own_may_have_tests_of_its_own(configure: Configure) -> None:
    rows = broken(lambda row: row["reward_model"].update(ground_truth="42"))
    assert check_rows(configure(rows), tests_are_parsed=False)["train"].kept == 8


def test_prompts_are_counted_and_how_many_stay_is_told(configure: Configure) -> None:
    rows = [problem(0, "Write f. " * 40), *(problem(index) for index in range(1, 8))]
    train = check_rows(configure(rows), tests_are_parsed=True)["train"]
    assert (train.kept, len(train.tokens)) == (7, 8)
    assert "7 of 8 rows stay" in train.describe()


def test_too_few_prompts_are_refused_with_the_limits_that_would_do(configure: Configure) -> None:
    rows = [problem(index, "Write f. " * (index + 1)) for index in range(8)]
    config = configure(rows, "data.max_prompt_length=2")
    with pytest.raises(ConfigError, match=r"0 of 8 prompts fit data.max_prompt_length=2") as caught:
        check_rows(config, tests_are_parsed=True)
    override = str(caught.value).split(": ")[2].split(" keeps 4")[0]
    config = OmegaConf.merge(config, OmegaConf.from_dotlist(override.split()))
    assert check_rows(config, tests_are_parsed=True)["train"].kept >= 4


def test_limits_that_would_do_are_whole_overrides_and_none_is_above_the_models_positions() -> None:
    lengths = Lengths(place="x", tokens=[*range(10, 110, 10)], limit=5, filtered=True)
    assert lengths.cure(least=2) == (
        "data.max_prompt_length=20 keeps 2, data.max_prompt_length=90 keeps 90 %, data.max_prompt_length=100 keeps all"
    )
    place = "actor_rollout_ref.rollout.max_model_len"
    window = replace(lengths, response=50, room=95)
    assert window.cure(least=2) == (
        f"data.max_prompt_length=20 {place}=70 keeps 2, data.max_prompt_length=90 {place}=140 keeps 90 %, "
        f"data.max_prompt_length=95 {place}=145 keeps 9 of 10, as many as MODEL has positions for beside the response"
    )
    assert replace(lengths, room=8).cure(least=2) == (
        "none fits into what MODEL has positions for beside the response"
    )


def test_long_prompts_that_are_not_filtered_are_refused(configure: Configure) -> None:
    config = configure([problem(0)] * 4, "data.max_prompt_length=2", "data.filter_overlong_prompts=false")
    with pytest.raises(ConfigError, match="4 of 4 prompts are longer"):
        check_rows(config, tests_are_parsed=True)


@pytest.mark.parametrize(("steps", "epochs", "then"), [(10, 1, (10, 5)), (4, 2, (4, 2)), (None, 3, (6, 3))])
def test_the_epochs_last_for_the_steps(
    planned: DictConfig, steps: Any, epochs: int, then: tuple[int, int]
) -> None:
    config = OmegaConf.create(OmegaConf.to_container(planned))
    config.data.train_batch_size = 4
    config.trainer.total_training_steps, config.trainer.total_epochs = steps, epochs
    note = fit_epochs(config, Lengths(place="x", tokens=[1] * 9, limit=2, filtered=True))
    assert (config.trainer.total_training_steps, config.trainer.total_epochs) == then
    assert bool(note) == (epochs != then[1])


@pytest.mark.parametrize(("shuffle", "seed"), [(False, 1), (True, 1), (True, 7), (True, None)])
def test_of_rows_that_are_drawn_those_that_fit_make_the_epochs(
    planned: DictConfig, shuffle: bool, seed: int | None
) -> None:
    """verl draws `train_max_samples` rows and leaves out long prompts afterwards."""
    config = OmegaConf.create(OmegaConf.to_container(planned))
    config.data.update({"train_batch_size": 2, "train_max_samples": 50, "shuffle": shuffle, "seed": seed})
    config.trainer.total_training_steps, config.trainer.total_epochs = 100, 1
    tokens = [1, 1, 3] * 30
    fit_epochs(config, Lengths(place="x", tokens=tokens, limit=2, filtered=True))
    drawn = np.random.default_rng(seed).choice(90, size=50, replace=False) if shuffle else range(50)
    stay = 20 if seed is None else sum(tokens[row] == 1 for row in drawn)
    assert config.trainer.total_epochs == -(-100 // (stay // 2))


def test_prompts_are_counted_with_the_tools_only_where_a_rows_agent_loop_describes_them(
    configure: Configure,
) -> None:
    rows = [problem(index) for index in range(4)]
    template = "{% if tools %}1 2 3 4 5 6 7 8 9{% endif %}{{ messages[0]['content'] }}"
    lengths = {}
    for name in ("tool_agent", "feedback_agent"):
        config = configure([{**row, "agent_name": name} for row in rows])
        config.actor_rollout_ref.model.custom_chat_template = template
        lengths[name] = check_rows(config, tests_are_parsed=True)["train"].tokens
    assert max(lengths["feedback_agent"]) < min(lengths["tool_agent"])
