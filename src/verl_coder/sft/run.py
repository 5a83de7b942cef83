"""`verl-coder sft` from the traces to the model's folder.

A run that was stopped goes on from its last checkpoint; what only it needs is gone when the model is there.
"""

import json
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from verl_coder.files import locked, make_folder, refuse_file_in_the_way, write_atomically
from verl_coder.launch.signals import SAVING, EndSignals
from verl_coder.run.checkpoint_files import saved_steps, step_folder
from verl_coder.run.run_dir import RunDir
from verl_coder.sft.best import best_step
from verl_coder.sft.model_folder import finish_model
from verl_coder.sft.prepare import SftPlan, plan_run
from verl_coder.sft.process import train
from verl_coder.sft.record import begin, clear, digests, is_finished, last_step, row_files
from verl_coder.sft.rows import length, write_rows
from verl_coder.sft.settings import SftRequest
from verl_coder.sft.summary import summary, tell_plan, tell_result


def run(
    request: SftRequest, console: Console, *, dry_run: bool = False, memory_check: bool = True
) -> Path | None:
    """Train as asked, and return OUT/model; None after a dry run, or where SIGTERM asked for an end.

    ConfigError, DataError or VerlCoderError in one line where it fails.
    """
    refuse_file_in_the_way(request.out, "--out")
    found, run_dir = digests(request), RunDir(request.out.resolve())
    if _said_finished(request, run_dir, found, console):
        return request.out / "model"
    last_step(request, run_dir, found)
    plan = plan_run(request, run_dir, memory_check=memory_check)
    tell_plan(console, request, plan)
    busy = f"--out {request.out}: another process is training there"
    if dry_run:
        if run_dir.lock.is_file():
            with locked(run_dir.lock, busy):
                pass
        console.print("dry run: it would start", highlight=False)
        return None
    make_folder(request.out)
    with locked(run_dir.lock, busy):
        if _said_finished(request, run_dir, found, console):  # by a process that has ended since
            return request.out / "model"
        return _train(request, plan, run_dir, found, console)


def _said_finished(request: SftRequest, run_dir: RunDir, found: dict[str, str], console: Console) -> bool:
    if not is_finished(request, run_dir, found):
        return False
    clear(run_dir)
    console.print(
        f"finished: {request.out / 'model'} (another run: another --out)", highlight=False, soft_wrap=True
    )
    return True


def _train(
    request: SftRequest, plan: SftPlan, run_dir: RunDir, found: dict[str, str], console: Console
) -> Path | None:
    """From the last checkpoint to OUT/model, or to the checkpoint that SIGTERM asked for."""
    data, steps, folder = plan.data, plan.steps, request.out / "model"
    done = begin(request, run_dir, found, lambda words: console.print(words, highlight=False, soft_wrap=True))
    if done:
        console.print(f"resuming {request.out} after step {done}", highlight=False, soft_wrap=True)
    files = row_files(run_dir)
    write_rows(data.training, files["train"])
    write_rows(data.held_out, files["held_out"])
    if done < steps and not train(
        plan.keys,
        run_dir=run_dir,
        steps=steps,
        profile=request.profile,
        name=request.out.name,
        description="SFT",
    ):
        for path in (run_dir.stop_request, run_dir.stopped):
            path.unlink(missing_ok=True)
        step = run_dir.checkpoint_step()
        where = f"after step {step}, which is saved" if step else "with no checkpoint"
        console.print(
            f"stopped by SIGTERM {where}; the same command goes on", highlight=False, soft_wrap=True
        )
        return None
    with EndSignals(SAVING) as signals:  # the model is made in seconds
        _finish(request, plan, run_dir, found, console, resumed_after=done)
    if received := signals.take():
        console.print(f"{received.name}: all steps were done, and the model is written", highlight=False)
    return folder


def _finish(
    request: SftRequest,
    plan: SftPlan,
    run_dir: RunDir,
    found: dict[str, str],
    console: Console,
    *,
    resumed_after: int,
) -> None:
    """Make OUT/model of the checkpoint that is kept, and say what came of the training."""
    data, steps, folder = plan.data, plan.steps, request.out / "model"
    records = run_dir.read_metrics()
    best = best_step(records, saved_steps(run_dir.checkpoints)) if request.keep == "best" else None
    kept = steps if best is None else best
    rounding = finish_model(
        step_folder(run_dir.checkpoints, kept),
        plan.source,
        run_dir.path / "model",
        probe=min([*data.held_out] or data.training, key=length),
        lora={"rank": request.lora_rank, "alpha": request.alpha} if request.lora_rank else None,
    )
    result = summary(request, data.counts, steps, kept, records)
    result |= {"resumed_after": resumed_after, "saved": asdict(rounding), "digests": found}
    write_atomically(run_dir.summary, json.dumps(result, indent=2) + "\n")
    clear(run_dir)
    tell_result(console, result, rounding, folder)
