"""What an evaluation starts with: the engine, and sandboxes that answer."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from verl_coder.evaluation.engines import EndpointEngine, Engine, EngineOptions, VllmEngine
from verl_coder.evaluation.request import EvaluationPlan
from verl_coder.evaluation.run_config import speculation_of
from verl_coder.evaluation.trajectories import AgentLoops, load_tokenizer
from verl_coder.platform.environment import variable_set
from verl_coder.sandbox.answering import check_answers
from verl_coder.sandbox.embedded import EmbeddedSandbox
from verl_coder.sandbox.opening import given_sandboxes


def start_engine(plan: EvaluationPlan, folder: Path, concurrency: int, tensor_parallel: int) -> Engine:
    """The engine that writes the turns; ConfigError where vLLM cannot load the model."""
    if plan.model.kind == "endpoint":
        assert plan.served_model is not None
        return EndpointEngine(
            plan.model.name, plan.served_model, load_tokenizer(folder), max_concurrency=concurrency
        )
    return VllmEngine(
        folder,
        EngineOptions(
            max_model_len=plan.limits.prompt_tokens + plan.limits.response_tokens,
            max_num_seqs=concurrency,
            dtype=plan.request.dtype,
            seed=plan.draws.seed,
            tensor_parallel=tensor_parallel,
            speculation=speculation_of(plan.request.speculation),
        ),
    )


@contextmanager
def sandboxes_of(url: str | None, concurrency: int) -> Iterator[str]:
    """The sandboxes of that URL or of SANDBOX_URL, else one of this evaluation's own, with a session for each sample.

    Meanwhile SANDBOX_URL, which the tools read, names them: another evaluation of this process has others.
    """
    place, urls = given_sandboxes(url)
    asyncio.run(check_answers(place, urls))
    with ExitStack() as stack:
        if not urls:
            extra = ["--max-sessions", str(max(concurrency, 1))]
            urls = [stack.enter_context(EmbeddedSandbox(extra=extra)).url]
        stack.enter_context(variable_set("SANDBOX_URL", ",".join(urls)))
        yield ",".join(urls)


def check_tools_answer(plan: EvaluationPlan, loops: AgentLoops) -> None:
    """ConfigError where a sandbox that the YAML of tools names of its own does not answer."""
    asyncio.run(check_answers(f"--tools {plan.tools}: config.sandbox_url", loops.tools_sandboxes()))
