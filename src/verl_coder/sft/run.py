"""`verl-coder sft` from the traces to the model's folder.

A run that was stopped goes on from its last checkpoint; what only it needs is gone when the model is there.
"""

import json
import shutil
import time
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from verl_coder.files import locked, make_folder, write_atomically
from verl_coder.run.checkpoint_files import step_folder
from verl_coder.run.run_dir import RunDir
from verl_coder.sft.best import BestLoss
from verl_coder.sft.model_folder import finish_model
from verl_coder.sft.prepare import SftPlan, plan_run
from verl_coder.sft.process import train
from verl_coder.sft.record import begin, digests, is_finished
from verl_coder.sft.rows import length, write_rows
from verl_coder.sft.settings import SftRequest, trainer_keys
from verl_coder.sft.summary import summary, tell_plan, tell_result


def run(
    request: SftRequest, console: Console, *, dry_run: bool = False, memory_check: bool = True
) -> Path | None:
    """Train as asked, and return OUT/model; None after a dry run, or where SIGTERM asked for an end.

    ConfigError, DataError or VerlCoderError in one line where it fails.
    """
    if is_finished(request):
        folder = request.out / "model"
        console.print(f"finished: {folder} (another run: another --out)", highlight=False, soft_wrap=True)
        return folder
    plan = plan_run(request, memory_check=memory_check)
    tell_plan(console, request, plan)
    if dry_run:
        console.print("dry run: it would start", highlight=False)
        return None
    make_folder(request.out)
    run_dir = RunDir(request.out.resolve())
    with locked(run_dir.lock, f"--out {request.out}: another process is training there"):
        return _train(request, plan, run_dir, console)


def _train(request: SftRequest, plan: SftPlan, run_dir: RunDir, console: Console) -> Path | None:
    """From the last checkpoint to OUT/model, or to the checkpoint that SIGTERM asked for."""
    data, steps, folder = plan.data, plan.steps, request.out / "model"
    done = begin(request, run_dir)
    if done:
        console.print(f"resuming {request.out} after step {done}", highlight=False, soft_wrap=True)
    files = {"train": run_dir.path / "train_rows.parquet", "held_out": run_dir.path / "held_out_rows.parquet"}
    write_rows(data.training, files["train"])
    write_rows(data.held_out, files["held_out"])
    keys = trainer_keys(
        request,
        model=plan.source,
        train_file=files["train"],
        val_file=files["held_out"] if data.held_out else None,
        longest=data.longest,
    )
    start = time.monotonic()
    if done < steps and not train(
        keys, run_dir=run_dir, steps=steps, profile=request.profile, name=request.out.name, description="SFT"
    ):
        step = run_dir.checkpoint_step()
        console.print(
            f"stopped by SIGTERM after step {step}, which is saved; the same command goes on", highlight=False
        )
        return None
    seconds = time.monotonic() - start
    best = BestLoss.read(run_dir.best) if request.keep == "best" else None
    kept = best.step if best else steps
    rounding = finish_model(
        step_folder(run_dir.checkpoints, kept),
        plan.source,
        run_dir.path / "model",
        probe=min([*data.held_out] or data.training, key=length),
        lora={"rank": request.lora_rank, "alpha": request.alpha} if request.lora_rank else None,
    )
    result = summary(request, data.counts, steps, seconds, run_dir.read_metrics())
    result |= {
        "kept_step": kept,
        "resumed_after": done,
        "saved": asdict(rounding),
        "digests": digests(request),
    }
    write_atomically(run_dir.summary, json.dumps(result, indent=2) + "\n")
    shutil.rmtree(run_dir.checkpoints)
    for path in (*files.values(), run_dir.resume):
        path.unlink(missing_ok=True)
    tell_result(console, result, rounding, folder)
    return folder
