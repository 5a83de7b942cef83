"""What a run takes of the machine's memory, and of the GPU's, before it starts: a sum of terms, process by process.

The terms follow from the model's tensors and the settings; what a process takes before it holds any of them
(`BASE_MIB`) was measured (README of this folder). Lengths are taken at their limits.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import psutil
from omegaconf import DictConfig

from verl_coder.errors import ConfigError
from verl_coder.launch.cards import GIB, Card, card_for
from verl_coder.launch.control_group import memory_limit, memory_room
from verl_coder.launch.model_shape import ModelShape, shape_of
from verl_coder.launch.preflight.sizes import vllm_executor
from verl_coder.platform.output_layer import CHUNK_LOGITS, PLAIN_MODELS
from verl_coder.platform.speculation import guessed_tokens

BASE_MIB = {
    "actor": 600,
    "vLLM engine": 600,
    "vLLM worker": 550,
    "vLLM server": 650,
    "vLLM's fork server": 580,
    "trainer": 470,
    "driver": 350,
    "agent-loop worker": 460,
    "reward worker": 290,
    "TransferQueue": 430,
    "weight receiver": 565,
    "Ray": 850,
    "launcher and sandbox": 730,
}
"""Proportional set sizes on the CPU platform, each of the whole group where several processes have one name."""
VOCABULARY_BYTES = {"vLLM server": 3900, "agent-loop worker": 1300, "reward worker": 900}
"""What each entry of the vocabulary adds to a process that reads and writes text: 151,936 entries less 576."""
LOGIT_BYTES = 8
"""Of a token's logit while training: the logit in float32, and its gradient."""
LOGIT_BYTES_ON_CPU = 14
"""Of the same on a CPU, where the softmax of a pass is another copy: 13.5 were measured."""
LOGIT_BYTES_NO_GRADIENT = 6
ENTROPY_BYTES = 4
"""Of a logit more, on a GPU, where the loss has an entropy term: an estimate, not measured."""
LEAST_CACHE = GIB
"""Of the KV cache and vLLM's buffers, below which nothing can be generated."""
CUDA_MIB = 1024
"""Of a GPU's memory, the contexts and libraries of the processes that use it: an estimate, not measured."""
RAY_KILLS_AT = 0.95
"""Ray's memory monitor kills workers above this share of the machine's memory."""
CACHE = "VLLM_CPU_KVCACHE_SPACE"
_BYTES = {"fp32": 4, "float32": 4, "bf16": 2, "bfloat16": 2, "fp16": 2, "float16": 2, "half": 2}


When = Literal["always", "training", "generating"]


@dataclass(frozen=True, kw_only=True)
class Term:
    """One part of what a process takes."""

    process: str
    what: str
    bytes: float
    on_gpu: bool = False
    while_: When = "always"
    """When it is there, on a GPU: vLLM may sleep while the actor trains."""

    def described(self) -> str:
        """`optimiser 3.68`, `its share 31.84 while generating`: in GiB."""
        when = f" while {self.while_}" if self.on_gpu and self.while_ != "always" else ""
        return f"{self.what} {self.bytes / GIB:.2f}{when}"


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """All terms, and what there is."""

    terms: tuple[Term, ...]
    machine_bytes: int
    free_bytes: int
    card: Card | None = None
    """Of each GPU; None on the CPU."""

    def total(self, *, on_gpu: bool = False) -> float:
        """Bytes on the machine, or the most that is on each GPU at a time."""
        parts = [term for term in self.terms if term.on_gpu == on_gpu]
        always, training, generating = (
            sum(term.bytes for term in parts if term.while_ == when)
            for when in ("always", "training", "generating")
        )
        return always + (max(training, generating) if on_gpu else training + generating)

    @property
    def elsewhere(self) -> bool:
        """Planned for another machine, with a GPU that is not here: this one's memory is not what counts."""
        return self.card is not None and not self.card.is_here

    @property
    def excess(self) -> float:
        """Bytes above what there is, of the machine or of a GPU; 0 where it fits."""
        over = [] if self.elsewhere else [self.total() - RAY_KILLS_AT * self.machine_bytes]
        if self.card is not None:
            over.append(self.total(on_gpu=True) - self.card.memory)
        return max(0.0, *over)

    def lines(self) -> list[str]:
        """A line per process, the largest first, then the sum."""
        found = []
        for name in sorted({(t.process, t.on_gpu) for t in self.terms}, key=lambda n: -self._of(*n)):
            parts = sorted((t for t in self.terms if (t.process, t.on_gpu) == name), key=lambda t: -t.bytes)
            told = ", ".join(t.described() for t in parts if t.bytes >= 0.01 * GIB)
            where = " on the GPU" if name[1] else ""
            if told:
                found.append(f"{name[0]}{where} {self._of(*name) / GIB:.1f} GiB ({told})")
        return [*found, self.summary()]

    def _of(self, process: str, on_gpu: bool) -> float:
        return sum(t.bytes for t in self.terms if t.process == process and t.on_gpu == on_gpu)

    def summary(self) -> str:
        """`8.2 GiB planned; the machine has 23.5 GiB, of which 20.1 GiB are free`."""
        text = f"{self.total() / GIB:.1f} GiB planned"
        if not self.elsewhere:
            text += f"; the machine has {self.machine_bytes / GIB:.1f} GiB, "
            text += f"of which {self.free_bytes / GIB:.1f} GiB are free"
        if self.card is not None:
            text += f"; {self.total(on_gpu=True) / GIB:.1f} of {self.card.memory / GIB:.1f} GiB on each GPU"
            text += f" ({self.card.name}{', which is not here' if self.elsewhere else ''})"
        return text


@dataclass(frozen=True, kw_only=True)
class Shards:
    """How verl's FSDP spreads what an actor holds: over all workers of all nodes, or over groups of `fsdp_size`."""

    workers: int
    """Of one node."""
    shards: int
    on_gpu: bool

    @classmethod
    def of(cls, config: DictConfig) -> "Shards":
        """Of a run."""
        workers = int(config.trainer.n_gpus_per_node)
        world = workers * int(config.trainer.nnodes)
        size = int(config.actor_rollout_ref.actor.fsdp_config.get("fsdp_size") or -1)
        return cls(
            workers=workers, shards=size if 0 < size < world else world, on_gpu=config.trainer.device != "cpu"
        )

    def state(self, what: str, size: float, *, on_gpu: bool | None = None, while_: When = "always") -> Term:
        """A shard of `size` bytes on each GPU, or those of a node's workers on the machine."""
        on_gpu = self.on_gpu if on_gpu is None else on_gpu
        shares = size / self.shards * (1 if on_gpu else self.workers)
        return Term(process="actor", what=what, bytes=shares, on_gpu=on_gpu, while_=while_)

    def copies(self, what: str, size: float, *, while_: When = "always") -> Term:
        """`size` bytes of each worker: on its GPU where it has one."""
        share = size * (1 if self.on_gpu else self.workers)
        return Term(process="actor", what=what, bytes=share, on_gpu=self.on_gpu, while_=while_)


def plan_memory(config: DictConfig) -> MemoryPlan | None:
    """The plan of a run; None where nothing is known of the model: it is neither here nor in `config/models/`."""
    shape = shape_of(str(config.actor_rollout_ref.model.path))
    if shape is None:
        return None
    on_gpu = config.trainer.device != "cpu"
    card = card_for(config.verl_coder.get("plan_for")) if on_gpu else None
    shards = Shards.of(config)
    terms = [
        *_actor(config, shape, shards),
        *_rollout(config, shape, shards, card),
        *_small_processes(config, shape),
    ]
    return MemoryPlan(
        terms=tuple(terms),
        machine_bytes=machine_bytes(),
        free_bytes=free_memory(),
        card=card,
    )


def _actor(config: DictConfig, shape: ModelShape, shards: Shards) -> Iterable[Term]:
    """Parameters, gradients, optimiser, reference, and the largest micro-batch; a worker holds its shard."""
    section = config.actor_rollout_ref
    actor, model = section.actor, section.model
    parameters = float(shape.parameters)
    width = _BYTES.get(str(actor.fsdp_config.model_dtype), 4)
    rank = int(model.get("lora_rank") or 0)
    trained = float(shape.lora_parameters(rank)) if rank else parameters
    reference = bool(actor.use_kl_loss or config.algorithm.use_kl_in_reward) and not rank
    states = (
        ("parameters", parameters * width + (trained * width if rank else 0), "param_offload"),
        ("optimiser", 2 * trained * width, "optimizer_offload"),
    )
    for what, size, setting in states:
        moves = shards.on_gpu and bool(actor.fsdp_config.get(setting, False))
        # What is offloaded lies on the machine, and comes back for the training.
        yield shards.state(what, size, while_="training" if moves else "always")
        if moves:
            yield shards.state(f"offloaded {what}", size, on_gpu=False)
    yield shards.state("gradients", trained * width, while_="training")
    if reference:
        # verl keeps what only looks forward on the machine, whatever `param_offload` says.
        ref_width = _BYTES.get(str(section.ref.fsdp_config.get("model_dtype", "fp32")), 4)
        yield shards.state("reference", parameters * ref_width, on_gpu=False)
    if rank:
        # verl merges the adapter into the weights for a sync, and keeps what they were, on the machine.
        yield shards.state("merged weights during a sync", parameters * width, on_gpu=False)
    logits, activations = _micro_batch(config, shape, on_gpu=shards.on_gpu)
    yield shards.copies("logits of a micro-batch", logits, while_="training")
    yield shards.copies("activations of a micro-batch", activations, while_="training")
    if shards.on_gpu:
        yield shards.copies("CUDA", CUDA_MIB * 2**20)
    yield Term(process="actor", what="process", bytes=BASE_MIB["actor"] * 2**20 * shards.workers)


def _micro_batch(config: DictConfig, shape: ModelShape, *, on_gpu: bool) -> tuple[float, float]:
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
    if on_gpu and float(actor.entropy_coeff):
        logit_bytes += ENTROPY_BYTES
    logits = shape.vocab_size * max(trained * logit_bytes, judged * LOGIT_BYTES_NO_GRADIENT)
    mixed = actor.fsdp_config.get("mixed_precision") or {}
    width = _BYTES.get(str(mixed.get("param_dtype", "bf16")), 2)
    if not on_gpu and _makes_no_logits(config, shape):
        logits = label_bytes(shape, trained, width=width)
    activations = activation_bytes(
        shape,
        trained,
        width=width,
        checkpointing=bool(section.model.enable_gradient_checkpointing),
    )
    return float(logits), activations


def _makes_no_logits(config: DictConfig, shape: ModelShape) -> bool:
    """Whether the passes of the update give log-probabilities at once (platform/label_log_probs.py)."""
    actor, model = config.actor_rollout_ref.actor, config.actor_rollout_ref.model
    frozen = bool(model.get("lora_rank")) and "lm_head" not in str(model.get("target_modules"))
    needs_logits = (
        float(actor.entropy_coeff) or actor.get("calculate_entropy") or model.get("use_fused_kernels")
    )
    return frozen and can_do_without_logits(shape) and bool(model.use_remove_padding) and not needs_logits


def can_do_without_logits(shape: ModelShape) -> bool:
    """Whether a model's output layer, where it is not trained, may give log-probabilities at once."""
    return shape.model_type in PLAIN_MODELS


def label_bytes(shape: ModelShape, tokens: float, *, width: int) -> float:
    """Of a pass that makes no logits: a chunk of them, and what is kept of each token for its backward."""
    return float(width * (CHUNK_LOGITS + tokens * shape.hidden_size))


def activation_bytes(shape: ModelShape, tokens: float, *, width: int, checkpointing: bool) -> float:
    """What a pass over `tokens` keeps for its backward, in numbers of `width` bytes."""
    a_layer = (12 * shape.hidden_size + 3 * shape.intermediate_size) * width
    if checkpointing:
        return float(tokens * (shape.layers * shape.hidden_size * width + a_layer))
    return float(tokens * shape.layers * a_layer)


def _rollout(config: DictConfig, shape: ModelShape, shards: Shards, card: Card | None) -> Iterable[Term]:
    """vLLM's copy of the weights, its cache, and the bucket and store that weights and samples travel through."""
    rollout = config.actor_rollout_ref.rollout
    devices = separate_devices(config) or shards.workers
    replicas = max(devices // int(rollout.tensor_model_parallel_size), 1)
    width = _BYTES.get(str(rollout.dtype), 2)
    if card is not None and separate_devices(config):
        pass  # its GPUs are others, and its share of them is what it may take
    elif card is not None:
        share = float(rollout.gpu_memory_utilization) * card.memory
        # Asleep while the actor trains (`free_cache_engine`): its share is not there at the same time.
        yield Term(
            process="vLLM engine",
            what="its share",
            bytes=share,
            on_gpu=True,
            while_="generating" if rollout.free_cache_engine else "always",
        )
    else:
        weights = float(shape.parameters) * width * replicas
        yield Term(process="vLLM engine", what="weights", bytes=weights)
        # Received weights are kept until all are there, then loaded (platform/vllm_extension.py).
        yield Term(process="vLLM engine", what="weights during a sync", bytes=weights)
        yield Term(process="vLLM engine", what="KV cache", bytes=float(cache_gib() * GIB * replicas))
        if guessed := guessed_tokens(config) * int(rollout.max_num_seqs) * shape.vocab_size:
            yield Term(
                process="vLLM engine",
                what="logits of guesses",
                bytes=float(LOGIT_BYTES_ON_CPU * guessed * replicas),
            )
    bucket = int(rollout.checkpoint_engine.update_weights_bucket_megabytes) * 2**20
    yield shards.copies("weight bucket", bucket, while_="generating")
    yield Term(process="vLLM engine", what="process", bytes=BASE_MIB["vLLM engine"] * 2**20 * replicas)
    if vllm_executor(config) == "mp":
        yield Term(process="vLLM worker", what="process", bytes=BASE_MIB["vLLM worker"] * 2**20 * devices)
    if separate_devices(config):
        receivers = BASE_MIB["weight receiver"] * 2**20 * devices
        yield Term(process="weight receiver", what="process", bytes=receivers)
    yield Term(process="vLLM server", what="process", bytes=BASE_MIB["vLLM server"] * 2**20 * replicas)
    yield _tokenizers("vLLM server", shape, replicas)


def cache_gib() -> int:
    """GiB of an engine's KV cache on a CPU; ConfigError for what vLLM reads as no number, or as another rule."""
    given = os.environ.get(CACHE) or "1"
    if not given.isdecimal() or not int(given):
        raise ConfigError(f"{CACHE}={given}: use a whole number of GiB, 1 or more")
    return int(given)


def _tokenizers(process: str, shape: ModelShape, count: int) -> Term:
    size = float(VOCABULARY_BYTES[process] * shape.vocab_size * count)
    return Term(process=process, what="tokenizers", bytes=size)


def least_share(config: DictConfig) -> float:
    """The share of a GPU (`gpu_memory_utilization`) that vLLM's weights and the smallest cache take; 0 on a CPU."""
    shape = shape_of(str(config.actor_rollout_ref.model.path))
    if shape is None or config.trainer.device == "cpu":
        return 0.0
    rollout = config.actor_rollout_ref.rollout
    width = _BYTES.get(str(rollout.dtype), 2)
    weights = shape.parameters * width / int(rollout.tensor_model_parallel_size)
    return (weights + LEAST_CACHE) / card_for(config.verl_coder.get("plan_for")).memory


def separate_devices(config: DictConfig) -> int:
    """Devices that only generate (mode=separate_async without verl's hybrid engine); 0 in the other modes."""
    if config.trainer.v1.trainer_mode != "separate_async" or config.actor_rollout_ref.hybrid_engine:
        return 0
    return int(config.actor_rollout_ref.rollout.nnodes) * int(
        config.actor_rollout_ref.rollout.n_gpus_per_node
    )


def _small_processes(config: DictConfig, shape: ModelShape) -> Iterable[Term]:
    counts = {
        "trainer": 1,
        "driver": 1,
        "agent-loop worker": int(config.actor_rollout_ref.rollout.agent.num_workers),
        "reward worker": int(config.reward.num_workers),
        "TransferQueue": 1,
        "vLLM's fork server": int(config.trainer.device == "cpu"),
        "Ray": 1,
        "launcher and sandbox": 1,
    }
    for name, count in counts.items():
        yield Term(process=name, what="process", bytes=BASE_MIB[name] * 2**20 * count)
        if name in VOCABULARY_BYTES:
            yield _tokenizers(name, shape, count)
    yield Term(process="Ray", what="object store", bytes=_samples_in_store(config))


def _samples_in_store(config: DictConfig) -> float:
    """Bytes of a step's samples in Ray's object store: a dozen columns of 8 bytes a token, at most the store's size."""
    length = int(config.data.max_prompt_length) + int(config.data.max_response_length)
    samples = int(config.data.train_batch_size) * int(config.actor_rollout_ref.rollout.n)
    limit = config.ray_kwargs.ray_init.get("object_store_memory")
    return float(min(samples * length * 12 * 8, limit or 0.3 * machine_bytes()))


def machine_bytes() -> int:
    """Memory of the machine, or of this process's control groups where that is less."""
    total = int(psutil.virtual_memory().total)
    return min(total, memory_limit() or total)


def free_memory() -> int:
    """Bytes of it that nobody has."""
    available, room = int(psutil.virtual_memory().available), memory_room()
    return min(available, machine_bytes(), available if room is None else room)
