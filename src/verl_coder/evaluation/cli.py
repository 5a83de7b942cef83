"""`verl-coder evaluate`."""

import os
import shutil
from typing import Annotated

import typer

from verl_coder.errors import ConfigError

app = typer.Typer(add_completion=False)


@app.command()
def run(
    model: Annotated[
        str,
        typer.Option(
            help="Model folder, run (outputs/run, outputs/run@8, outputs/run@best), LoRA adapter, hub name, or URL "
            "of an OpenAI-compatible server (http://host:8000/v1)."
        ),
    ],
    data: Annotated[
        list[str] | None,
        typer.Option(help="Parquet file or prepared folder; may be given again. Default: the run's."),
    ] = None,
    out: Annotated[
        str | None, typer.Option(help="Folder of the evaluation. The same command goes on in it.")
    ] = None,
    tools: Annotated[
        str | None,
        typer.Option(help="YAML of tool_config/, or `none`. Default: the run's, or as the rows need."),
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option(help="none, tool, program, program_one_shot, evalplus. Default: as the rows say."),
    ] = None,
    like: Annotated[
        str | None, typer.Option(help="Run whose data, tools and limits are taken where none are given.")
    ] = None,
    n: Annotated[int, typer.Option("--n", "-n", help="Samples a problem; 1 is greedy.")] = 1,
    k: Annotated[
        str | None,
        typer.Option("--k", help="Comma-separated k of pass@k. Default: 1,5,10,25,50,100 up to n."),
    ] = None,
    temperature: Annotated[float | None, typer.Option(help="Default: 0 with --n 1, else 1.")] = None,
    top_p: Annotated[float, typer.Option(min=0, max=1, help="Nucleus of the draws.")] = 1.0,
    top_k: Annotated[int, typer.Option(help="Tokens to draw from; -1 is all.")] = -1,
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 0,
    max_prompt_tokens: Annotated[int | None, typer.Option(min=1, help="Default 2048, or the run's.")] = None,
    max_response_tokens: Annotated[
        int | None, typer.Option(min=1, help="Of all turns and tool outputs. Default 4096, or the run's.")
    ] = None,
    max_turns: Annotated[
        int | None, typer.Option(min=1, help="Of the model. Default 10, or the run's.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many problems.")] = None,
    difficulty: Annotated[str | None, typer.Option(help="Only problems of this difficulty.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only problems with this tag.")] = None,
    date_from: Annotated[
        str | None, typer.Option("--from", help="Only problems published from this day on (YYYY-MM-DD).")
    ] = None,
    date_to: Annotated[
        str | None, typer.Option("--to", help="Only problems published up to this day.")
    ] = None,
    concurrency: Annotated[int | None, typer.Option(min=1, help="Samples in work at a time.")] = None,
    dtype: Annotated[
        str,
        typer.Option(
            help="auto (bfloat16; float32 where a CPU has no bfloat16), bfloat16, float16, float32."
        ),
    ] = "auto",
    tensor_parallel: Annotated[int, typer.Option(min=1, help="GPUs for one model.")] = 1,
    served_model: Annotated[str | None, typer.Option(help="Name of the model at an endpoint.")] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="Folder of the tokenizer of an endpoint's model.")
    ] = None,
    sandbox_url: Annotated[
        str | None, typer.Option(help="Default: SANDBOX_URL, else one of its own.")
    ] = None,
    export: Annotated[
        list[str] | None, typer.Option(help="evalplus, livecodebench: also write its format.")
    ] = None,
) -> None:
    """Answer problems, grade the answers, and say pass@k: evaluation_results.json and samples.parquet in --out."""
    _choose_platform()
    from rich.console import Console

    from verl_coder.evaluation.evaluate import evaluate
    from verl_coder.evaluation.export_formats import EXPORTS
    from verl_coder.evaluation.request import EvaluationRequest, plan_evaluation
    from verl_coder.evaluation.samples import read_samples
    from verl_coder.evaluation.tables import print_results

    unknown = [name for name in export or () if name not in EXPORTS]
    if unknown:
        raise ConfigError(f"--export {unknown[0]}: there are {', '.join(EXPORTS)}")
    request = EvaluationRequest(
        model=model, data=tuple(data or ()), out=out, tools=tools, protocol=protocol, like=like, n=n, k=_ks(k),
        temperature=temperature, top_p=top_p, top_k=top_k, seed=seed, max_prompt_tokens=max_prompt_tokens,
        max_response_tokens=max_response_tokens, max_turns=max_turns, limit=limit, difficulty=difficulty, tag=tag,
        date_from=date_from, date_to=date_to, served_model=served_model, tokenizer=tokenizer, dtype=dtype,
    )  # fmt: skip
    console = Console()
    plan = plan_evaluation(request)
    try:
        results = evaluate(
            plan,
            console,
            concurrency=concurrency or _default_concurrency(),
            sandbox_url=sandbox_url,
            tensor_parallel=tensor_parallel,
        )
    except KeyboardInterrupt:
        console.print(f"interrupted; the same command goes on from the samples in {plan.out}", soft_wrap=True)
        raise typer.Exit(130) from None
    print_results(results, console)
    for name in export or ():
        write, file = EXPORTS[name]
        console.print(
            f"{name}: {write(read_samples(plan.out / 'samples.parquet'), plan.out / file)}", soft_wrap=True
        )
    console.print(f"results: {plan.out / 'evaluation_results.json'}", soft_wrap=True)


def _ks(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"--k {text}: whole numbers with commas between, such as 1,5,10") from error


def _choose_platform() -> None:
    """The CPU where there is no GPU; its key-value cache is larger than a training run's."""
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if os.environ.get("PROFILE") == "cpu" or shutil.which("nvidia-smi") is None:
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")
        from verl_coder.platform.environment import select_cpu_platform

        select_cpu_platform()


def _default_concurrency() -> int:
    from verl_coder.platform.environment import cpu_platform_selected

    return 128 if cpu_platform_selected() else 512
