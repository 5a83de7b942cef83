"""Is an exported LoRA run the policy that was trained? A short tiny_lora run, both exports, log-probabilities compared.

    python benchmarks/lora_export.py --out outputs/lora_export

The run computes in fp32, and this module, loaded into its workers as `model.external_lib`, writes down the
log-probabilities that verl's actor gives the rollouts of the last step, before that step's update. The checkpoint of
the step before is exported both ways; PEFT loads the adapter on the base, transformers the merged model. One JSON line
each: the largest and the mean difference over the tokens; beside it the base, against the policy and against the
reference policy (which is the base), so that the numbers have a scale.
"""

import argparse
import itertools
import json
import os
import shutil
from pathlib import Path
from typing import Any

DUMP = "VERL_CODER_DUMP_LOG_PROBS"
"""Environment variable: the folder that the workers write to."""


def write_down_log_probs(folder: Path) -> None:
    """Make verl's engine write every forward pass without gradient to `folder`, in order."""
    import torch
    import verl.workers.engine.fsdp.transformer_impl as engine

    import verl_coder.platform.fsdp_cpu  # noqa: F401  # what external_lib is on the CPU otherwise

    original, numbers = engine.FSDPEngineWithLMHead.forward_step, itertools.count()

    def forward_step(self: Any, micro_batch: Any, loss_function: Any, forward_only: bool) -> Any:
        loss, output = original(self, micro_batch, loss_function, forward_only)
        if forward_only:
            rows = zip(
                micro_batch["input_ids"].unbind(), output["model_output"]["log_probs"].unbind(), strict=True
            )
            torch.save(
                [(ids.clone(), found.clone()) for ids, found in rows], folder / f"{next(numbers):04d}.pt"
            )
        return loss, output

    engine.FSDPEngineWithLMHead.forward_step = forward_step  # type: ignore[method-assign]


def train(out: Path, dump: Path) -> None:
    """Two steps of tiny_lora; a checkpoint after each."""
    from rich.console import Console

    from verl_coder.platform.environment import select_cpu_platform

    select_cpu_platform()
    from verl_coder.trainer.launch import start
    from verl_coder.trainer.plan import TrainRequest, make_plan

    here = str(Path(__file__).resolve().parent)
    os.environ["PYTHONPATH"] = os.pathsep.join([*filter(None, [os.environ.get("PYTHONPATH")]), here])
    os.environ[DUMP] = str(dump)
    overrides = (
        "trainer.total_training_steps=2",
        "trainer.save_freq=1",
        "trainer.test_freq=2",
        "data.train_batch_size=8",
        "actor_rollout_ref.actor.ppo_mini_batch_size=8",
        f"actor_rollout_ref.model.external_lib={Path(__file__).stem}",
        "+actor_rollout_ref.actor.fsdp_config.mixed_precision.param_dtype=fp32",
    )
    status = start(
        make_plan(TrainRequest(recipe="tiny_lora", out=str(out), overrides=overrides)), Console(stderr=True)
    )
    if status:
        raise SystemExit(status)


def compare(out: Path, dump: Path) -> list[dict[str, Any]]:
    """The lines of the two exports and of the base."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from verl_coder.trainer.export import export, load_config
    from verl_coder.trainer.run_dir import RunDir

    run_dir, scratch = RunDir(out), out / "exports"
    shutil.rmtree(scratch, ignore_errors=True)
    adapter = export(run_dir, scratch / "adapter", step=1, adapter=True)
    merged = export(run_dir, scratch / "merged", step=1)
    base = str(load_config(run_dir).actor_rollout_ref.model.path)

    def load(path: Path | str) -> Any:
        return AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()

    def difference(model: Any, rows: list[Any]) -> dict[str, Any]:
        found = []
        for ids, expected in rows:
            with torch.inference_mode():
                logits = model(ids[None]).logits[0, :-1].log_softmax(-1)
            found.append((logits.gather(-1, ids[1:, None])[:, 0] - expected[:-1]).abs())
        every = torch.cat(found)
        return {"tokens": len(every), "largest": float(every.max()), "mean": float(every.mean())}

    # The last step's passes: old log-probabilities by the policy, then the reference's without the adapter.
    files = sorted(dump.glob("*.pt"))
    policy, reference = torch.load(files[-2]), torch.load(files[-1])
    pairs = (
        ("adapter loaded by PEFT, policy", PeftModel.from_pretrained(load(base), adapter).eval(), policy),
        ("merged export, policy", load(merged), policy),
        ("base, policy", load(base), policy),
        ("base, reference policy", load(base), reference),
    )
    return [{"log-probabilities of": name, **difference(model, rows)} for name, model, rows in pairs]


def main() -> None:
    """Train where `--out` holds no run yet, then compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out.resolve()
    dump = out / "log_probs"
    dump.mkdir(parents=True, exist_ok=True)
    train(out, dump)
    for line in compare(out, dump):
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
elif os.environ.get(DUMP):
    write_down_log_probs(Path(os.environ[DUMP]))
