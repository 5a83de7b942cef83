"""Carry out an evaluation: lock its folder, go on from the samples that are there, and write what they come to."""

import asyncio
import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from verl_coder.errors import ConfigError, DataError
from verl_coder.evaluation.clock import WorkClock
from verl_coder.evaluation.folder import (
    JOURNAL,
    RESULTS,
    SAMPLES,
    SETTINGS,
    TIMING,
    check_out,
    keep_settings,
    note_start,
    started_with,
)
from verl_coder.evaluation.progress import EvaluationProgress
from verl_coder.evaluation.request import EvaluationPlan
from verl_coder.evaluation.results import summarize, versions
from verl_coder.evaluation.samples import EvaluationSample, SampleJournal, read_samples, write_samples
from verl_coder.evaluation.session import EvaluationSession, owed
from verl_coder.evaluation.start import check_tools_answer, sandboxes_of, start_engine
from verl_coder.evaluation.trajectories import AgentLoops
from verl_coder.files import locked, make_folder, read_json, write_atomically
from verl_coder.sandbox import SandboxClient

_TIMES = (
    *("loading_s", "sampling_s", "generating_s", "waiting_for_grading_s"),
    *("generated_tokens", "drawn_samples", "starts"),
)
"""Of all starts that have ended by themselves: a start that was killed leaves samples, and no times."""


def evaluate(
    plan: EvaluationPlan,
    console: Console,
    *,
    concurrency: int,
    sandbox_url: str | None = None,
    tensor_parallel: int = 1,
) -> dict[str, Any]:
    """Draw what is owed, grade it, write results and samples; the results."""
    out = plan.out
    check_out(out)
    with _locked(out):
        journal_path = out / JOURNAL
        begun = journal_path.is_file() and journal_path.stat().st_size > 0
        keep_settings(out / SETTINGS, plan.settings(), begun=begun or (out / SAMPLES).is_file())
        with SampleJournal(journal_path) as journal:
            if owed(plan.problems, journal, plan.draws):
                for sample in _finished(
                    out / SAMPLES, begun=begun
                ):  # whose journal was not copied, or not whole
                    if sample.key not in journal.samples:
                        journal.add(sample)
            if lines := journal.broken_lines:
                console.print(
                    f"{journal_path}: {len(lines)} damaged lines, the first is line {lines[0]}: their samples are owed",
                    highlight=False,
                    soft_wrap=True,
                )
            if owed(plan.problems, journal, plan.draws) or journal.provisional:
                note_start(out / SETTINGS, versions())
                with sandboxes_of(sandbox_url, concurrency) as url:
                    _draw(plan, journal, console, url, concurrency, tensor_parallel)
            samples = _in_order(plan, journal)
        write_samples(out / SAMPLES, samples)
        results = _results(plan, samples)
        write_atomically(out / RESULTS, json.dumps(results, indent=1, ensure_ascii=False) + "\n")
        if others := results.get("earlier_versions"):
            console.print(
                f"note: {_changes(others[-1], results['versions'])} since samples were drawn in {out}: a part of "
                "them is of the earlier one",
                highlight=False,
                soft_wrap=True,
            )
        shutil.rmtree(out / ".model", ignore_errors=True)
    return results


def _finished(path: Path, *, begun: bool) -> list[EvaluationSample]:
    """The samples of a finished evaluation; DataError where the file is none and there is no journal beside it."""
    try:
        return read_samples(path) if path.is_file() else []
    except DataError:
        if not begun:
            raise
        return []


def _draw(
    plan: EvaluationPlan,
    journal: SampleJournal,
    console: Console,
    url: str,
    concurrency: int,
    tensor_parallel: int,
) -> None:
    """Load the model and let the session run; its times are kept, however it ends."""
    started, before = time.monotonic(), len(journal.samples)
    total = len(plan.problems.problems) * plan.draws.samples
    earlier = f", {before} drawn by an earlier start" if before else ""
    console.print(f"{total} samples{earlier}; output: {plan.out}", highlight=False, soft_wrap=True)
    model_folder = _model_folder(plan)
    loops = AgentLoops(
        model_folder=model_folder,
        limits=plan.limits,
        tools=plan.tools,
        template_options=plan.template_options,
        agent_loops=plan.agent_loops,
        multi_turn=plan.multi_turn,
    )
    loops.check_prompts(plan.problems.problems)
    check_tools_answer(plan, loops)
    engine = None
    if owed(plan.problems, journal, plan.draws):  # else second tries alone, for which nothing is written
        loops.engine = engine = start_engine(plan, model_folder, concurrency, tensor_parallel)
    loaded = time.monotonic()
    clock = WorkClock()
    try:
        with EvaluationProgress(console, total, dict(journal.samples)) as progress:
            clock = asyncio.run(_session(plan, journal, loops, url, concurrency, progress, clock))
    finally:
        sampling_s = clock.wall_s
        if engine is not None:
            engine.close()
        drawn = list(journal.samples.values())[before:]
        _keep_times(
            plan.out / TIMING,
            loading_s=loaded - started,
            sampling_s=sampling_s,
            generating_s=clock.generating_s,
            waiting_for_grading_s=clock.waiting_s,
            generated_tokens=sum(sample.generated_tokens for sample in drawn),
            drawn_samples=len(drawn),
            starts=1,
        )


def _model_folder(plan: EvaluationPlan) -> Path:
    """Where the tokenizer is, and with it the model where it is loaded here."""
    if plan.model.kind == "endpoint":
        return Path(plan.request.tokenizer or "")
    return plan.model.folder_to_load(plan.out / ".model")


async def _session(
    plan: EvaluationPlan,
    journal: SampleJournal,
    loops: AgentLoops,
    url: str,
    concurrency: int,
    progress: EvaluationProgress,
    clock: WorkClock,
) -> WorkClock:
    async with SandboxClient(url) as sandbox:
        session = EvaluationSession(
            problems=plan.problems,
            draws=plan.draws,
            loops=loops,
            sandbox=sandbox,
            journal=journal,
            concurrency=concurrency,
            clock=clock,
            on_sample=progress.add,
        )
        progress.clock = clock
        telling = asyncio.create_task(progress.tell_for_ever())
        try:
            await session.run()
        finally:
            telling.cancel()
    return clock


@contextmanager
def _locked(out: Path) -> Iterator[None]:
    """The folder is this process's alone; ConfigError where another one writes to it."""
    make_folder(out)
    with locked(out / ".lock", f"another evaluation is writing to {out}: wait for it, or take another --out"):
        yield


def _in_order(plan: EvaluationPlan, journal: SampleJournal) -> list[EvaluationSample]:
    return [
        journal.samples[posed.problem.problem_id, number]
        for posed in plan.problems.problems
        for number in range(plan.draws.samples)
    ]


def _results(plan: EvaluationPlan, samples: list[EvaluationSample]) -> dict[str, Any]:
    times = _times(plan.out / TIMING)
    sampling_s = times["sampling_s"] or None
    *earlier, latest = started_with(plan.out / SETTINGS) or [versions()]
    settings = plan.settings()
    tools_text = settings.pop("tools_text")
    settings["tools_digest"] = hashlib.sha256(tools_text.encode()).hexdigest()[:32] if tools_text else None
    return {
        **summarize(samples, plan.ks),
        "settings": settings,
        "versions": latest,
        **({"earlier_versions": earlier} if earlier else {}),
        "timing": times,
        "throughput": {
            "tokens_per_s": times["generated_tokens"] / sampling_s if sampling_s else None,
            "samples_per_s": times["drawn_samples"] / sampling_s
            if sampling_s and times["drawn_samples"]
            else None,
            "waiting_for_grading_share": times["waiting_for_grading_s"] / sampling_s if sampling_s else None,
        },
    }


def _changes(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """Which versions have changed."""
    names = [name for name in after if before.get(name) != after[name]]
    return ", ".join(f"{name} {before.get(name, 'unknown')[:12]} -> {after[name][:12]}" for name in names)


def _times(path: Path) -> dict[str, float]:
    """Zeros where the file is missing or broken: no sample depends on it."""
    try:
        found = read_json(path, "it is made again")
        return {name: float(found.get(name, 0.0)) for name in _TIMES}
    except (ConfigError, ValueError, TypeError):
        return dict.fromkeys(_TIMES, 0.0)


def _keep_times(path: Path, **times: float) -> None:
    """Add to the times of earlier starts."""
    before = _times(path)
    write_atomically(path, json.dumps({name: round(before[name] + times[name], 3) for name in _TIMES}) + "\n")
