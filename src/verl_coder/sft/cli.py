"""`verl-coder sft`: fine-tune a model on traces, before reinforcement learning."""

from pathlib import Path
from typing import Annotated

import typer

from verl_coder.chat_template import HELP as CHAT_TEMPLATE_HELP
from verl_coder.platform.environment import choose_profile
from verl_coder.sft.settings import SftRequest

app = typer.Typer(add_completion=False, help=__doc__)


@app.command(context_settings={"allow_extra_args": True})
def sft(
    context: typer.Context,
    model: Annotated[str, typer.Option(help="Folder or hub name of the model.")],
    traces: Annotated[Path, typer.Option(help="Parquet file of problem_id and messages.")],
    out: Annotated[Path, typer.Option(help="Folder of the run; the model is in OUT/model.")],
    val_share: Annotated[float, typer.Option(help="Share of the traces held out, by whole problems.")] = 0.05,
    validation: Annotated[
        Path | None, typer.Option(help="Parquet file of held-out traces, instead of a share.")
    ] = None,
    tools: Annotated[
        str | None, typer.Option(help="YAML of the RL run's tools, which its prompt describes; or none.")
    ] = None,
    epochs: Annotated[int, typer.Option(help="Passes over the traces.")] = 3,
    batch_size: Annotated[int, typer.Option(help="Traces a step.")] = 32,
    micro_tokens: Annotated[
        int | None, typer.Option(help="Tokens in one pass; default 8192 on a GPU, 2048 on a CPU.")
    ] = None,
    learning_rate: Annotated[float, typer.Option(help="Highest learning rate.")] = 1e-5,
    max_prompt_length: Annotated[int, typer.Option(help="Longer prompts are left out, in tokens.")] = 1024,
    max_response_length: Annotated[int, typer.Option(help="Longer responses are left out.")] = 2048,
    chat_template_kwargs: Annotated[str | None, typer.Option(help=CHAT_TEMPLATE_HELP)] = None,
    seed: Annotated[int, typer.Option(help="Seed of the held-out share and the data order.")] = 0,
    profile: Annotated[
        str | None, typer.Option(help="cpu or gpu; default $PROFILE, else what is here.")
    ] = None,
) -> None:
    """Fine-tune a model on traces with verl's SFT trainer; further arguments are Hydra overrides (key=value)."""
    request = SftRequest(
        model=model,
        traces=traces,
        out=out,
        val_share=val_share,
        validation=validation,
        tools=tools,
        epochs=epochs,
        batch_size=batch_size,
        micro_tokens=micro_tokens,
        learning_rate=learning_rate,
        max_prompt_length=max_prompt_length,
        max_response_length=max_response_length,
        chat_template_kwargs=chat_template_kwargs,
        seed=seed,
        profile=choose_profile(profile),
        overrides=tuple(context.args),
    )
    _start(request)


def _start(request: SftRequest) -> None:
    from rich.console import Console

    from verl_coder.launch.supervise import Interrupted
    from verl_coder.platform.environment import select_cpu_platform

    if request.profile == "cpu":
        select_cpu_platform()
    from verl_coder.sft.run import run

    try:
        run(request, Console())
    except Interrupted as signal_name:
        typer.echo(f"stopped by {signal_name}; the same command starts again from the model", err=True)
        raise typer.Exit(130) from None
