"""What a run takes of the machine's memory, and of the GPU's, before it starts: a sum of terms, process by process.

The terms follow from the model's tensors and the settings; what a process takes before it holds any of them
(`BASE_MIB`) was measured (README of this folder). Lengths are taken at their limits.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from omegaconf import DictConfig

from verl_coder.errors import ConfigError
from verl_coder.launch.preflight.model import local_folder, tensor_sizes
from verl_coder.launch.preflight.sizes import vllm_executor

GIB = 2**30
BASE_MIB = {
    "actor": 800,
    "vLLM engine": 600,
    "vLLM worker": 550,
    "vLLM server": 600,
    "trainer": 690,
    "driver": 440,
    "agent-loop worker": 600,
    "reward worker": 375,
    "TransferQueue": 570,
    "weight receiver": 565,
    "Ray": 1100,
    "launcher and sandbox": 800,
}
"""Proportional set sizes on the CPU platform, each of the whole group where several processes have one name."""
LOGIT_BYTES = 8
"""Of a token's logit while training: the logit in float32, and its gradient."""
LOGIT_BYTES_ON_CPU = 14
"""Of the same on a CPU, where the softmax of a pass is another copy: 13.5 were measured."""
LOGIT_BYTES_NO_GRADIENT = 6
RAY_KILLS_AT = 0.95
"""Ray's memory monitor kills workers above this share of the machine's memory."""
_BYTES = {"fp32": 4, "float32": 4, "bf16": 2, "bfloat16": 2, "fp16": 2, "float16": 2, "half": 2}


@dataclass(frozen=True, kw_only=True)
class Term:
    """One part of what a process takes."""

    process: str
    what: str
    bytes: float
    on_gpu: bool = False


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """All terms, and what there is."""

    terms: tuple[Term, ...]
    machine_bytes: int
    free_bytes: int
    gpu_bytes: int = 0
    """Of one GPU; 0 on the CPU."""

    def total(self, *, on_gpu: bool = False) -> float:
        """Bytes on the machine, or on each GPU."""
        return sum(term.bytes for term in self.terms if term.on_gpu == on_gpu)

    @property
    def excess(self) -> float:
        """Bytes above what there is, of the machine or of a GPU; 0 where it fits."""
        over = [self.total() - RAY_KILLS_AT * self.machine_bytes]
        if self.gpu_bytes:
            over.append(self.total(on_gpu=True) - self.gpu_bytes)
        return max(0.0, *over)

    def lines(self) -> list[str]:
        """A line per process, the largest first, then the sum."""
        found = []
        for name in sorted(
            {(t.process, t.on_gpu) for t in self.terms}, key=lambda n: -self._of(*n), reverse=False
        ):
            parts = sorted((t for t in self.terms if (t.process, t.on_gpu) == name), key=lambda t: -t.bytes)
            told = ", ".join(f"{t.what} {t.bytes / GIB:.2f}" for t in parts if t.bytes >= 0.01 * GIB)
            where = " on the GPU" if name[1] else ""
            found.append(f"{name[0]}{where} {self._of(*name) / GIB:.1f} GiB ({told})")
        return [*found, self.summary()]

    def _of(self, process: str, on_gpu: bool) -> float:
        return sum(t.bytes for t in self.terms if t.process == process and t.on_gpu == on_gpu)

    def summary(self) -> str:
        """`8.6 GiB in all; the machine has 23.5 GiB, of which 20.1 GiB are free`."""
        text = (
            f"{self.total() / GIB:.1f} GiB in all; the machine has {self.machine_bytes / GIB:.1f} GiB, of which "
            f"{self.free_bytes / GIB:.1f} GiB are free"
        )
        if self.gpu_bytes:
            text += f"; {self.total(on_gpu=True) / GIB:.1f} of {self.gpu_bytes / GIB:.1f} GiB on each GPU"
        return text


def plan_memory(config: DictConfig) -> MemoryPlan | None:
    """The plan of a run; None where the model is not on this machine yet."""
    folder = local_folder(str(config.actor_rollout_ref.model.path))
    sizes = tensor_sizes(folder) if folder else {}
    if not sizes or folder is None:
        return None
    shape = _shape(folder)
    on_gpu = config.trainer.device != "cpu"
    parameters = float(sum(sizes.values()))
    workers = int(config.trainer.n_gpus_per_node)
    terms = [
        *_actor(config, shape, parameters, workers, on_gpu=on_gpu),
        *_rollout(config, parameters, workers, on_gpu=on_gpu),
        *_small_processes(config),
    ]
    return MemoryPlan(
        terms=tuple(terms),
        machine_bytes=machine_bytes(),
        free_bytes=psutil.virtual_memory().available,
        gpu_bytes=_gpu_bytes() if on_gpu else 0,
    )


def _shape(folder: Path) -> Any:
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(folder)
    except (ValueError, OSError) as error:
        raise ConfigError(f"MODEL: {folder}: {str(error).splitlines()[0]}") from error


def _actor(
    config: DictConfig, shape: Any, parameters: float, workers: int, *, on_gpu: bool
) -> Iterable[Term]:
    """Parameters, gradients, optimiser, reference, and the largest micro-batch; a worker holds its shard."""
    section = config.actor_rollout_ref
    actor, model = section.actor, section.model
    width = _BYTES.get(str(actor.fsdp_config.model_dtype), 4)
    rank = int(model.get("lora_rank") or 0)
    trained = _lora_parameters(shape, rank) if rank else parameters
    reference = bool(actor.use_kl_loss or config.algorithm.use_kl_in_reward) and not rank
    offloaded = bool(actor.fsdp_config.get("param_offload", False)) and on_gpu
    states = [
        ("parameters", parameters * width + (trained * width if rank else 0), offloaded),
        ("gradients", trained * width, False),
        (
            "optimiser",
            2 * trained * width,
            bool(actor.fsdp_config.get("optimizer_offload", False)) and on_gpu,
        ),
    ]
    if reference:
        ref_width = _BYTES.get(str(section.ref.fsdp_config.get("model_dtype", "fp32")), 4)
        ref_offloaded = bool(section.ref.fsdp_config.get("param_offload", False)) and on_gpu
        states.append(("reference", parameters * ref_width, ref_offloaded))
    if rank:
        # verl merges the adapter into the weights for a sync, and keeps what they were.
        states.append(("merged weights during a sync", parameters * width, False))
    for what, size, on_host in states:
        share = size / workers
        yield Term(
            process="actor",
            what=what,
            bytes=share * (workers if not on_gpu or on_host else 1),
            on_gpu=on_gpu and not on_host,
        )
    logits, activations = _micro_batch(config, shape, on_gpu=on_gpu)
    copies = 1 if on_gpu else workers
    yield Term(process="actor", what="logits of a micro-batch", bytes=logits * copies, on_gpu=on_gpu)
    yield Term(
        process="actor", what="activations of a micro-batch", bytes=activations * copies, on_gpu=on_gpu
    )
    yield Term(process="actor", what="process", bytes=BASE_MIB["actor"] * 2**20 * workers)


def _linear_ends(shape: Any) -> int:
    """Inputs and outputs of all linear layers of one layer of a decoder, summed."""
    hidden, inner = shape.hidden_size, shape.intermediate_size
    heads = shape.num_attention_heads
    head = getattr(shape, "head_dim", None) or hidden // heads
    kv = (getattr(shape, "num_key_value_heads", None) or heads) * head
    return int(2 * (hidden + heads * head) + 2 * (hidden + kv) + 3 * (hidden + inner))


def _lora_parameters(shape: Any, rank: int) -> float:
    """Of adapters on all linear layers of a decoder."""
    return float(shape.num_hidden_layers * rank * _linear_ends(shape))


def _micro_batch(config: DictConfig, shape: Any, *, on_gpu: bool) -> tuple[float, float]:
    """(bytes of logits, bytes of activations) of the largest micro-batch, prompts and responses at their limits."""
    section = config.actor_rollout_ref
    actor, rollout = section.actor, section.rollout
    length = int(config.data.max_prompt_length) + int(config.data.max_response_length)

    def tokens(dynamic: bool, most: Any, rows: Any) -> float:
        return float(most) if dynamic else float((rows or 1) * length)

    trained = tokens(
        actor.use_dynamic_bsz, actor.ppo_max_token_len_per_gpu, actor.ppo_micro_batch_size_per_gpu
    )
    passes = [rollout, section.ref] if actor.use_kl_loss else [rollout]
    judged = max(
        tokens(
            part.log_prob_use_dynamic_bsz,
            part.log_prob_max_token_len_per_gpu,
            part.log_prob_micro_batch_size_per_gpu,
        )
        for part in passes
    )
    logit_bytes = LOGIT_BYTES if on_gpu else LOGIT_BYTES_ON_CPU
    logits = shape.vocab_size * max(trained * logit_bytes, judged * LOGIT_BYTES_NO_GRADIENT)
    mixed = actor.fsdp_config.get("mixed_precision") or {}
    width = _BYTES.get(str(mixed.get("param_dtype", "bf16")), 2)
    kept = 12 * shape.hidden_size + 3 * shape.intermediate_size
    if int(section.model.get("lora_rank") or 0) and not on_gpu:
        # As measured: beside each linear layer its adapter keeps both ends once more.
        kept += _linear_ends(shape)
    a_layer = kept * width
    layers = shape.num_hidden_layers
    if section.model.enable_gradient_checkpointing:
        activations = trained * (layers * shape.hidden_size * width + a_layer)
    else:
        activations = trained * layers * a_layer
    return float(logits), float(activations)


def _rollout(config: DictConfig, parameters: float, workers: int, *, on_gpu: bool) -> Iterable[Term]:
    """vLLM's copy of the weights, its cache, and the bucket and store that weights and samples travel through."""
    rollout = config.actor_rollout_ref.rollout
    devices = _separate_devices(config) or workers
    replicas = max(devices // int(rollout.tensor_model_parallel_size), 1)
    width = _BYTES.get(str(rollout.dtype), 2)
    if on_gpu:
        share = float(rollout.gpu_memory_utilization) * _gpu_bytes()
        asleep = bool(rollout.free_cache_engine)
        # Asleep while the actor trains: its share is not there at the same time.
        yield Term(process="vLLM engine", what="its share", bytes=0 if asleep else share, on_gpu=True)
    else:
        weights = parameters * width * replicas
        yield Term(process="vLLM engine", what="weights", bytes=weights)
        # Received weights are kept until all are there, then loaded (platform/vllm_extension.py).
        yield Term(process="vLLM engine", what="weights during a sync", bytes=weights)
        cache = float(os.environ.get("VLLM_CPU_KVCACHE_SPACE") or 1) * GIB * replicas
        yield Term(process="vLLM engine", what="KV cache", bytes=cache)
    bucket = int(rollout.checkpoint_engine.update_weights_bucket_megabytes) * 2**20 * workers
    yield Term(process="actor", what="weight bucket", bytes=bucket, on_gpu=on_gpu)
    yield Term(process="vLLM engine", what="process", bytes=BASE_MIB["vLLM engine"] * 2**20 * replicas)
    if vllm_executor(config) == "mp":
        yield Term(process="vLLM worker", what="process", bytes=BASE_MIB["vLLM worker"] * 2**20 * devices)
    if _separate_devices(config):
        receivers = BASE_MIB["weight receiver"] * 2**20 * devices
        yield Term(process="weight receiver", what="process", bytes=receivers)
    yield Term(process="vLLM server", what="process", bytes=BASE_MIB["vLLM server"] * 2**20 * replicas)


def _separate_devices(config: DictConfig) -> int:
    """Devices that only generate (mode=separate_async without verl's hybrid engine); 0 in the other modes."""
    if config.trainer.v1.trainer_mode != "separate_async" or config.actor_rollout_ref.hybrid_engine:
        return 0
    return int(config.actor_rollout_ref.rollout.nnodes) * int(
        config.actor_rollout_ref.rollout.n_gpus_per_node
    )


def _small_processes(config: DictConfig) -> Iterable[Term]:
    counts = {
        "trainer": 1,
        "driver": 1,
        "agent-loop worker": int(config.actor_rollout_ref.rollout.agent.num_workers),
        "reward worker": int(config.reward.num_workers),
        "TransferQueue": 1,
        "Ray": 1,
        "launcher and sandbox": 1,
    }
    for name, count in counts.items():
        yield Term(process=name, what="process", bytes=BASE_MIB[name] * 2**20 * count)
    yield Term(process="Ray", what="object store", bytes=_samples_in_store(config))


def _samples_in_store(config: DictConfig) -> float:
    """Bytes of a step's samples in Ray's object store: a dozen columns of 8 bytes a token, at most the store's size."""
    length = int(config.data.max_prompt_length) + int(config.data.max_response_length)
    samples = int(config.data.train_batch_size) * int(config.actor_rollout_ref.rollout.n)
    limit = config.ray_kwargs.ray_init.get("object_store_memory")
    return float(min(samples * length * 12 * 8, limit or 0.3 * machine_bytes()))


def machine_bytes() -> int:
    """Memory of the machine, or of this control group where that is less."""
    total = int(psutil.virtual_memory().total)
    try:
        return min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):
        return total


def _gpu_bytes() -> int:
    """Memory of the first GPU; 0 where none answers."""
    import subprocess

    try:
        text = subprocess.run(
            ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        ).stdout
        return int(text.split()[0]) * 2**20
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return 0
