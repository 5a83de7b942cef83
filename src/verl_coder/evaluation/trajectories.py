"""Trajectories by the agent loops of training, in this process: the loop's server is an engine, there is no Ray.

A loop asks its server manager for each turn (`generate`), and knows nothing else of how tokens are made; tools, turn
limits and the tokens of tool results are the loop's own, so a problem is answered here as in a rollout.
"""

import contextlib
import io
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from omegaconf import OmegaConf

from verl_coder.errors import BrokenAnswerError, ConfigError, DataError, SandboxUnavailableError
from verl_coder.evaluation.engines import Engine, TurnRequest, WrittenTurn
from verl_coder.evaluation.loop_registry import registry
from verl_coder.evaluation.protocol import Posed
from verl_coder.importing import exits_refused
from verl_coder.paths import check_tools_file
from verl_coder.protocols import agent_tags, appended_tags, closed_call, describes_tools
from verl_coder.sandbox.answering import split_given
from verl_coder.server_answers import is_whole


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Of one trajectory, in tokens and turns; as in a recipe."""

    prompt_tokens: int
    response_tokens: int
    """All turns and tool results together."""
    turns: int
    """Of the model; a call in the last one is not run."""
    stop_after_code: bool = False
    """An answer of one turn ends with its first block of code."""


@dataclass(frozen=True, kw_only=True)
class DrawSettings:
    """How tokens are drawn; temperature 0 is greedy."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = -1
    retry_temperature: float | None = None
    """Of every turn behind the first; None: the same as that one's."""
    seed: int | None = None

    def temperature_of(self, turn: int) -> float:
        """Of the turn with this number, from 0."""
        return self.temperature if not turn or self.retry_temperature is None else self.retry_temperature


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """What one loop made of one problem."""

    prompt: str
    output: str
    """Decoded, special tokens kept."""
    answer: str
    """Decoded without special tokens: what the reward functions get."""
    prompt_tokens: int
    response_tokens: int
    generated_tokens: int
    turns: int
    tool_calls: int
    valid_tool_calls: int
    tool_successes: int
    finish_reason: str
    seconds: float


class AgentLoops:
    """verl's agent loops and ours (config/agent_loops.yaml), with one set of tools and one engine."""

    engine: Engine
    """Set before the first run; what can be wrong without it is said before a model is loaded."""

    def __init__(
        self,
        *,
        model_folder: Path,
        limits: Limits,
        tools: Path | None,
        agent_loops: Path,
        multi_turn: Mapping[str, Any],
        template_options: Mapping[str, Any] | None = None,
    ) -> None:
        """`template_options` go to the model's chat template; `agent_loops` is the YAML of the loops, as they are set.

        ConfigError where the model has no chat template or the YAML of tools cannot be loaded.
        """
        self.tokenizer = load_tokenizer(model_folder)
        self._limits = limits
        self._model_type = _model_type(model_folder)
        self._tools = _load_tools(tools)
        self._template_options = dict(template_options or {})
        self._config = _loop_config(limits, self._template_options, multi_turn)
        self._registry = registry(agent_loops)

    def check_prompts(self, problems: Iterable[Posed]) -> None:
        """DataError for a problem without an agent loop, or whose prompt is longer than the limit."""
        schemas = [tool.tool_schema.model_dump(exclude_unset=True, exclude_none=True) for tool in self._tools]
        for posed in problems:
            problem = posed.problem
            if problem.agent_name not in self._registry:
                raise DataError(
                    f"{problem.problem_id}: agent_name is {problem.agent_name!r}; there are "
                    f"{', '.join(sorted(self._registry))}"
                )
            try:
                ids = self.tokenizer.apply_chat_template(
                    [dict(message) for message in problem.prompt],
                    tools=schemas if schemas and describes_tools(problem.agent_name) else None,
                    add_generation_prompt=True,
                    return_dict=False,
                    **self._template_options,
                )
            except (TypeError, ValueError, KeyError, AttributeError, TemplateError) as error:
                raise DataError(
                    f"{problem.problem_id}: the model's template renders no prompt of it ({error})"
                ) from error
            if len(ids) > self._limits.prompt_tokens:
                raise DataError(
                    f"{problem.problem_id}: its prompt has {len(ids)} tokens, and the limit is "
                    f"{self._limits.prompt_tokens}: raise --max-prompt-tokens"
                )

    def tools_sandboxes(self) -> list[str]:
        """Addresses of the sandboxes that the YAML of tools names of its own."""
        settings = [getattr(tool, "settings", None) for tool in self._tools]
        return [url for one in settings for url in split_given(getattr(one, "sandbox_url", None))]

    async def run(self, posed: Posed, sampling: DrawSettings) -> Trajectory:
        """Answer one problem.

        SandboxUnavailableError where a tool got no answer from its sandbox, BrokenAnswerError where a turn was broken
        off, or a call of a tool hung.
        """
        from verl.experimental.agent_loop.agent_loop import DictConfigWrap, ToolListWrap

        problem = posed.problem
        server = _LoopServer(self.engine, self._limits, posed, sampling, self.tokenizer)
        loop = self._registry[problem.agent_name](
            trainer_config=DictConfigWrap(self._config),
            server_manager=server,
            tokenizer=self.tokenizer,
            processor=None,
            hf_model_type=self._model_type,
            dataset_cls=None,
            data_config=DictConfigWrap(self._config.data),
            tools=ToolListWrap(self._tools),
        )
        row = problem.to_row()
        started = time.monotonic()
        output = await loop.run(
            {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": sampling.top_k},
            raw_prompt=row["prompt"],
            tools_kwargs=row["extra_info"]["tools_kwargs"],
            extra_info=row["extra_info"],
        )
        seconds = time.monotonic() - started
        if output.extra_fields.get("end_reason") == "hung_call":
            raise BrokenAnswerError("a call of a tool did not end within call_deadline_s of its agent loop")
        if output.extra_fields.get("tool_sandbox_unavailable"):
            fault = output.extra_fields.get("tool_sandbox_fault") or output.extra_fields.get("end_reason")
            raise SandboxUnavailableError(
                f"{problem.problem_id}: a tool got no answer from its sandbox: {fault}"
            )
        return self._trajectory(posed, server, output, seconds)

    def _trajectory(self, posed: Posed, server: "_LoopServer", output: Any, seconds: float) -> Trajectory:
        fields, response = output.extra_fields, list(output.response_ids)
        valid = int(fields.get("tool_calls", 0))
        written = server.calls_written(agent_tags(posed.problem.agent_name))
        return Trajectory(
            prompt=self.tokenizer.decode(output.prompt_ids),
            output=posed.prefill + self.tokenizer.decode(response),
            answer=posed.prefill + self.tokenizer.decode(response, skip_special_tokens=True),
            prompt_tokens=len(output.prompt_ids),
            response_tokens=len(response),
            generated_tokens=sum(map(len, server.turns)),
            turns=len(server.turns),
            tool_calls=max(written, valid),
            valid_tool_calls=valid,
            tool_successes=int(fields.get("tool_successes", 0)),
            finish_reason=self._finish_reason(server, fields.get("end_reason", "")),
            seconds=seconds,
        )

    def _finish_reason(self, server: "_LoopServer", end_reason: str) -> str:
        if server.finish_reasons[-1:] == ["length"]:
            return "length"
        if end_reason == "answer":
            return "stop"  # an answer may speak of a call's tags
        # The last allowed turn may hold the answer: whether it calls says more than that no turn is left.
        if end_reason and (server.is_answered or end_reason != "turns"):
            return end_reason
        last_calls = server.ends_with_call
        if last_calls and len(server.turns) >= self._limits.turns:
            return "turns"
        # A tool result that did not fit ends a trajectory after a call.
        return "length" if last_calls else "stop"


class _LoopServer:
    """What a loop takes for its language model server: one trajectory's turns."""

    def __init__(
        self, engine: Engine, limits: Limits, posed: Posed, sampling: DrawSettings, tokenizer: Any
    ) -> None:
        self.engine, self.limits, self.posed, self.sampling = engine, limits, posed, sampling
        self.tokenizer = tokenizer
        self.turns: list[list[int]] = []
        self.finish_reasons: list[str] = []
        self.ends_with_call = False
        tags = agent_tags(posed.problem.agent_name)
        self.is_answered = tags is not None and not tags.call
        """Whether whole turns are answered, and no call says what comes next: the loop does."""

    async def generate(
        self, request_id: str, *, prompt_ids: Sequence[int], sampling_params: dict[str, Any], **_: Any
    ) -> Any:
        """verl's interface (`LLMServerClient.generate`): token ids in, token ids out."""
        from verl.workers.rollout.replica import TokenOutput

        limits, sampling = self.limits, self.sampling
        prefill = (
            self.tokenizer.encode(self.posed.prefill, add_special_tokens=False) if self.posed.prefill else []
        )
        # As verl's server counts: all turns share one budget of prompt and response.
        room = min(limits.response_tokens, limits.prompt_tokens + limits.response_tokens - len(prompt_ids))
        turn = await self.engine.write(
            TurnRequest(
                prompt_ids=[*prompt_ids, *prefill],
                max_tokens=max(1, room - len(prefill)),
                temperature=sampling.temperature_of(len(self.turns)),
                top_p=sampling.top_p,
                top_k=sampling.top_k,
                stop=[*self.posed.stop, *sampling_params.get("stop", ())],
                stop_token_ids=sampling_params.get("stop_token_ids") or (),
                seed=None if sampling.seed is None else sampling.seed + len(self.turns),
            )
        )
        if turn.finish_reason != "length" and not is_whole(turn.finish_reason):
            raise BrokenAnswerError(f"an answer was broken off (finish_reason {turn.finish_reason[:40]!r})")
        token_ids = self._whole(turn)
        self.turns.append(token_ids)
        self.finish_reasons.append(turn.finish_reason)
        return TokenOutput(token_ids=token_ids, stop_reason="completed")

    def _whole(self, turn: WrittenTurn) -> list[int]:
        """The turn's tokens, with those of the tag that it stopped at."""
        tags, ids = appended_tags(self.posed.problem.agent_name), turn.token_ids
        if tags is None or turn.finish_reason == "length" or self.tokenizer.eos_token_id in ids[-1:]:
            return ids
        text = self.tokenizer.decode(ids)
        missing = closed_call(text, tags, turn.stop)[len(text) :]
        return [*ids, *self.tokenizer.encode(missing, add_special_tokens=False)] if missing else ids

    def calls_written(self, tags: Any) -> int:
        """Calls that the model began, whole or not; sets `ends_with_call`."""
        if tags is None or not tags.call:
            return 0
        texts = [self.tokenizer.decode(ids) for ids in self.turns]
        self.ends_with_call = bool(texts) and tags.end_call in texts[-1]
        return sum(text.count(tags.call) for text in texts)


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer as training loads it; ConfigError where there is none, or no chat template."""
    from verl.utils.tokenizer import hf_tokenizer

    try:
        tokenizer = hf_tokenizer(str(folder))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{folder} holds no tokenizer ({str(error).splitlines()[0][:200]})") from error
    if not tokenizer.chat_template:
        raise ConfigError(
            f"{folder}: the tokenizer has no chat template, so no conversation can be rendered: put its "
            "chat_template.jinja into the folder (a base model's sibling with -Instruct has one)"
        )
    return tokenizer


def _model_type(folder: Path) -> str | None:
    from transformers import AutoConfig

    try:
        return getattr(AutoConfig.from_pretrained(folder), "model_type", None)
    except (OSError, ValueError) as error:
        if not (folder / "config.json").is_file():
            return None  # a tokenizer alone, of a model behind an endpoint
        raise ConfigError(
            f"{folder / 'config.json'} cannot be read ({str(error).splitlines()[0][:200]})"
        ) from error


def _load_tools(path: Path | None) -> list[Any]:
    if path is None:
        return []
    from verl.tools.tool_registry import load_all_tools

    check_tools_file(path, f"--tools {path}", or_none=True)
    try:
        with exits_refused(), contextlib.redirect_stdout(io.StringIO()):  # verl prints every schema
            return load_all_tools(tool_config_path=str(path), function_tool_path=None)
    except ConfigError:
        raise
    except (Exception, SystemExit) as error:  # whatever a user's class does when it is imported
        raise ConfigError(f"--tools {path}: its tools cannot be loaded ({error!r})") from error


def _loop_config(limits: Limits, template_options: Mapping[str, Any], multi_turn: Mapping[str, Any]) -> Any:
    """What the loops read of a trainer's configuration: `multi_turn`, and the limits."""
    turns = {"enable": True, "tool_config_path": None, "max_assistant_turns": limits.turns}
    rollout = {
        "prompt_length": limits.prompt_tokens,
        "response_length": limits.response_tokens,
        "full_determinism": False,
        "multi_turn": {**multi_turn, **turns},
    }
    data: dict[str, Any] = {"apply_chat_template_kwargs": dict(template_options), "mm_processor_kwargs": {}}
    ours = {"stop_after_code": limits.stop_after_code}
    return OmegaConf.create({"actor_rollout_ref": {"rollout": rollout}, "data": data, "verl_coder": ours})
