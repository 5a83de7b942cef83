"""How long a step takes on GPUs, before it is run: tokens, floating-point operations and bytes, over what cards do.

Generation: the longest answer decides how many times the weights are read, one after the other; every token costs the
processes around the model, and the reading of its sequence's keys and values. Passes: 2 operations a parameter and
token forward, 4 backward (and 2 again where activations are recomputed), and attention. The four constants come from
one measured run (README of this folder, which also says how far the others are off): expect a factor of two.
"""

from dataclasses import dataclass

from omegaconf import DictConfig

from verl_coder.launch.cards import Card, card_for
from verl_coder.launch.memory_plan import separate_devices
from verl_coder.launch.model_shape import ModelShape, shape_of
from verl_coder.run.settings import parse_settings
from verl_coder.words import counted

FILL = 0.5
"""Mean length of an answer, as a share of the limit."""
PROMPT_FILL = 0.4
"""Mean length of a prompt, as a share of the limit."""
READ_S = 4e-3
"""Of one read of the weights, before a byte of them: scheduling and launching."""
TOKEN_S = 5e-5
"""Of a generated token outside the model: tokenizer, agent loop, messages."""
TRAINED_SHARE, JUDGED_SHARE = 0.135, 0.09
"""Of a card's peak that a pass with and without gradients reaches, at a hidden size of 896."""
WIDTH = 896
MOST_SHARE = 0.4
"""What wide models reach: products of wide matrices keep a card busier, as long as they do."""
SYNC_S = 0.3


@dataclass(frozen=True, kw_only=True)
class StepCost:
    """Tokens and seconds of one training step."""

    tokens: int
    """Prompts and answers."""
    generate_s: float
    log_probs_s: float
    reference_s: float
    update_s: float
    sync_s: float
    card: Card
    gpus: int
    side_by_side: bool = False
    """Generation has GPUs of its own, and goes on while the others train (mode=separate_async)."""

    @property
    def seconds(self) -> float:
        """Of the whole step: one phase after the other, or the longer of two sides."""
        training = self.log_probs_s + self.reference_s + self.update_s + self.sync_s
        return max(self.generate_s, training) if self.side_by_side else self.generate_s + training

    def lines(self, steps: int | None) -> list[str]:
        """What a plan prints."""
        phases = {
            "generate": self.generate_s,
            "log-probs": self.log_probs_s,
            "reference": self.reference_s,
            "update": self.update_s,
        }
        told = ", ".join(f"{name} {value:.0f} s" for name, value in phases.items() if value >= 0.5)
        found = [
            f"about {self.seconds:.0f} s a step on {self.gpus} x {self.card.name} ({told}): {self.tokens:,} tokens, "
            f"{self.tokens / self.seconds:,.0f} tokens/s"
        ]
        if steps:
            found.append(
                f"{counted(steps, 'step')} in about {_duration(steps * self.seconds)}, evaluations not counted"
            )
        found.append(
            f"if prompts fill {PROMPT_FILL:.0%} and answers {FILL:.0%} of their limits; within a factor of two"
        )
        return found


def estimate(config: DictConfig) -> tuple[str, ...]:
    """Lines for a run's plan; none on a CPU, and where nothing is known of the model or of the card's speed."""
    shape = shape_of(str(config.actor_rollout_ref.model.path))
    if shape is None or config.trainer.device == "cpu":
        return ()
    cost = step_cost(config, shape, card_for(config.verl_coder.get("plan_for")))
    return tuple(cost.lines(config.trainer.total_training_steps)) if cost else ()


def step_cost(config: DictConfig, shape: ModelShape, card: Card) -> StepCost | None:
    """Of one step; None where the card's speed is not known."""
    if card.tflops is None or card.gb_per_s is None:
        return None
    rollout, actor, model = (
        config.actor_rollout_ref.rollout,
        config.actor_rollout_ref.actor,
        config.actor_rollout_ref.model,
    )
    gpus = int(config.trainer.nnodes) * int(config.trainer.n_gpus_per_node)
    samples = int(config.data.train_batch_size) * int(rollout.n)
    prompt = PROMPT_FILL * int(config.data.max_prompt_length)
    answer = FILL * int(config.data.max_response_length)
    tokens = samples * (prompt + answer)
    apart = separate_devices(config)
    forward = tokens * _operations(shape, prompt + answer)
    peak = gpus * card.tflops * 1e12

    # verl's own log-probs and the reference's: a pass without gradients each.
    judged = forward / (peak * _share(JUDGED_SHARE, shape))
    bypass = bool(config.algorithm.get("rollout_correction", {}).get("bypass_mode", False))
    # An adapter's backward pass has no gradients of the weights below it.
    passes = (2 if int(model.get("lora_rank") or 0) else 3) + bool(model.enable_gradient_checkpointing)
    traces = _traces(config) / samples
    return StepCost(
        tokens=round(tokens),
        generate_s=_generate(config, shape, card, samples, apart or gpus),
        log_probs_s=0.0 if bypass else judged,
        reference_s=judged if actor.use_kl_loss or config.algorithm.use_kl_in_reward else 0.0,
        update_s=int(actor.ppo_epochs)
        * passes
        * (1 + traces)
        * forward
        / (peak * _share(TRAINED_SHARE, shape)),
        sync_s=SYNC_S * shape.parameters / 0.5e9,
        card=card,
        gpus=gpus + apart,
        side_by_side=apart > 0,
    )


def _traces(config: DictConfig) -> int:
    """The teacher's traces in the updates of a step, once over its samples; taken to be as long as an answer."""
    settings = parse_settings(config.verl_coder)
    if not settings.uses_teacher:
        return 0
    mini_batches = -(
        -int(config.data.train_batch_size) // int(config.actor_rollout_ref.actor.ppo_mini_batch_size)
    )
    return settings.teacher.rows * mini_batches


def _generate(config: DictConfig, shape: ModelShape, card: Card, samples: int, gpus: int) -> float:
    """Seconds until the last answer is there."""
    assert card.tflops is not None and card.gb_per_s is not None
    rollout = config.actor_rollout_ref.rollout
    cards = int(rollout.tensor_model_parallel_size)
    replicas = max(gpus // cards, 1)
    longest = int(config.data.max_response_length)
    context = PROMPT_FILL * int(config.data.max_prompt_length) + FILL * longest / 2
    a_replica = -(-samples // replicas)
    bandwidth = cards * card.gb_per_s * 1e9
    # More sequences than fit at a time follow one another.
    rounds = -(-a_replica // int(rollout.max_num_seqs))
    reads = rounds * longest * (READ_S + 2 * shape.parameters / bandwidth)
    of_a_token = TOKEN_S + 2 * shape.kv_width * context / bandwidth
    of_a_token += 2 * shape.multiplied / (cards * card.tflops * 1e12 * MOST_SHARE)
    return float(reads + a_replica * FILL * longest * of_a_token)


def _operations(shape: ModelShape, length: float) -> float:
    """Of a token's forward pass in a sequence of `length`: products with the parameters, and causal attention."""
    return 2 * shape.multiplied + 2 * shape.layers * shape.heads * shape.head_dim * length


def _share(at_width: float, shape: ModelShape) -> float:
    return min(at_width * max(shape.hidden_size / WIDTH, 1.0), MOST_SHARE)


def _duration(seconds: float) -> str:
    hours = seconds / 3600
    if hours < 1:
        return f"{seconds / 60:.0f} min"
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} days"
