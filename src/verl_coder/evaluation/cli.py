"""`verl-coder evaluate`."""

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from verl_coder.chat_template import HELP as CHAT_TEMPLATE_HELP
from verl_coder.command_app import command_app
from verl_coder.consoles import table_console
from verl_coder.errors import ConfigError
from verl_coder.protocols import EVALPLUS, PROTOCOLS

if TYPE_CHECKING:
    ProtocolName = str
else:
    ProtocolName = Literal[(*PROTOCOLS, EVALPLUS)]  # which typer shows as the choice

app = command_app()


def _option(help: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, **more)


_Model = Annotated[
    str,
    _option(
        "Model folder, run (outputs/run, outputs/run@8, outputs/run@best), LoRA adapter, hub name, or URL of an "
        "OpenAI-compatible server (http://host:8000/v1)."
    ),
]
_Data = Annotated[
    list[str] | None, _option("Parquet file or prepared folder; may be given again. Default: the run's.")
]
_Out = Annotated[str | None, _option("Folder of the evaluation. The same command goes on in it.")]
_Tools = Annotated[
    str | None, _option("YAML of tool_config/, or `none`. Default: the run's, or as the rows need.")
]
_Protocol = Annotated[
    ProtocolName | None,
    _option(
        f"Of docs/prompts.md ({', '.join(PROTOCOLS)}), or evalplus. Default: as the rows say, or as the tools need.",
        metavar="PROTOCOL",
    ),
]
_Like = Annotated[str | None, _option("Run whose data, tools and limits are taken where none are given.")]
_N = Annotated[int, _option("Samples a problem; 1 is greedy.", "--n", "-n")]
_K = Annotated[str | None, _option("Comma-separated k of pass@k. Default: 1,5,10,25,50,100 up to n.")]
_Temperature = Annotated[float | None, _option("Default: 0 with --n 1, else 1.")]
_RetryTemperature = Annotated[
    float | None,
    _option(
        "Of every turn behind the first: a greedy model that is told of its error mostly writes the same again. "
        "Default: that of the first."
    ),
]
_TopP = Annotated[float, _option("Nucleus of the draws, above 0; 1 is all tokens.", min=0, max=1)]
_TopK = Annotated[int, _option("Tokens to draw from; -1 is all.")]
_Seed = Annotated[int, _option("Seed of the draws.", min=0)]
_MaxPrompt = Annotated[
    int | None,
    _option(
        "Default 4096 (MBPP's longest has 3,761; at most a quarter of the model's positions), or the run's.",
        min=1,
    ),
]
_MaxResponse = Annotated[
    int | None, _option("Of all turns and tool outputs. Default 4096, or the run's.", min=1)
]
_MaxTurns = Annotated[int | None, _option("Of the model. Default 10, or the run's.", min=1)]
_Limit = Annotated[int | None, _option("Only the first so many problems.", min=1)]
_Difficulty = Annotated[str | None, _option("Only problems of this difficulty.")]
_Tag = Annotated[str | None, _option("Only problems with this tag.")]
_StopAfterCode = Annotated[
    bool | None, _option("An answer of one turn ends with its first block of code. Default: as in the run.")
]
_From = Annotated[str | None, _option("Only problems published from this day on (YYYY-MM-DD).", "--from")]
_To = Annotated[str | None, _option("Only problems published up to this day.", "--to")]
_Concurrency = Annotated[int | None, _option("Samples in work at a time.", min=1)]
_Dtype = Annotated[
    str,
    _option(
        "auto (that of the run; without one bfloat16, and float32 where a CPU has no bfloat16), "
        "bfloat16, float16, float32."
    ),
]
_Speculation = Annotated[
    str,
    _option(
        "none, or lookup: guess tokens that stand in the text before (config/speculation). Samples are of the same "
        "distribution."
    ),
]
_TensorParallel = Annotated[int, _option("GPUs for one model.", min=1)]
_Served = Annotated[str | None, _option("Name of the model at an endpoint.")]
_Tokenizer = Annotated[str | None, _option("Folder of the tokenizer of an endpoint's model.")]
_Template = Annotated[str | None, _option(f"{CHAT_TEMPLATE_HELP} Default: the run's.")]
_Sandbox = Annotated[str | None, _option("Default: SANDBOX_URL, else one of its own.")]
_Export = Annotated[list[str] | None, _option("evalplus, livecodebench: also write its format.")]


@app.command()
def run(
    context: typer.Context,
    model: _Model,
    data: _Data = None,
    out: _Out = None,
    tools: _Tools = None,
    protocol: _Protocol = None,
    like: _Like = None,
    n: _N = 1,
    k: _K = None,
    temperature: _Temperature = None,
    retry_temperature: _RetryTemperature = None,
    top_p: _TopP = 1.0,
    top_k: _TopK = -1,
    seed: _Seed = 0,
    max_prompt_tokens: _MaxPrompt = None,
    max_response_tokens: _MaxResponse = None,
    max_turns: _MaxTurns = None,
    stop_after_code: _StopAfterCode = None,
    limit: _Limit = None,
    difficulty: _Difficulty = None,
    tag: _Tag = None,
    date_from: _From = None,
    date_to: _To = None,
    concurrency: _Concurrency = None,
    dtype: _Dtype = "auto",
    speculation: _Speculation = "none",
    tensor_parallel: _TensorParallel = 1,
    served_model: _Served = None,
    tokenizer: _Tokenizer = None,
    chat_template_kwargs: _Template = None,
    sandbox_url: _Sandbox = None,
    export: _Export = None,
) -> None:
    """Answer problems, grade the answers, and say pass@k: evaluation_results.json and samples.parquet in --out."""
    options, more = _split(context.params)
    _choose_platform()
    _carry_out(options, **more)


def _split(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(what an EvaluationRequest takes, how it is carried out)."""
    options = {**given, "data": tuple(given["data"] or ()), "k": _ks(given["k"])}
    more = {name: options.pop(name) for name in ("concurrency", "tensor_parallel", "sandbox_url", "export")}
    return options, more


def check_options(given: Mapping[str, Any]) -> None:
    """ConfigError for the first option that no evaluation takes, whatever its model, rows and folder are."""
    from verl_coder.evaluation.export_formats import check_exports
    from verl_coder.evaluation.request import EvaluationRequest, check_settings

    options, more = _split(given)
    check_settings(EvaluationRequest(**options))
    check_exports(more["export"] or ())


def _carry_out(
    options: dict[str, Any],
    *,
    concurrency: int | None,
    tensor_parallel: int,
    sandbox_url: str | None,
    export: list[str] | None,
) -> None:

    from verl_coder.evaluation.evaluate import evaluate
    from verl_coder.evaluation.export_formats import EXPORTS, check_exports
    from verl_coder.evaluation.folder import RESULTS, SAMPLES
    from verl_coder.evaluation.request import EvaluationRequest, plan_evaluation
    from verl_coder.evaluation.samples import read_samples
    from verl_coder.evaluation.tables import print_results

    check_exports(export or ())
    console = table_console()
    plan = plan_evaluation(EvaluationRequest(**options))
    check_exports(export or (), [posed.problem.problem_id for posed in plan.problems.problems])
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
        written = write(read_samples(plan.out / SAMPLES), plan.out / file)
        console.print(f"{name}: {written}", soft_wrap=True)
    console.print(f"results: {plan.out / RESULTS}", soft_wrap=True)


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
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # vLLM tells there how it binds memory
    os.environ.setdefault("VERL_LOGGING_LEVEL", "CRITICAL")  # a model's broken calls are counted, not logged
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")
    from verl_coder.platform.environment import select_platform

    select_platform()


def _default_concurrency() -> int:
    from verl_coder.platform.environment import cpu_platform_selected

    return 128 if cpu_platform_selected() else 512
