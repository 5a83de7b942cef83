"""`verl-coder sft`: fine-tune a model on traces, before reinforcement learning."""

from pathlib import Path
from typing import Annotated

import typer

from verl_coder.chat_template import HELP as CHAT_TEMPLATE_HELP
from verl_coder.command_app import command_app
from verl_coder.consoles import PlainConsole
from verl_coder.platform.environment import choose_profile
from verl_coder.sft.settings import SftRequest

app = command_app(help=__doc__)

_Model = Annotated[str, typer.Option(help="Folder or hub name of the model.")]
_Traces = Annotated[Path, typer.Option(help="Parquet file of problem_id and messages.")]
_Out = Annotated[Path, typer.Option(help="Folder of the run; the model is in OUT/model.")]
_ValShare = Annotated[float, typer.Option(help="Share of the traces held out, by whole problems.")]
_Validation = Annotated[
    Path | None, typer.Option(help="Parquet file of held-out traces, instead of a share.")
]
_Tools = Annotated[
    str | None, typer.Option(help="YAML of the RL run's tools, which its prompt describes; or none.")
]
_Epochs = Annotated[int, typer.Option(help="Passes over the traces.")]
_BatchSize = Annotated[int, typer.Option(help="Traces a step.")]
_MicroTokens = Annotated[
    int | None, typer.Option(help="Tokens in one pass; default 8192 on a GPU, 2048 on a CPU.")
]
_LearningRate = Annotated[
    float | None, typer.Option(help="Highest learning rate; default 1e-5, with LoRA 1e-4.")
]
_LoraRank = Annotated[
    int, typer.Option(help="Rank of an adapter on all linear layers; 0: all parameters learn.")
]
_LoraAlpha = Annotated[int | None, typer.Option(help="Of the adapter; default twice its rank.")]
_Keep = Annotated[str, typer.Option(help="best (lowest held-out loss of all evaluations) or last.")]
_CpuNumbers = Annotated[
    str, typer.Option(help="Of products on a CPU: float32, or bfloat16 where the processor has them.")
]
_MaxPrompt = Annotated[int, typer.Option(help="Longer prompts are left out, in tokens.")]
_MaxResponse = Annotated[int, typer.Option(help="Longer responses are left out.")]
_Template = Annotated[str | None, typer.Option(help=CHAT_TEMPLATE_HELP)]
_Seed = Annotated[int, typer.Option(help="Seed of the held-out share and the data order.")]
_Profile = Annotated[str | None, typer.Option(help="cpu or gpu; default $PROFILE, else what is here.")]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything, start nothing.")]
_MemoryCheck = Annotated[bool, typer.Option(help="Refuse what does not fit into memory.")]


@app.command(context_settings={"allow_extra_args": True}, options_metavar="[OPTIONS] [KEY=VALUE]...")
def sft(
    context: typer.Context,
    model: _Model,
    traces: _Traces,
    out: _Out,
    val_share: _ValShare = 0.05,
    validation: _Validation = None,
    tools: _Tools = None,
    epochs: _Epochs = 3,
    batch_size: _BatchSize = 32,
    micro_tokens: _MicroTokens = None,
    learning_rate: _LearningRate = None,
    lora_rank: _LoraRank = 0,
    lora_alpha: _LoraAlpha = None,
    keep: _Keep = "best",
    cpu_numbers: _CpuNumbers = "float32",
    max_prompt_length: _MaxPrompt = 1024,
    max_response_length: _MaxResponse = 2048,
    chat_template_kwargs: _Template = None,
    seed: _Seed = 0,
    profile: _Profile = None,
    dry_run: _DryRun = False,
    memory_check: _MemoryCheck = True,
) -> None:
    """Fine-tune a model on traces with verl's SFT trainer; further arguments are Hydra overrides (key=value)."""
    options = {**context.params, "profile": choose_profile(profile), "overrides": tuple(context.args)}
    for name in ("dry_run", "memory_check"):
        options.pop(name)
    _start(SftRequest(**options), dry_run=dry_run, memory_check=memory_check)


def _start(request: SftRequest, *, dry_run: bool, memory_check: bool) -> None:

    from verl_coder.launch.supervise import Interrupted
    from verl_coder.platform.environment import select_cpu_platform

    if request.profile == "cpu":
        select_cpu_platform()
    from verl_coder.sft.run import run

    try:
        run(request, PlainConsole(), dry_run=dry_run, memory_check=memory_check)
    except Interrupted as signal_name:
        typer.echo(f"stopped by {signal_name}; the same command goes on from the last checkpoint", err=True)
        raise typer.Exit(130) from None
