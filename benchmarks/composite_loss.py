"""One update of the actor: plain GRPO, the composite loss, three separate passes; alternately, on the same rows.

    python benchmarks/composite_loss.py [--rounds 5] [--prompts 16] [--samples 8] [--teacher-rows 32]
    python benchmarks/composite_loss.py --hidden 512 --layers 8      # a random Qwen2 of that size

The update is that of verl's own worker (FSDP2 engine, one process, fp32) with the settings of the recipe tiny_teacher,
and rows of the lengths that the tiny problems have. JSON lines: what the rows hold, seconds of the three ways and
their ratios (medians over the rounds), and by how much the gradients of the second and the third differ.

`tokens` counts prompts and responses; `padded` is what the model computes, since micro-batches are
padded here (`use_remove_padding=false`).
"""

import argparse
import json
import os
import random
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from verl_coder.platform.environment import select_cpu_platform

select_cpu_platform()

import torch  # noqa: E402
from tensordict import TensorDict  # noqa: E402

from verl_coder.launch.plan import TrainRequest, make_plan  # noqa: E402
from verl_coder.tiny.build import BASE  # noqa: E402
from verl_coder.tiny.problems import problems  # noqa: E402
from verl_coder.tiny.traces import write_traces  # noqa: E402
from verl_coder.traces import Trace, TraceRow, rollout_tokenizer  # noqa: E402
from verl_coder.trainer.composite.layout import Layout  # noqa: E402
from verl_coder.trainer.composite.loss import (  # noqa: E402  # noqa: E402
    ALPHA_FIELD,
    WEIGHT_FIELDS,
    actor_loss,
    token_weights,
    weighted_nll,
)

BETA, GAMMA = 0.3, 0.1
Loss = Callable[..., tuple[torch.Tensor, dict[str, Any]]]
Part = tuple[TensorDict, Loss]


def make_model(folder: Path, hidden: int, layers: int) -> Path:
    """A random Qwen2 with the tiny tokenizer."""
    from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(BASE)
    shape = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=hidden,
        intermediate_size=4 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=hidden // 64,
        num_key_value_heads=hidden // 64,
        eos_token_id=tokenizer.eos_token_id,
    )
    torch.manual_seed(0)
    Qwen2ForCausalLM(shape).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_worker(config: Any) -> tuple[Any, Any]:
    """verl's TrainingWorker in this process, and the actor's configuration."""
    from verl.utils.config import omega_conf_to_dataclass
    from verl.workers.engine_workers import TrainingWorker, TrainingWorkerConfig

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    os.environ |= {
        "RANK": "0",
        "WORLD_SIZE": "1",
        "LOCAL_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
    }
    actor = omega_conf_to_dataclass(config.actor_rollout_ref.actor)
    actor.model_config = omega_conf_to_dataclass(config.actor_rollout_ref.model)
    worker = TrainingWorker(
        TrainingWorkerConfig(
            model_type="language_model",
            model_config=actor.model_config,
            engine_config=actor.engine,
            optimizer_config=actor.optim,
            checkpoint_config=actor.checkpoint,
        )
    )
    worker.reset()
    return worker, actor


class Rows:
    """Rollouts and traces as the trainer would put them into a mini-batch."""

    def __init__(
        self, config: Any, *, prompts: int, samples: int, teacher_rows: int, micro_batch: int
    ) -> None:
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(config.actor_rollout_ref.model.path)
        self._tokenise = rollout_tokenizer(config, tokenizer, "qwen2").row
        self.micro_batch = micro_batch
        count = prompts * samples
        self.rollouts = self._draw(count, direct_share=0.5)
        self.teacher = self._draw(teacher_rows, direct_share=0.0)
        masks = [torch.tensor(row.loss_mask) for row in self.rollouts]
        chosen = [mask * (index % samples == 0) for index, mask in enumerate(masks)]
        self.self_rows = [index for index, mask in enumerate(chosen) if mask.any()]
        self._self_weights = token_weights(chosen, [0] * count, GAMMA)
        teacher_masks = [torch.tensor(row.loss_mask) for row in self.teacher]
        self._teacher_weights = token_weights(teacher_masks, [0] * teacher_rows, BETA)
        self.policy_tokens = sum(int(mask.sum()) for mask in masks)

    def _draw(self, count: int, direct_share: float) -> list[TraceRow]:
        traces = write_traces(problems("rl", count, seed=1), seed=1, direct_share=direct_share)
        found = [self._tokenise(Trace(problem_id="", messages=trace.messages)) for trace in traces]
        assert all(row is not None for row in found)
        return [row for row in found if row is not None]

    def batch(self, rollouts: Sequence[int], teacher: Sequence[int]) -> TensorDict:
        """The chosen rows in the trainer's order, with every column that the actor reads."""
        from verl.utils import tensordict_utils as tu

        own = [self._fields(self.rollouts[i], i, self._self_weights[i], rollout=True) for i in rollouts]
        added = [self._fields(self.teacher[i], i, self._teacher_weights[i], rollout=False) for i in teacher]
        rows = own + added
        if own and added:
            layout = Layout(rows=len(own), dp_size=1, mini_batch_rows=len(own))
            rows = layout.interleave(own, [added], [], self.micro_batch)
        columns = {
            name: torch.nested.as_nested_tensor([row[name] for row in rows], layout=torch.jagged)
            for name in rows[0]
        }
        data = TensorDict(columns, batch_size=len(rows))
        tu.assign_non_tensor(
            data,
            use_remove_padding=False,
            use_dynamic_bsz=False,
            use_fused_kernels=False,
            micro_batch_size_per_gpu=min(self.micro_batch, len(rows)),
            global_batch_size=len(self.rollouts),
            temperature=1.0,
            calculate_entropy=False,
            distillation_use_topk=False,
        )
        tu.assign_non_tensor(data, **{ALPHA_FIELD: 1.0})
        return data

    @staticmethod
    def _fields(row: TraceRow, seed: int, weights: torch.Tensor, *, rollout: bool) -> dict[str, torch.Tensor]:
        prompt, response = torch.tensor(row.prompt_ids), torch.tensor(row.response_ids)
        mask = torch.tensor(row.loss_mask) * rollout
        rng, none = torch.Generator().manual_seed(seed), torch.zeros_like(weights)
        return {
            "prompts": prompt,
            "responses": response,
            "input_ids": torch.cat([prompt, response]),
            "position_ids": torch.arange(len(prompt) + len(response)),
            "response_mask": mask,
            "loss_mask": mask,
            "old_log_probs": -0.1 * torch.rand(len(response), generator=rng),
            "ref_log_prob": -0.1 * torch.rand(len(response), generator=rng),
            "advantages": torch.randn(1, generator=rng) * mask,
            WEIGHT_FIELDS[0]: none if rollout else weights,
            WEIGHT_FIELDS[1]: weights if rollout else none,
        }


def supervised_loss(
    model_output: dict[str, Any], data: TensorDict, dp_group: Any = None
) -> tuple[torch.Tensor, dict[str, Any]]:
    """What a pass of its own computes for one supervised source."""
    from verl.workers.utils.padding import no_padding_2_padding

    log_prob = no_padding_2_padding(model_output["log_probs"], data)
    weights = sum(data[name].to_padded_tensor(0.0) for name in WEIGHT_FIELDS)
    assert isinstance(weights, torch.Tensor)
    return weighted_nll(log_prob, weights), {}


def gradients(worker: Any, parts: Sequence[Part]) -> None:
    """Forward and backward over every part, one after another, gradients added up."""
    worker.engine.optimizer_zero_grad()
    for data, loss in parts:
        worker.engine.forward_backward_batch(data, loss, forward_only=False)


def update(worker: Any, parts: Sequence[Part]) -> float:
    """Seconds of one optimiser step."""
    started = time.perf_counter()
    with worker.engine.train_mode():
        gradients(worker, parts)
        worker.engine.optimizer_step()
    return time.perf_counter() - started


def gradient_of(worker: Any, parts: Sequence[Part]) -> torch.Tensor:
    """The gradient as one vector."""
    with worker.engine.train_mode():
        gradients(worker, parts)
        found = [p.grad for p in worker.engine.module.parameters() if p.grad is not None]
        return torch.cat([getattr(grad, "_local_tensor", grad).flatten() for grad in found]).clone()


def size(parts: Sequence[Part]) -> dict[str, int]:
    """Tokens, and tokens with the padding of the micro-batches."""
    tokens = padded = 0
    for data, _ in parts:
        lengths = data["input_ids"].offsets().diff().tolist()
        step = data["micro_batch_size_per_gpu"]
        tokens += sum(lengths)
        padded += sum(
            len(part) * max(part) for part in (lengths[i : i + step] for i in range(0, len(lengths), step))
        )
    return {"tokens": tokens, "padded": padded}


def measure(worker: Any, ways: dict[str, list[Part]], rounds: int) -> dict[str, float]:
    """Median seconds of each way, in turns of random order, after one that warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    rng = random.Random(0)
    for number in range(rounds + 1):
        for name in rng.sample(list(ways), k=len(ways)):
            spent = update(worker, ways[name])
            if number:
                seconds[name].append(spent)
    return {name: statistics.median(values) for name, values in seconds.items()}


def run(options: argparse.Namespace) -> None:
    """All lines for one model."""
    from verl.workers.utils.losses import ppo_loss

    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vc-")))
        model = (
            make_model(scratch / "model", options.hidden, options.layers) if options.hidden else options.model
        )
        overrides = tuple(
            f"+actor_rollout_ref.actor.fsdp_config.mixed_precision.{name}=fp32"
            for name in ("param_dtype", "reduce_dtype")
        )
        request = TrainRequest(
            recipe="tiny_teacher", model=str(model), out=str(scratch / "run"), overrides=overrides
        )
        config = make_plan(request).config
        worker, actor = make_worker(config)
        rows = Rows(
            config,
            prompts=options.prompts,
            samples=options.samples,
            teacher_rows=options.teacher_rows,
            micro_batch=config.actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu,
        )
        every, taught = range(len(rows.rollouts)), range(len(rows.teacher))
        policy = (rows.batch(every, []), partial(ppo_loss, actor))
        ways: dict[str, list[Part]] = {
            "grpo": [policy],
            "composite": [(rows.batch(every, taught), partial(actor_loss, actor))],
            "three_passes": [
                policy,
                (rows.batch([], taught), supervised_loss),
                (rows.batch(rows.self_rows, []), supervised_loss),
            ],
        }
        one, three = gradient_of(worker, ways["composite"]), gradient_of(worker, ways["three_passes"])
        sizes = {name: size(parts) for name, parts in ways.items()}
        parameters = sum(p.numel() for p in worker.engine.module.parameters())
        rows_of = {"grpo": len(every), "teacher": len(taught), "self": len(rows.self_rows)}
        print(json.dumps({"measure": "rows", "parameters": parameters, "rows": rows_of, **sizes}), flush=True)
        print(
            json.dumps(
                {
                    "measure": "gradient, composite against three passes",
                    "largest_difference": float((one - three).abs().max()),
                    "largest_entry": float(three.abs().max()),
                }
            ),
            flush=True,
        )
        seconds = measure(worker, ways, options.rounds)
        print(
            json.dumps({"measure": "seconds an update", **{k: round(v, 3) for k, v in seconds.items()}}),
            flush=True,
        )
        ratios = {
            "composite / grpo": seconds["composite"] / seconds["grpo"],
            "its tokens / grpo's": sizes["composite"]["tokens"] / sizes["grpo"]["tokens"],
            "its padded tokens / grpo's": sizes["composite"]["padded"] / sizes["grpo"]["padded"],
            "three passes / composite": seconds["three_passes"] / seconds["composite"],
        }
        print(json.dumps({"measure": "ratios", **{k: round(v, 3) for k, v in ratios.items()}}), flush=True)
        torch.distributed.destroy_process_group()


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=BASE)
    parser.add_argument(
        "--hidden", type=int, default=0, help="a random model of this width, a multiple of 64"
    )
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--teacher-rows", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    run(parser.parse_args())


if __name__ == "__main__":
    main()
