"""The files that a run is given, looked at before verl and torch are imported: wrong ones are refused in seconds."""

from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from omegaconf import DictConfig, OmegaConf

from verl_coder.data.replacing import refuse_half_written
from verl_coder.errors import ConfigError, DataError
from verl_coder.launch.preflight.model import check_model
from verl_coder.launch.recipe import file_list
from verl_coder.paths import check_loss_file, check_reward_file, check_tools_file, is_hub_name
from verl_coder.problems import ROW_SCHEMA


def check_files(config: DictConfig, to_come: Collection[Path] = ()) -> None:
    """ConfigError or DataError where a file that the run reads is not there, or is no Parquet file of rows.

    `to_come`: those that the start makes, if they are not there yet.
    """
    if not is_hub_name(model := str(config.actor_rollout_ref.model.path)):
        check_model(model)
    if tools := config.actor_rollout_ref.rollout.multi_turn.tool_config_path:
        check_tools_file(Path(tools), f"TOOLS: {tools}")
    if reward := config.reward.custom_reward_function.path:
        check_reward_file(Path(reward), f"REWARD: {reward}")
    if loss := OmegaConf.select(config, "verl_coder.policy_loss.path"):
        check_loss_file(Path(loss), f"LOSS: {loss}")
    for name in ("train_files", "val_files"):
        paths = file_list(config.data[name])
        there = [path for path in paths if path.is_file() or path not in to_come]
        if there or not paths:
            check_parquet(f"data.{name}", there)


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
        refuse_half_written(path.parent)
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
