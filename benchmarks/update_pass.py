"""The update's pass of a LoRA run on a CPU: logits, the adapter's addition, the allocator, one after the other.

    python benchmarks/update_pass.py [--model FOLDER] [--passes 24] [--numbers float32] [--longest 900]

Forward and backward over one row of random tokens, of another length each time; each variant has what those before it
have, and a process of its own. One JSON line each: tokens a second (without the first eight passes), its ratio to
the first variant, page faults a pass, and the process's memory at its highest. The losses differ by rounding only.
Default model: Qwen2.5-Coder-0.5B's shape with random weights.
"""

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from verl_coder.platform.allocator import allocator_environment, give_back
from verl_coder.platform.environment import select_cpu_platform

VARIANTS = ("as peft and transformers do it", "no logits", "adapter added in place", "jemalloc")
SHAPE = "config/models/Qwen--Qwen2.5-Coder-0.5B-Instruct.json"
_WARM = 8


def make_model(options: argparse.Namespace) -> Any:
    """With an adapter of rank 16 on all linear layers."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    from verl_coder.paths import resolve_content_path

    torch.manual_seed(0)
    kind = getattr(torch, options.numbers)
    if options.model:
        model = AutoModelForCausalLM.from_pretrained(options.model, dtype=kind)
    else:
        described = json.loads(resolve_content_path(SHAPE).read_text())
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**described), dtype=kind)
    return (
        get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules="all-linear")).to(kind).train()
    )


def measure(options: argparse.Namespace) -> dict[str, float]:
    """One variant, in this process."""
    import torch

    if options.variant >= 2:
        import verl_coder.platform.lora_linear  # noqa: F401 - by being imported
    from verl_coder.platform.label_log_probs import Question, label_head_of

    model = make_model(options)
    head = label_head_of(model) if options.variant >= 1 else None
    give_back()
    # The peak of what made the model is none of a pass.
    Path("/proc/self/clear_refs").write_text("5")
    draw = random.Random(0)
    seconds, tokens, faults, loss = 0.0, 0, 0, 0.0
    for number in range(options.passes):
        ids = torch.randint(150_000, (1, draw.randint(options.shortest, options.longest)))
        labels = ids[0].roll(-1)
        began, faults_before = time.perf_counter(), _faults()
        if head is None:
            logits = model(input_ids=ids, use_cache=False).logits[0].float()
            log_probs = -torch.nn.functional.cross_entropy(logits, labels, reduction="none")
            del logits
        else:
            head.question = Question(labels, None, None)
            log_probs = model(input_ids=ids, use_cache=False).logits[0]
        total = -log_probs.mean()
        total.backward()
        loss = total.item()
        del log_probs, total
        model.zero_grad()
        if number >= _WARM:
            seconds += time.perf_counter() - began
            tokens += ids.numel()
            faults += _faults() - faults_before
    return {
        "tokens_per_s": round(tokens / seconds, 1),
        "page_faults_a_pass": round(faults / (options.passes - _WARM)),
        "peak_mib": _peak_mib(),
        "loss": round(loss, 4),
    }


def _faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def _peak_mib() -> int:
    (line,) = (
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")
    )
    return int(line.split()[1]) >> 10


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="")
    parser.add_argument("--passes", type=int, default=24)
    parser.add_argument("--numbers", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--shortest", type=int, default=300)
    parser.add_argument("--longest", type=int, default=900)
    parser.add_argument("--variant", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.passes <= _WARM:
        parser.error(
            f"--passes {options.passes}: more than {_WARM} are needed, the first {_WARM} are not counted"
        )
    select_cpu_platform()
    if options.variant is not None:
        print(json.dumps(measure(options)))
        return
    first = 0.0
    for number, name in enumerate(VARIANTS):
        own = allocator_environment() if name == "jemalloc" else {}
        done = subprocess.run(
            [sys.executable, *sys.argv, f"--variant={number}"],
            env={**os.environ, **own},
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        found = json.loads(done.stdout.splitlines()[-1])
        first = first or found["tokens_per_s"]
        print(
            json.dumps({"variant": name, "ratio": round(found["tokens_per_s"] / first, 2), **found}),
            flush=True,
        )


if __name__ == "__main__":
    main()
