"""Entry point of vLLM's group `vllm.general_plugins`: vLLM calls `register` in each of its processes.

On every platform: SIGTERM stays blocked, and a request's output is put together when it begins and when it ends, not
after every token: verl keeps the last and drops the others, and a process that answers hundreds of requests at a time
spends a fifth of its work on them. On the CPU: vLLM's processes wait for each other by spinning on shared memory for
up to a second, which suits a machine with a core for each of them; here they wait for the notification that is sent
anyway. And vLLM draws a token by an exponential number for each one of the vocabulary, 50 ms for 16 sequences of
152,000, a fifth of a step of a 0.5 B model; here it takes one uniform number a sequence. A request may have a seed
there, too, which vLLM's CPU build has no generators for (`cpu_sampling.py`), and with guessed tokens as without
(`cpu_guesses.py`). Norms are one operation there, not nine (`cpu_norms.py`), and large tensors stand in memory that
stays (`cpu_memory.py`).
"""

from typing import Any

from verl_coder.platform import sigterm
from verl_coder.platform.environment import cpu_platform_selected

_SPIN_S = 0.0002
_WAIT_MS = 20


def register() -> None:
    """Apply what this module's text says."""
    sigterm.keep_blocked()
    _build_outputs_twice()
    if cpu_platform_selected():
        _wait_without_spinning()
        _draw_by_one_number()
        _keep_the_memory_of_logits()
        from verl_coder.platform import cpu_guesses, cpu_norms

        cpu_guesses.put_into_vllm()
        cpu_norms.put_into_vllm()


def _build_outputs_twice() -> None:
    from vllm.sampling_params import RequestOutputKind
    from vllm.v1.engine.output_processor import RequestState

    original: Any = RequestState.make_request_output
    if hasattr(original, "verl_coder_original"):
        return

    def make_request_output(
        self: Any, new_token_ids: Any, pooling_output: Any, finish_reason: Any, *more: Any, **named: Any
    ) -> Any:
        # The first tells verl that the request was taken; deltas are for those who read a stream.
        if (
            self.output_kind is RequestOutputKind.CUMULATIVE
            and finish_reason is None
            and pooling_output is None
        ):
            if getattr(self, "verl_coder_began", False):
                return None
            self.verl_coder_began = True
        return original(self, new_token_ids, pooling_output, finish_reason, *more, **named)

    make_request_output.verl_coder_original = original  # type: ignore[attr-defined]
    RequestState.make_request_output = make_request_output  # type: ignore[method-assign]


def _wait_without_spinning() -> None:
    from vllm.distributed.device_communicators.shm_broadcast import SpinCondition

    original = SpinCondition.wait

    def wait(self: Any, timeout_ms: int | None = None) -> None:
        self.busy_loop_s = _SPIN_S
        # A notification may have been dropped (the writer keeps one): never sleep without end.
        original(self, min(timeout_ms, _WAIT_MS) if timeout_ms is not None else _WAIT_MS)

    SpinCondition.wait = wait  # type: ignore[method-assign]


def _draw_by_one_number() -> None:
    import torch
    from vllm.v1.sample.ops import topk_topp_sampler
    from vllm.v1.worker.gpu_input_batch import InputBatch

    from verl_coder.platform.cpu_sampling import RequestDraws, draw

    add_request: Any = InputBatch.add_request
    if hasattr(add_request, "verl_coder_original"):
        return
    forward_cpu: Any = topk_topp_sampler.TopKTopPSampler.forward_cpu
    seeded: dict[int, Any] = {}
    """Of the rows that are drawn now."""

    def add_with_draws(self: Any, request: Any) -> Any:
        # vLLM's CPU generator cannot take a draw back, and a number for each token of the vocabulary is slow.
        if isinstance(request.generator, torch.Generator):
            request.generator = RequestDraws(request.sampling_params.seed, request.num_tokens)
        return add_request(self, request)

    def forward(self: Any, logits: Any, generators: Any, k: Any, p: Any) -> Any:
        seeded.clear()
        seeded.update(generators)
        # Without generators vLLM draws all rows by the function that is put in below.
        return forward_cpu(self, logits, {}, k, p)

    add_with_draws.verl_coder_original = add_request  # type: ignore[attr-defined]
    InputBatch.add_request = add_with_draws  # type: ignore[method-assign]
    topk_topp_sampler.TopKTopPSampler.forward_cpu = forward  # type: ignore[method-assign]
    topk_topp_sampler.compiled_random_sample = lambda logits: draw(logits, seeded)


def _keep_the_memory_of_logits() -> None:
    import torch
    from vllm.v1.sample.sampler import Sampler

    from verl_coder.platform.cpu_memory import Scratch, keep_freed_memory

    original: Any = Sampler.forward
    if hasattr(original, "verl_coder_original"):
        return
    keep_freed_memory()
    scratch = Scratch()

    def forward(self: Any, logits: Any, *more: Any, **named: Any) -> Any:
        # In float32 the sampler changes them in place; logits of the model itself may be read later.
        if logits is not None and logits.dtype != torch.float32:
            logits = scratch.matrix(*logits.shape).copy_(logits)
        return original(self, logits, *more, **named)

    forward.verl_coder_original = original  # type: ignore[attr-defined]
    Sampler.forward = forward  # type: ignore[method-assign]
