"""The options of `verl-coder teacher generate`, named as the fields of `GenerateOptions`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

if TYPE_CHECKING:
    from verl_coder.teacher.options import GenerateOptions

_Mode = Literal["row", "plain", "tool", "program", "session", "debugger", "debugger_late"]
_Keep = Literal["passing", "all", "best-of-n"]
_Thinking = Literal["on", "off", "unset"]
_Option = typer.Option

Problems = Annotated[list[Path], _Option(help="Parquet file of problems (data prepare); repeatable.")]
Out = Annotated[Path, _Option(help="Parquet file of the traces.")]
BaseUrl = Annotated[
    list[str] | None,
    _Option(help="Server, up to /v1; repeatable. Default: $TEACHER_URL, else http://127.0.0.1:8129/v1"),
]
Model = Annotated[str, _Option(help="Name under which the server offers the teacher.")]
Tools = Annotated[
    Path | None, _Option(help="YAML of the tools. Default: the shipped one that the rows need.")
]
ModeOption = Annotated[_Mode, _Option(help="Protocol of the traces; row takes that of each problem.")]
NumSamples = Annotated[int, _Option(min=1, help="Samples of a problem.")]
MaxTasks = Annotated[int | None, _Option(min=1, help="Only so many problems, the hardest.")]
_KEEP = "Which samples become traces: those that pass every hidden test, all, or the one of a problem that passes most."
KeepOption = Annotated[_Keep, _Option(help=_KEEP)]
PerProblem = Annotated[int, _Option(min=1, help="Most traces of one problem.")]
MaxTurns = Annotated[int, _Option(min=1, help="Most turns of the teacher in one trace.")]
LearnFailures = Annotated[bool, _Option("--learn-failures", help="Learn turns whose program failed, too.")]
InFlight = Annotated[int, _Option(min=1, help="Requests at a time.")]
Temperature = Annotated[float, _Option(help="Of the sampling.")]
TopP = Annotated[float, _Option(help="Of the sampling.")]
PresencePenalty = Annotated[float, _Option(help="Of the sampling.")]
MaxTokens = Annotated[
    int, _Option(min=1, help="Longest answer, with its thinking; a longer one is a failure.")
]
ThinkingOption = Annotated[
    _Thinking, _Option(help="enable_thinking of the chat template; unset sends nothing.")
]
Seed = Annotated[int | None, _Option(help="Seed of the first sample of a problem, sent to the server.")]
Extra = Annotated[
    str, _Option(help='Further fields of a request, as a JSON object: {"top_k": 20}; null removes one.')
]
StructuredCalls = Annotated[
    bool, _Option(help="The server parses tool calls; --no-structured-calls reads them from the text.")
]
TimeoutS = Annotated[float, _Option(help="Seconds for one answer.")]
MaxAttempts = Annotated[int, _Option(min=1, help="Attempts at one answer.")]
MaxRequests = Annotated[int | None, _Option(min=1, help="Budget of requests, earlier starts included.")]
MaxTotalTokens = Annotated[int | None, _Option(min=1, help="Budget of tokens, of prompts and answers.")]
MaxCost = Annotated[float | None, _Option(help="Budget of money, in the currency of the prices.")]
PriceIn = Annotated[float, _Option(help="Price of a million tokens of prompts.")]
PriceOut = Annotated[float, _Option(help="Price of a million tokens of answers.")]
JournalOption = Annotated[Path | None, _Option(help="File of all answers. Default: OUT with .journal.jsonl")]
SandboxUrl = Annotated[
    str | None, _Option(help="Sandboxes, comma-separated. Default: SANDBOX_URL, else start one.")
]
Concurrency = Annotated[int, _Option(min=0, help="Programs at a time in a sandbox; 0 is twice the cores.")]
TestConnection = Annotated[bool, _Option("--test-connection", help="Ask one small question, and end.")]


def generate(
    problems: Problems,
    out: Out,
    model: Model,
    base_url: BaseUrl = None,
    tools: Tools = None,
    mode: ModeOption = "row",
    num_samples: NumSamples = 8,
    max_tasks: MaxTasks = None,
    keep: KeepOption = "passing",
    per_problem: PerProblem = 4,
    max_turns: MaxTurns = 4,
    learn_failures: LearnFailures = False,
    in_flight: InFlight = 32,
    temperature: Temperature = 0.7,
    top_p: TopP = 0.8,
    presence_penalty: PresencePenalty = 1.5,
    max_tokens: MaxTokens = 8192,
    thinking: ThinkingOption = "on",
    seed: Seed = None,
    extra: Extra = "",
    structured_calls: StructuredCalls = True,
    timeout_s: TimeoutS = 600.0,
    max_attempts: MaxAttempts = 10,
    max_requests: MaxRequests = None,
    max_total_tokens: MaxTotalTokens = None,
    max_cost: MaxCost = None,
    price_in: PriceIn = 0.0,
    price_out: PriceOut = 0.0,
    journal: JournalOption = None,
    sandbox_url: SandboxUrl = None,
    concurrency: Concurrency = 0,
    test_connection: TestConnection = False,
) -> None:
    """Ask a teacher's server for traces, run and grade them, and keep those worth learning from.

    The key is taken from TEACHER_API_KEY, else OPENAI_API_KEY. The same command goes on where it was stopped.
    """
    _run(**locals())


def generate_options(**values: Any) -> "GenerateOptions":
    """What `generate` was given, checked: ConfigError."""
    from verl_coder.teacher.options import GenerateOptions

    default_url = os.environ.get("TEACHER_URL") or "http://127.0.0.1:8129/v1"
    values["problems"] = tuple(values["problems"])
    values["base_url"] = tuple(values["base_url"] or (url.strip() for url in default_url.split(",")))
    return GenerateOptions(**values)


def _run(*, test_connection: bool, **values: Any) -> None:
    from verl_coder.teacher.generate_terminal import show_connection, show_generate

    options = generate_options(**values)
    if test_connection:
        show_connection(options)
        return
    report = show_generate(options)
    if report.interrupted:
        raise typer.Exit(130)
