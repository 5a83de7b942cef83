"""The data of a run, its reward, its tools: each is tried with the others before Ray starts."""

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from verl_coder.launch.preflight.agent_loops import check_agent_loops, renamed_tools
from verl_coder.launch.preflight.files import check_parquet
from verl_coder.launch.preflight.places import check_tools_sandboxes
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


def check_data(config: DictConfig, *, data_is_there: bool, model_is_there: bool = True) -> tuple[str, ...]:
    """Raise what is wrong with tools, agent loops, reward or rows; lines about the rows for the user.

    The epochs of `config` are made to last for its steps (rows.fit_epochs), and its prompts are counted with the tools
    only where its rows have them (agent_loops.fit_tools_to_rows).
    """
    rollout = config.actor_rollout_ref.rollout
    turns = rollout.multi_turn
    tools = check_tools(turns.tool_config_path, turns.max_tool_response_length)
    files = _data_files(config) if data_is_there else []
    loops = rollout.agent
    check_agent_loops(loops.agent_loop_config_path, tools, files, default=loops.default_agent_loop)
    notes = _check_rows_and_reward(config, files, model_is_there=model_is_there)
    check_tools_sandboxes(tools)
    return (*notes, *(f"warning: {words}" for words in renamed_tools(tools, files)))


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
