"""What `verl-coder evaluate` was asked for -> everything that is fixed before a model is loaded, checked."""

import datetime
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from verl_coder.chat_template import options_of_run, template_options
from verl_coder.data.prepared import find_prepared
from verl_coder.errors import ConfigError
from verl_coder.evaluation.engines import served_model
from verl_coder.evaluation.model_source import ModelSource, find_model, positions_of
from verl_coder.evaluation.pass_at_k import reported_ks
from verl_coder.evaluation.problem_set import Choice, ProblemSet, load_problems
from verl_coder.evaluation.run_config import (
    NUMBER_FORMATS,
    agent_loops_of,
    multi_turn_of,
    number_format,
    run_config,
    shipped_agent_loops,
    speculation_of,
)
from verl_coder.evaluation.session import Draws
from verl_coder.evaluation.tool_choice import chosen_tools, protocol_and_tools
from verl_coder.evaluation.trajectories import Limits
from verl_coder.model_digest import folder_digest

DTYPES = ("auto", *NUMBER_FORMATS)
_DEFAULT_LIMITS = Limits(prompt_tokens=4096, response_tokens=4096, turns=10)
_UNBOUNDED = 1 << 40


@dataclass(frozen=True, kw_only=True)
class EvaluationRequest:
    """Options of the command; None is the run's value (of the model, or of --like), else the default."""

    model: str
    data: tuple[str, ...] = ()
    out: str | None = None
    tools: str | None = None
    protocol: str | None = None
    like: str | None = None
    n: int = 1
    k: tuple[int, ...] | None = None
    temperature: float | None = None
    retry_temperature: float | None = None
    top_p: float = 1.0
    top_k: int = -1
    seed: int = 0
    max_prompt_tokens: int | None = None
    max_response_tokens: int | None = None
    max_turns: int | None = None
    stop_after_code: bool | None = None
    limit: int | None = None
    difficulty: str | None = None
    tag: str | None = None
    date_from: str | None = None
    date_to: str | None = None
    served_model: str | None = None
    tokenizer: str | None = None
    chat_template_kwargs: str | None = None
    dtype: str = "auto"
    speculation: str = "none"


@dataclass(frozen=True, kw_only=True)
class EvaluationPlan:
    """A checked request."""

    request: EvaluationRequest
    model: ModelSource
    problems: ProblemSet
    tools: Path | None
    limits: Limits
    draws: Draws
    ks: list[int]
    out: Path
    template_options: dict[str, Any]
    """Of the chat template, as the run had them (`data.apply_chat_template_kwargs`) where none are given."""
    agent_loops: Path
    """The YAML of the agent loops, the run's where there is one."""
    multi_turn: dict[str, Any]
    """How these are set, by the run or by config/base.yaml."""
    served_model: str | None = None
    """Of an endpoint."""

    def settings(self) -> dict[str, Any]:
        """What the samples depend on, as it was first looked at: another value of it belongs into another folder."""
        return dict(self._settings)

    @cached_property
    def _settings(self) -> dict[str, Any]:
        # Once: a model or a file of tools that is changed or removed meanwhile is not that of the samples.
        request, retries = self.request, self.draws.retry_temperature
        return {
            "model": self.model.name,
            "model_digest": self.model.digest(),
            "served_model": self.served_model,
            "tokenizer_digest": folder_digest(Path(request.tokenizer)) if request.tokenizer else None,
            "data": [str(path) for path in self.problems.files],
            "data_digest": self.problems.digest,
            "num_tasks": len(self.problems.problems),
            "chat_template_kwargs": self.template_options or None,
            "protocol": request.protocol or "as the rows say",
            "tools": str(self.tools) if self.tools else None,
            "tools_text": self.tools.read_text(encoding="utf-8") if self.tools else None,
            "agent_loops_text": _other_text(self.agent_loops),
            "multi_turn": self._other_turns(),
            "n": self.draws.samples,
            "temperature": self.draws.temperature,
            **({"retry_temperature": retries} if retries is not None else {}),
            "top_p": self.draws.top_p,
            "top_k": self.draws.top_k,
            "seed": self.draws.seed,
            "max_prompt_tokens": self.limits.prompt_tokens,
            "max_response_tokens": self.limits.response_tokens,
            "max_turns": self.limits.turns,
            **({"stop_after_code": True} if self.limits.stop_after_code else {}),
            "dtype": request.dtype,
            "difficulty": request.difficulty,
            "tag": request.tag,
            "date_from": request.date_from,
            "date_to": request.date_to,
            "k": self.ks,
        }

    def _other_turns(self) -> dict[str, Any] | None:
        """What of `multi_turn` is set otherwise than without a run; None where nothing is."""
        usual = multi_turn_of(None)
        return {name: value for name, value in self.multi_turn.items() if value != usual.get(name)} or None


def check_settings(request: EvaluationRequest) -> None:
    """ConfigError for the first value that no evaluation takes, whatever its model, rows and folder are."""
    reported_ks(request.k, request.n)
    for option, day in (("--from", request.date_from), ("--to", request.date_to)):
        _day(option, day)
    _draws(request)
    if request.dtype not in DTYPES:
        raise ConfigError(f"--dtype {request.dtype}: there are {', '.join(DTYPES)}")
    speculation_of(request.speculation)


def plan_evaluation(request: EvaluationRequest) -> EvaluationPlan:
    """Check everything that can be checked without loading a model; ConfigError or DataError says what is wrong."""
    check_settings(request)
    ks = reported_ks(request.k, request.n)
    request = replace(
        request, date_from=_day("--from", request.date_from), date_to=_day("--to", request.date_to)
    )
    draws = _draws(request)
    model = _model(request)
    served = (request.served_model or served_model(model.name)) if model.kind == "endpoint" else None
    run = run_config(model, request.like)
    if model.kind != "endpoint":
        request = replace(request, dtype=number_format(request.dtype, run))
    files = [find_prepared(path) for path in request.data] or _held_out(run)
    protocol, tools = protocol_and_tools(request.protocol, request.tools, run, files)
    choice = Choice(
        limit=request.limit,
        difficulty=request.difficulty,
        tag=request.tag,
        date_from=request.date_from,
        date_to=request.date_to,
        protocol=protocol,
    )
    problems = load_problems(files, choice)
    loops = agent_loops_of(run)
    tools = chosen_tools(tools, protocol, [posed.problem for posed in problems.problems], loops)
    limits = _limits(request, run, model)
    return EvaluationPlan(
        request=request,
        model=model,
        problems=problems,
        tools=tools,
        limits=limits,
        draws=draws,
        ks=ks,
        template_options=_template_options(request, run),
        agent_loops=loops,
        multi_turn=multi_turn_of(run),
        out=Path(request.out) if request.out else _default_out(model, served, files, protocol, request),
        served_model=served,
    )


def _model(request: EvaluationRequest) -> ModelSource:
    """The model, and what an endpoint needs or does not take."""
    model, guesses = find_model(request.model), speculation_of(request.speculation)
    if model.kind != "endpoint":
        return model
    if not request.tokenizer:
        raise ConfigError(
            f"--model {request.model} is an endpoint: name the folder of its tokenizer with --tokenizer, since the "
            "loops speak in tokens"
        )
    if guesses:
        raise ConfigError(
            f"--speculation {request.speculation}: that is a setting of the server {request.model}"
        )
    return model


def _day(option: str, value: str | None) -> str | None:
    """The day as YYYY-MM-DD, however ISO 8601 writes it: dates are compared as texts."""
    try:
        return datetime.date.fromisoformat(value).isoformat() if value else None
    except ValueError as error:
        raise ConfigError(f"{option} {value}: a day as YYYY-MM-DD, such as 2024-08-01") from error


def _draws(request: EvaluationRequest) -> Draws:
    if request.n < 1:
        raise ConfigError(f"--n {request.n}: at least one sample a problem")
    temperature = request.temperature if request.temperature is not None else (0.0 if request.n == 1 else 1.0)
    for option, value in (
        ("--temperature", temperature),
        ("--retry-temperature", request.retry_temperature or 0.0),
    ):
        if value < 0:
            raise ConfigError(f"{option} {value:g}: use a number of 0 or more; 0 is greedy")
        if not math.isfinite(value):
            raise ConfigError(f"{option} {value:g}: a finite number, such as 1")
    if not 0 < request.top_p <= 1:
        raise ConfigError(f"--top-p {request.top_p:g}: above 0, and at most 1, which is all tokens")
    if request.top_k < -1:
        raise ConfigError(f"--top-k {request.top_k}: a number of tokens, or -1, which is all of them")
    if temperature == 0 and request.n > 1:
        raise ConfigError(
            f"--temperature {temperature:g} with --n {request.n}: greedy answers begin all the same, so take --n 1, or "
            "a temperature above 0"
        )
    return Draws(
        samples=request.n,
        temperature=temperature,
        top_p=request.top_p,
        top_k=request.top_k,
        seed=request.seed,
        retry_temperature=request.retry_temperature,
    )


def _held_out(run: DictConfig | None) -> list[Path]:
    if run is None:
        raise ConfigError(
            "--data is missing: name a Parquet file of problems (verl-coder data prepare --help)"
        )
    value = OmegaConf.select(run, "data.val_files")
    if not value:
        raise ConfigError(
            "--data is missing, and the run's data.val_files is empty: name a Parquet file of problems"
        )
    return [find_prepared(str(path)) for path in (value if OmegaConf.is_list(value) else [value])]


def _other_text(agent_loops: Path) -> str | None:
    """The text of a YAML of agent loops that is not the shipped one."""
    text = agent_loops.read_text(encoding="utf-8")
    return None if text == shipped_agent_loops().read_text(encoding="utf-8") else text


def _template_options(request: EvaluationRequest, run: DictConfig | None) -> dict[str, Any]:
    if request.chat_template_kwargs is not None or run is None:
        return template_options(request.chat_template_kwargs)
    return options_of_run(run)


def _limits(request: EvaluationRequest, run: DictConfig | None, model: ModelSource) -> Limits:
    default = _DEFAULT_LIMITS
    if run is not None:
        turns = OmegaConf.select(run, "actor_rollout_ref.rollout.multi_turn.max_assistant_turns")
        default = Limits(
            prompt_tokens=int(run.data.max_prompt_length),
            response_tokens=int(run.data.max_response_length),
            turns=int(turns or _DEFAULT_LIMITS.turns),
            stop_after_code=bool(OmegaConf.select(run, "verl_coder.stop_after_code", default=False)),
        )
    longest = positions_of(model)
    # A quarter is for prompts of which nothing is known; a run's own fit its model.
    for_prompts = longest if longest is None or run is not None else longest // 4
    prompt_tokens = request.max_prompt_tokens or min(
        default.prompt_tokens, for_prompts or default.prompt_tokens
    )
    room = (longest or _UNBOUNDED) - prompt_tokens
    response_tokens = request.max_response_tokens or min(default.response_tokens, room)
    if response_tokens > room or room < 1:
        raise ConfigError(
            f"--max-prompt-tokens {prompt_tokens} and --max-response-tokens {response_tokens} are more than the "
            f"{longest} positions of {model.name}"
        )
    return Limits(
        prompt_tokens=prompt_tokens,
        response_tokens=response_tokens,
        turns=request.max_turns or default.turns,
        stop_after_code=(
            default.stop_after_code if request.stop_after_code is None else request.stop_after_code
        ),
    )


def _default_out(
    model: ModelSource,
    served: str | None,
    files: Sequence[Path],
    protocol: str | None,
    request: EvaluationRequest,
) -> Path:
    name = "-".join(
        part
        for part in (
            "eval",
            (served or model.name).rstrip("/").rpartition("/")[2].replace("@", "-step"),
            files[0].parent.name,
            files[0].stem,
            protocol or "",
            f"n{request.n}",
        )
        if part
    )
    return Path(os.environ.get("VERL_CODER_OUTPUTS", "outputs")) / name
