"""The data of a run, its reward, its tools: each is tried with the others before Ray starts."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from omegaconf import DictConfig

from verl_coder.errors import ConfigError, DataError
from verl_coder.launch.preflight.agent_loops import check_agent_loops
from verl_coder.launch.preflight.reward import check_reward
from verl_coder.launch.preflight.rows import (
    check_rows,
    fit_epochs,
    load_tokenizer,
    one_row_per_source,
    repeated,
)
from verl_coder.launch.preflight.tools import check_tools
from verl_coder.launch.recipe import file_list
from verl_coder.problems import ROW_SCHEMA


def check_data(config: DictConfig, *, data_is_there: bool, model_is_there: bool = True) -> tuple[str, ...]:
    """Raise what is wrong with tools, agent loops, reward or rows; lines about the rows for the user.

    The epochs of `config` are made to last for its steps (rows.fit_epochs), and its prompts are counted with the tools
    only where its rows have them (agent_loops.fit_tools_to_rows).
    """
    rollout = config.actor_rollout_ref.rollout
    turns = rollout.multi_turn
    check_tools(turns.tool_config_path, turns.max_tool_response_length)
    files = _data_files(config) if data_is_there else []
    check_agent_loops(rollout.agent.agent_loop_config_path, turns.tool_config_path, files)
    return _check_rows_and_reward(config, files, model_is_there=model_is_there)


def _data_files(config: DictConfig) -> list[Path]:
    """All data files of the run, each of which has the columns of a row."""
    files = []
    for name in ("train_files", "val_files"):
        paths = file_list(config.data[name])
        check_parquet(f"data.{name}", paths)
        files += paths
    return files


def _check_rows_and_reward(
    config: DictConfig, files: Sequence[Path], *, model_is_there: bool
) -> tuple[str, ...]:
    """The reward on rows of this data, then every row for this reward and this model."""
    if not files:
        check_reward(config)
        if model_is_there:
            load_tokenizer(config)
        return ()
    grades = check_reward(config, one_row_per_source(files))
    if not model_is_there:
        return ()
    lengths = check_rows(config, tests_are_parsed=grades)
    notes = [f"{found.place}: {found.describe()}" for found in lengths.values()]
    few = [found for found in lengths.values() if 2 * found.kept < len(found.tokens)]
    notes += [f"warning: {found.place}: most prompts are left out; {found.cure()}" for found in few]
    notes += [f"warning: {words}" for words in repeated(lengths["train"], lengths["val"])]
    epochs = fit_epochs(config, lengths["train"])
    return (*notes, *([epochs] if epochs else []))


def check_parquet(place: str, paths: list[Path]) -> None:
    """Files must exist and have the columns of a row (see problems.ROW_SCHEMA)."""
    if not paths:
        raise ConfigError(f"{place} is empty: name a Parquet file (TRAIN=, VAL=)")
    for path in paths:
        if not path.is_file():
            raise DataError(
                f"{place}: {path} is a folder: name the Parquet files in it, with commas between"
                if path.is_dir()
                else f"{place}: no file {path} (`verl-coder data prepare` makes one; a path: TRAIN=, VAL=)"
            )
        try:
            columns = pq.read_schema(path)
        except Exception as error:
            raise DataError(
                f"{place}: {path} is not a Parquet file ({str(error).splitlines()[0]})"
            ) from error
        missing = [name for name in ROW_SCHEMA.names if name not in columns.names]
        if missing:
            raise DataError(
                f"{place}: {path} lacks the column {missing[0]!r}; it has {', '.join(columns.names)} "
                "(make it with `verl-coder data prepare` or data_prep/)"
            )
        if odd := odd_column(columns):
            raise DataError(f"{place}: {path}: {odd} (`verl-coder data prepare` writes the right types)")


def odd_column(schema: pa.Schema) -> str:
    """The first column whose type is not a row's, in words; empty where all are. What is null is said of its row."""
    prompt = schema.field("prompt").type
    if not (_is_list(prompt) and pa.types.is_struct(prompt.value_type)):
        return f"column 'prompt' is of type {prompt}: give a list of {{role, content}}"
    for name, needed in (("reward_model", "ground_truth"), ("extra_info", "")):
        kind = schema.field(name).type
        fields = [kind.field(i).name for i in range(kind.num_fields)] if pa.types.is_struct(kind) else []
        if not pa.types.is_null(kind) and (not fields or (needed and needed not in fields)):
            return f"column {name!r} is of type {kind}: give a struct{' with ' + needed if needed else ''}"
    for name in ("data_source", "agent_name"):
        kind = schema.field(name).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not (pa.types.is_null(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)):
            return f"column {name!r} is of type {kind}: give texts"
    return ""


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))
