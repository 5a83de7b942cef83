"""`verl-coder sft` from the traces to the model's folder.

A run that was stopped starts again from its model: nothing of it is kept but its log, until the next start.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from verl_coder.errors import ConfigError, DataError
from verl_coder.files import write_atomically
from verl_coder.model_digest import folder_digest
from verl_coder.sft.model_folder import finish_model, resolve_model
from verl_coder.sft.process import CHECKPOINT, METRICS, read_metrics, train
from verl_coder.sft.rows import TokenisedTraces, length, shuffled, split_by_problem, tokenise, write_rows
from verl_coder.sft.settings import SftRequest, total_steps, trainer_keys
from verl_coder.sft.student import student_tokenizer
from verl_coder.traces import (
    Trace,
    TraceError,
    TraceRow,
    TraceTokenizer,
    check_text,
    read_traces,
)
from verl_coder.words import counted


@dataclass(frozen=True, kw_only=True)
class _Data:
    training: list[TraceRow]
    held_out: list[TraceRow]
    counts: dict[str, int]

    @property
    def longest(self) -> int:
        return max(length(row) for row in [*self.training, *self.held_out])


def run(request: SftRequest, console: Console) -> Path:
    """Train as asked, and return OUT/model. ConfigError, DataError or VerlCoderError in one line where it fails."""
    folder, summary_path = request.out / "model", request.out / "summary.json"
    if _is_finished(request):
        console.print(f"finished: {folder} (another run: another --out)", highlight=False, soft_wrap=True)
        return folder
    source = resolve_model(request.model)
    digests = _digests(request)
    data = _prepare(request, source)
    steps = total_steps(request, len(data.training))
    _tell(console, request, data, steps)
    request.out.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(request.out / CHECKPOINT, ignore_errors=True)
    out = request.out.resolve()
    files = {"train": out / "train_rows.parquet", "held_out": out / "held_out_rows.parquet"}
    write_rows(data.training, files["train"])
    write_rows(data.held_out, files["held_out"])
    keys = trainer_keys(
        request,
        model=source,
        train_file=files["train"],
        val_file=files["held_out"] if data.held_out else None,
        longest=data.longest,
    )
    start = time.monotonic()
    trained = train(
        keys,
        workdir=out,
        steps=steps,
        profile=request.profile,
        name=request.out.name,
        description="SFT",
    )
    seconds = time.monotonic() - start
    finish_model(trained, source, folder)
    shutil.rmtree(request.out / CHECKPOINT)
    for path in files.values():
        path.unlink()
    result = summary(request, data.counts, steps, seconds, read_metrics(request.out / METRICS))
    result["digests"] = digests
    write_atomically(summary_path, json.dumps(result, indent=2) + "\n")
    _tell_result(console, result, folder)
    return folder


def _is_finished(request: SftRequest) -> bool:
    """Whether this very run is in OUT; ConfigError where another one is."""
    path = request.out / "summary.json"
    if not path.is_file():
        if (request.out / "model").exists() and not (request.out / METRICS).is_file():
            raise ConfigError(f"--out {request.out} holds a model that is not of this command: name another")
        return False
    written = json.loads(path.read_text())
    before, now = written.get("settings", {}), request.as_json()
    changed = [
        f"{name} was {before.get(name)}, is {value}"
        for name, value in now.items()
        if before.get(name) != value
    ]
    digests = written.get("digests", {})  # absent in the summaries of older versions
    changed += [
        f"the content of {option} is another one"
        for option, digest in _digests(request).items()
        if digests.get(option, digest) != digest
    ]
    if changed:
        raise ConfigError(
            f"--out {request.out} holds a finished run with other settings ({'; '.join(changed)}): name another"
        )
    return True


def _digests(request: SftRequest) -> dict[str, str]:
    """SHA-256 of the files that the request names, by option, `folder_digest` of the model; what is gone has none."""
    model = {"--model": folder_digest(Path(request.model))} if Path(request.model).is_dir() else {}
    files = {"--traces": request.traces, "--validation": request.validation, "--tools": request.tools}
    return model | {
        option: hashlib.sha256(Path(file).read_bytes()).hexdigest()
        for option, file in files.items()
        if file and Path(file).is_file()
    }


def _prepare(request: SftRequest, source: Path) -> _Data:
    traces = read_traces(request.traces, option="--traces")
    held_out = read_traces(request.validation, option="--validation") if request.validation else []
    tokenizer = student_tokenizer(
        source,
        request.tools,
        [*traces, *held_out],
        max_prompt_tokens=request.max_prompt_length,
        max_response_tokens=request.max_response_length,
        chat_template_kwargs=request.chat_template_kwargs,
    )
    found = _rows(request, traces, tokenizer, f"--traces: {request.traces}")
    if request.validation:
        checked = _rows(request, held_out, tokenizer, f"--validation: {request.validation}")
        training, validation = found.rows, checked.rows
    else:
        training, validation = split_by_problem(found.rows, request.val_share, seed=request.seed)
    counts = {
        "traces": found.read,
        "dropped_too_long": found.too_long,
        "training": len(training),
        "held_out": len(validation),
        "tokens": sum(length(row) for _, row in training),
        "tokens_learnt": sum(sum(row.loss_mask) for _, row in training),
    }
    return _Data(
        training=shuffled(training, seed=request.seed), held_out=[row for _, row in validation], counts=counts
    )


def _rows(
    request: SftRequest, traces: Sequence[Trace], tokenizers: tuple[Any, TraceTokenizer], place: str
) -> TokenisedTraces:
    tokenizer, tokeniser = tokenizers
    for index, trace in enumerate(traces):
        try:
            check_text(trace, tokenizer, tokeniser, request.model)
        except TraceError as error:
            raise DataError(f"{place}, row {index}: {error}") from error
    found = tokenise(traces, tokeniser, place=place)
    if not found.rows:
        raise DataError(
            f"{place}: no trace fits into --max-prompt-length {request.max_prompt_length} and "
            f"--max-response-length {request.max_response_length} tokens: raise them, or shorten the traces"
        )
    return found


def summary(
    request: SftRequest, counts: dict[str, int], steps: int, seconds: float, metrics: list[dict[str, Any]]
) -> dict[str, Any]:
    """What the run came to; losses are means over the learnt tokens, the validation loss None without held-out rows."""
    data = [record["data"] for record in metrics]
    losses = [d["train/loss"] for d in data if "train/loss" in d]
    step_s = sum(d.get("timing_s/step", 0.0) for d in data)
    tokens = sum(d.get("train/global_tokens", 0) for d in data)
    return {
        "settings": request.as_json(),
        "data": counts,
        "steps": steps,
        "train_loss": {"first": losses[0], "last": losses[-1]},
        "validation_loss": {
            "before": next((d["val/loss_before"] for d in data if "val/loss_before" in d), None),
            "after": next((d["val/loss"] for d in reversed(data) if "val/loss" in d), None),
        },
        "seconds": round(seconds, 1),
        "tokens_per_s": round(tokens / step_s, 1) if step_s else None,
        "model": str(request.out / "model"),
    }


def _tell(console: Console, request: SftRequest, data: _Data, steps: int) -> None:
    counts = data.counts
    longest = f"{request.max_prompt_length} tokens of prompt or {request.max_response_length} of response"
    lines = [
        f"traces: {counts['traces']} read, {counts['dropped_too_long']} dropped (longer than {longest}), "
        f"{counts['training']} to train on, {counts['held_out']} held out",
        f"tokens: {counts['tokens']} an epoch, {counts['tokens_learnt']} of them learnt; the longest trace has "
        f"{data.longest}; tools in the prompt: {request.tools or 'none'}",
        f"steps: {steps} of {request.batch_size} traces, {counted(request.epochs, 'epoch')}, on the {request.profile}",
    ]
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)


def _tell_result(console: Console, result: dict[str, Any], folder: Path) -> None:
    train_loss, validation = result["train_loss"], result["validation_loss"]
    line = f"loss: {train_loss['first']:.3f} -> {train_loss['last']:.3f}"
    if validation["before"] is not None and validation["after"] is not None:
        line += f"; held out {validation['before']:.3f} -> {validation['after']:.3f}"
    line += f"; {result['seconds']:.0f} s, {result['tokens_per_s'] or 0:.0f} tokens/s"
    console.print(line, highlight=False, soft_wrap=True)
    console.print(f"model: {folder}", highlight=False, soft_wrap=True)
