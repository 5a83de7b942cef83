"""Who writes the tokens: vLLM in this process's own engine, or an OpenAI-compatible server."""

import asyncio
import contextlib
import os
import queue
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from verl_coder.errors import BrokenAnswerError, ConfigError, EngineError
from verl_coder.platform.environment import cpu_platform_selected
from verl_coder.server_answers import stopped_at


@dataclass(frozen=True, kw_only=True)
class TurnRequest:
    """One turn of the model: it goes on from `prompt_ids`."""

    prompt_ids: Sequence[int]
    max_tokens: int
    temperature: float
    top_p: float = 1.0
    top_k: int = -1
    stop: Sequence[str] = ()
    stop_token_ids: Sequence[int] = ()
    seed: int | None = None


@dataclass(frozen=True, kw_only=True)
class WrittenTurn:
    """What the model wrote; `finish_reason` is the engine's: stop, length, or why it broke the turn off."""

    token_ids: list[int]
    finish_reason: str
    stop: str | None = None
    """As `server_answers.stopped_at` reads it."""


class Engine(Protocol):
    """Writes turns, many at a time."""

    async def write(self, request: TurnRequest) -> WrittenTurn:
        """One turn."""

    def close(self) -> None:
        """Let go of the model."""


@dataclass(frozen=True, kw_only=True)
class EngineOptions:
    """How vLLM loads a model."""

    max_model_len: int
    max_num_seqs: int
    dtype: str = "bfloat16"
    seed: int = 0
    tensor_parallel: int = 1
    gpu_memory_share: float = 0.85
    speculation: Mapping[str, Any] | None = None
    """vLLM's `speculative_config`."""


class VllmEngine:
    """vLLM's engine, stepped by a thread of this process; on a CPU with the settings of config/hardware/cpu.yaml.

    On a CPU the model lives in this very process: no other one has to start, and none is left when this one is killed.
    """

    def __init__(self, folder: Path, options: EngineOptions) -> None:
        """ConfigError where vLLM cannot load the model."""
        settings: dict[str, Any] = {"gpu_memory_utilization": options.gpu_memory_share}
        if cpu_platform_selected():
            os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
            settings = {
                "enforce_eager": True,
                "compilation_config": {"mode": 0},
                "gpu_memory_utilization": 0.3,
                "distributed_executor_backend": "uni",
            }
        from vllm.engine.arg_utils import EngineArgs
        from vllm.v1.engine.llm_engine import LLMEngine

        arguments = EngineArgs(
            model=str(folder),
            max_model_len=options.max_model_len,
            max_num_seqs=options.max_num_seqs,
            dtype=options.dtype,  # type: ignore[arg-type]
            seed=options.seed,
            tensor_parallel_size=options.tensor_parallel,
            enable_prefix_caching=True,
            disable_log_stats=True,
            use_tqdm_on_load=False,
            speculative_config=dict(options.speculation) if options.speculation else None,
            **settings,
        )
        try:
            self._engine: Any = LLMEngine.from_engine_args(arguments)
        except (ValueError, RuntimeError, OSError, AssertionError) as error:
            words = " ".join(str(error).split())[:300]
            raise ConfigError(f"vLLM cannot load {folder}: {words}") from error
        self._new: queue.SimpleQueue[tuple[TurnRequest, asyncio.Future[WrittenTurn]] | None] = (
            queue.SimpleQueue()
        )
        self._waiting: dict[str, asyncio.Future[WrittenTurn]] = {}
        self._failure: EngineError | None = None
        weights = [*folder.glob("*.safetensors")] or [*folder.glob("*.bin")]
        self._model_bytes = sum(file.stat().st_size for file in weights)
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    async def write(self, request: TurnRequest) -> WrittenTurn:
        """One turn."""
        if self._failure is not None:
            raise self._failure
        future: asyncio.Future[WrittenTurn] = asyncio.get_running_loop().create_future()
        self._new.put((request, future))
        return await future

    def _run(self) -> None:
        """The thread: take requests in, step, hand turns out; an error of the engine goes to all who wait."""
        if cpu_platform_selected():
            from verl_coder.platform.threads import use_threads_for

            use_threads_for(self._model_bytes)
        number = 0
        try:
            while True:
                while not self._waiting or not self._new.empty():
                    item = self._new.get()
                    if item is None:
                        return
                    number += 1
                    self._waiting[str(number)] = item[1]
                    self._begin(str(number), item[0])
                for output in self._engine.step():
                    if output.finished:
                        written = output.outputs[0]
                        turn = WrittenTurn(
                            token_ids=list(written.token_ids),
                            finish_reason=written.finish_reason or "stop",
                            stop=stopped_at({"stop_reason": written.stop_reason}),
                        )
                        _resolve(self._waiting.pop(output.request_id), turn)
        except Exception as error:
            words = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            self._failure = EngineError(f"vLLM failed while it wrote, the samples so far are kept: {words}")
            for future in self._waiting.values():
                _resolve(future, self._failure)
            self._waiting.clear()
            while not self._new.empty():
                if (item := self._new.get()) is not None:
                    _resolve(item[1], self._failure)

    def _begin(self, number: str, request: TurnRequest) -> None:
        from vllm import SamplingParams, TokensPrompt
        from vllm.sampling_params import RequestOutputKind

        parameters = SamplingParams(
            max_tokens=request.max_tokens,
            temperature=request.temperature,
            top_p=request.top_p,
            top_k=request.top_k,
            stop=list(request.stop) or None,
            include_stop_str_in_output=bool(request.stop),
            stop_token_ids=list(request.stop_token_ids) or None,
            seed=request.seed,
            output_kind=RequestOutputKind.FINAL_ONLY,
            # Stop strings are looked for in text, which nobody else needs.
            detokenize=bool(request.stop),
        )
        self._engine.add_request(number, TokensPrompt(prompt_token_ids=list(request.prompt_ids)), parameters)

    def close(self) -> None:
        """Let the thread end, and with it the model's processes where it has any."""
        self._new.put(None)
        self._thread.join(timeout=10)
        with contextlib.suppress(Exception):
            self._engine.engine_core.shutdown()


def _resolve(future: "asyncio.Future[WrittenTurn]", result: WrittenTurn | Exception) -> None:
    """Hand a result to the event loop that waits for it, unless it has given up."""

    def hand_over() -> None:
        if future.done():
            return
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)

    with contextlib.suppress(RuntimeError):  # the loop is closed
        future.get_loop().call_soon_threadsafe(hand_over)


class EndpointEngine:
    """The completions of an OpenAI-compatible server (vLLM, SGLang, llama.cpp), by token ids, as the loops write them.

    A server that answers in text alone is tokenised here. 429, 5xx and broken connections are asked again.
    """

    def __init__(
        self, url: str, model: str, tokenizer: Any, *, max_concurrency: int, timeout_s: float = 600.0
    ) -> None:
        import httpx
        from openai import AsyncOpenAI

        self._tokenizer = tokenizer
        self._model = model
        self._limit = asyncio.Semaphore(max_concurrency)
        self._client = AsyncOpenAI(
            base_url=url,
            api_key=os.environ.get("OPENAI_API_KEY") or "none",
            max_retries=6,
            http_client=httpx.AsyncClient(
                trust_env=False, timeout=timeout_s, limits=httpx.Limits(max_connections=None)
            ),
        )

    async def write(self, request: TurnRequest) -> WrittenTurn:
        """One turn; EngineError where the server gives none, BrokenAnswerError for an answer that is no completion."""
        from openai import APIError

        extra: dict[str, Any] = {"return_token_ids": True, "include_stop_str_in_output": bool(request.stop)}
        extra |= {"skip_special_tokens": False, "stop_token_ids": list(request.stop_token_ids) or None}
        # vLLM takes what is not said from the model's generation_config.json.
        extra |= {
            "top_k": request.top_k if request.top_k > 0 else -1,
            "min_p": 0.0,
            "repetition_penalty": 1.0,
        }
        async with self._limit:
            try:
                answer = await self._client.completions.create(
                    model=self._model,
                    prompt=list(request.prompt_ids),
                    max_tokens=request.max_tokens,
                    temperature=request.temperature,
                    top_p=request.top_p,
                    stop=list(request.stop) or None,
                    seed=request.seed,
                    extra_body=extra,
                )
            except APIError as error:
                raise EngineError(
                    f"the endpoint gives no completion: {' '.join(str(error).split())[:300]}"
                ) from error
            except ValueError as error:
                raise BrokenAnswerError(f"the endpoint's answer is no JSON ({error})") from error
        text, ids, finish_reason, stop = _completion(answer)
        if ids is None:
            ids = self._tokenizer.encode(text, add_special_tokens=False)
            by_itself = finish_reason == "stop" and (stop == "" or not request.stop)
            if by_itself and self._tokenizer.eos_token_id not in ids[-1:]:
                ids = [*ids, self._tokenizer.eos_token_id]
        return WrittenTurn(token_ids=ids, finish_reason=finish_reason, stop=stop)

    def close(self) -> None:
        """Nothing is held but connections, which end with the event loop."""


def _completion(answer: Any) -> tuple[str, list[int] | None, str, str | None]:
    """(text, token ids where the server gives them, finish reason, what it stopped at); BrokenAnswerError."""
    choices = getattr(answer, "choices", None)
    choice = choices[0] if isinstance(choices, list) and choices else None
    text = getattr(choice, "text", None)
    extra = getattr(choice, "model_extra", None) or {}
    ids = extra.get("token_ids")
    if not isinstance(ids, list) or not all(isinstance(one, int) for one in ids):
        ids = None
    if not isinstance(text, str) and ids is None:
        words = " ".join((answer if isinstance(answer, str) else repr(answer)).split())[:200]
        raise BrokenAnswerError(f"the endpoint's answer is no completion: {words}")
    finish_reason = str(getattr(choice, "finish_reason", None) or "stop")
    return text or "", ids, finish_reason, stopped_at(extra)


def served_model(url: str) -> str:
    """The name of the one model that an endpoint serves; ConfigError where it does not answer or serves several."""
    import httpx

    try:
        answer = httpx.get(f"{url}/models", timeout=20, trust_env=False, headers=_authorization())
        names = [entry["id"] for entry in answer.raise_for_status().json()["data"]]
    except (httpx.HTTPError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"no OpenAI-compatible server answers at {url}/models ({error})") from error
    if len(names) != 1:
        raise ConfigError(f"{url} serves {', '.join(names) or 'no model'}: name one with --served-model")
    return str(names[0])


def _authorization() -> dict[str, str]:
    key = os.environ.get("OPENAI_API_KEY")
    return {"Authorization": f"Bearer {key}"} if key else {}
