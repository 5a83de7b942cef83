"""Passes over the samples of a GRPO group: each alone, packed into rows, and with what they have in common once.

The last also with logits of the answers only.

    python benchmarks/shared_prefix.py [--model FOLDER] [--prompt 400] [--answer 400] [--samples 8] [--rounds 2]

Random tokens on the model's own weights (default: the tiny base), float32, LoRA of rank 16 if --lora is given. The
layouts take turns within a round. JSON lines: tokens that a layout computes, median seconds of the pass for log-probs
and of the update's (forward and backward), their ratio to the first layout, and by how much log-probs differ from its.
"""

import argparse
import json
import statistics
import time
from types import SimpleNamespace
from typing import Any

from verl_coder.platform.environment import select_cpu_platform

select_cpu_platform()

import torch  # noqa: E402
import verl.workers.engine.fsdp.transformer_impl as fsdp  # noqa: E402
from tensordict import TensorDict  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402
from verl.utils import tensordict_utils as tu  # noqa: E402

from verl_coder.platform import packed_attention, shared_prefix  # noqa: E402
from verl_coder.tiny.build import BASE  # noqa: E402

LAYOUTS = {
    "alone": "sdpa",
    "packed": packed_attention.NAME,
    "shared": shared_prefix.NAME,
    "shared, answers' logits": shared_prefix.NAME,
}
TRAINED_ONLY = "shared, answers' logits"


def make_rows(options: argparse.Namespace, vocabulary: int) -> list[list[int]]:
    """Prompts of one length, answers from half to one and a half times the mean."""
    draw = torch.Generator().manual_seed(0)

    def tokens(count: int) -> list[int]:
        return torch.randint(vocabulary, (count,), generator=draw).tolist()

    rows = []
    for _ in range(options.groups):
        prompt = tokens(options.prompt)
        for place in range(options.samples):
            share = 0.5 + place / max(options.samples - 1, 1)
            rows.append(prompt + tokens(round(options.answer * share)))
    return rows


def make_batch(rows: list[list[int]], answers: list[int] | None = None) -> TensorDict:
    def nested(values: list[list[int]]) -> torch.Tensor:
        return torch.nested.as_nested_tensor([torch.tensor(value) for value in values], layout=torch.jagged)

    fields = {"input_ids": nested(rows), "position_ids": nested([list(range(len(row))) for row in rows])}
    if answers is not None:
        fields["loss_mask"] = nested([[1] * length for length in answers])
    data = TensorDict(fields, batch_size=len(rows))
    tu.assign_non_tensor(data, use_remove_padding=True, temperature=1.0)
    return data


def make_engine(model: Any) -> Any:
    """verl's engine around a model that is there, as far as a pass needs it."""
    engine: Any = fsdp.FSDPEngineWithLMHead.__new__(fsdp.FSDPEngineWithLMHead)
    engine.module, engine.model_config = model, SimpleNamespace(hf_config=model.config)
    engine.engine_config = SimpleNamespace()
    engine.use_ulysses_sp, engine.pad_to_length = False, 0
    return engine


def one_pass(
    engine: Any, rows: list[list[int]], prompt: int, layout: str, most: int, *, train: bool
) -> tuple[float, int, Any]:
    """Seconds, tokens computed, and the log-probs of the answers by row."""
    engine.module.config._attn_implementation = LAYOUTS[layout]
    numbers = (
        [[row] for row in range(len(rows))] if layout == "alone" else shared_prefix.micro_batches(rows, most)
    )
    found: dict[int, torch.Tensor] = {}
    computed, begun = 0, time.perf_counter()
    for part in numbers:
        answers = [len(rows[number]) - prompt for number in part] if layout == TRAINED_ONLY else None
        data = make_batch([rows[number] for number in part], answers)
        with torch.set_grad_enabled(train):
            inputs, arguments = engine.prepare_model_inputs(data)
            computed += inputs["input_ids"].numel()
            output = engine.module(**inputs, use_cache=False)
            log_probs = engine.prepare_model_outputs(output, arguments, data, None)["log_probs"]
            kept = [values[prompt - 1 : -1] for values in log_probs.unbind()]
            if train:
                torch.cat(kept).mean().backward()
        for number, values in zip(part, kept, strict=True):
            found[number] = values.detach()
    return time.perf_counter() - begun, computed, torch.cat([found[number] for number in sorted(found)])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default=str(BASE))
    parser.add_argument("--lora", action="store_true")
    for name, default in (
        ("prompt", 400),
        ("answer", 400),
        ("samples", 8),
        ("groups", 1),
        ("rounds", 2),
        ("most", 2048),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--layouts", nargs="+", choices=list(LAYOUTS), default=list(LAYOUTS))
    options = parser.parse_args()
    model = AutoModelForCausalLM.from_pretrained(
        options.model, dtype=torch.float32, attn_implementation="sdpa"
    )
    if options.lora:
        from peft import LoraConfig, get_peft_model

        model = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear"))
    engine, rows = make_engine(model), make_rows(options, model.config.vocab_size)
    seconds: dict[tuple[str, bool], list[float]] = {}
    computed, values = {}, {}
    for _ in range(options.rounds):
        for layout in options.layouts:
            for train in (False, True):
                taken, computed[layout], values[layout] = one_pass(
                    engine, rows, options.prompt, layout, options.most, train=train
                )
                seconds.setdefault((layout, train), []).append(taken)
    first = options.layouts[0]
    for layout in options.layouts:
        log_probs, update = (statistics.median(seconds[layout, train]) for train in (False, True))
        line = {
            "layout": layout,
            "tokens": computed[layout],
            "log_probs_s": round(log_probs, 2),
            "update_s": round(update, 2),
            "log_probs_ratio": round(statistics.median(seconds[first, False]) / log_probs, 2),
            "update_ratio": round(statistics.median(seconds[first, True]) / update, 2),
            "largest_difference": float((values[layout] - values[first]).abs().max()),
        }
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
