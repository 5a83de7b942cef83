"""Which command does which part of a pipeline, and which of its options the pipeline itself gives."""

from collections.abc import Callable
from dataclasses import dataclass

from verl_coder.cli import train
from verl_coder.data.cli import mix
from verl_coder.data.dataset import load_dataset_file
from verl_coder.data.script import script_command
from verl_coder.evaluation.cli import run as evaluate
from verl_coder.pipeline.options import Command, command_options
from verl_coder.sft.cli import sft
from verl_coder.teacher.cli import repairs
from verl_coder.teacher.generate_cli import generate
from verl_coder.tiny.cli import traces


@dataclass(frozen=True, kw_only=True)
class PartCommand:
    """A command of `verl-coder`, called for a section of the pipeline's YAML."""

    words: tuple[str, ...]
    """Behind `verl-coder`."""
    function: Command
    own: frozenset[str]
    """Options that the pipeline gives: places, and what is stated once for all stages."""


def _part(words: str, function: Callable[..., None], own: str) -> PartCommand:
    given = frozenset(own.split())
    assert given <= set(command_options(function)), (
        f"{words}: no option {given - set(command_options(function))}"
    )
    return PartCommand(words=tuple(words.split()), function=function, own=given)


MIX = _part("data mix", mix, "shares out data seed")
TEACHERS = {
    "generate": _part("teacher generate", generate, "problems out tools seed test_connection journal"),
    "repairs": _part("teacher repairs", repairs, "problems out tools seed"),
    "tiny": _part("tiny traces", traces, "out seed"),
}
"""By the key of `teacher:`."""
SFT = _part(
    "sft",
    sft,
    "model traces out tools max_prompt_length max_response_length chat_template_kwargs seed profile dry_run",
)
TRAIN = _part("train", train, "recipe model train val tools out seed dry_run new_wandb_run")
EVALUATE = _part(
    "evaluate",
    evaluate,
    "model data out tools like max_prompt_tokens max_response_tokens max_turns seed tokenizer served_model "
    "chat_template_kwargs",
)


def dataset_command(name: str) -> PartCommand:
    """`verl-coder data prepare NAME`; DataError where there is no such dataset."""
    function = script_command(load_dataset_file(name))
    own = {"out", "seed", "protocol", "replace"} & set(command_options(function))
    return PartCommand(words=("data", "prepare", name), function=function, own=frozenset(own))
