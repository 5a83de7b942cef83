"""A pipeline of three small tasks, a chain: one's file is made from the file of the task before."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TextIO

from rich.console import Console

import verl_coder.pipeline.process as process
import verl_coder.pipeline.run as run
from verl_coder.evaluation.folder import COMPARISON, RESULTS
from verl_coder.pipeline.config import PipelineConfig, PipelineData
from verl_coder.pipeline.fingerprint import Digests
from verl_coder.pipeline.records import fingerprint_of
from verl_coder.pipeline.tasks import PipelineTask, Workplace

COMMAND = Path(__file__).with_name("fake_command.py")
CHAIN = ("data", "sft", "train")
COMPARE = "evaluate/compare"


def workplace(out: Path) -> Workplace:
    """Of a pipeline with the three stages."""
    data = PipelineData(train=("t.parquet",), validation=("v.parquet",))
    return Workplace(PipelineConfig(out=str(out), model="m", recipe="tiny_cpu", data=data, train={}))


def digests_of(task: PipelineTask, folder: Path) -> dict[str, str | None]:
    """Digest of each of its inputs, as things stand now."""
    return fingerprint_of(task, Digests(folder / "no-cache.json")).inputs


def chain(texts: dict[str, str]) -> Any:
    """What stands for `tasks_of`: a task a stage, which writes its text and the file before.

    A text of `evaluate/base` or `evaluate/compare` is a task of the stage evaluate, made for what `train` has made.
    """

    def tasks_of(stage: str, place: Workplace) -> list[PipelineTask]:
        if stage == "evaluate":
            return [_evaluation(place, name, text) for name, text in texts.items() if "/" in name]
        if stage not in CHAIN:
            return []
        before = CHAIN[CHAIN.index(stage) - 1] if stage != CHAIN[0] else None
        source = place.out / before / f"{before}.txt" if before else None
        target = place.out / stage / f"{stage}.txt"
        text = texts.get(stage, stage)
        return [
            PipelineTask(
                stage=stage,
                name=stage,
                command=("make", str(target), text, *([str(source)] if source else [])),
                settings={"text": text},
                inputs={"the file before": source} if source else {},
                products=(f"{stage}/{stage}.txt",),
                folder=place.out / stage if stage != CHAIN[0] else None,
                begins_again=stage == CHAIN[-1],
            )
        ]

    return tasks_of


def _evaluation(place: Workplace, name: str, text: str) -> PipelineTask:
    product = f"{name.removesuffix('/compare')}/{COMPARISON if name == COMPARE else RESULTS}"
    return PipelineTask(
        stage="evaluate",
        name=name,
        command=("make", str(place.out / product), text),
        inputs={"model": place.out / "train" / "train.txt"},
        products=(product,),
    )


def run_chain(
    out: Path,
    stages: Sequence[str] = CHAIN,
    *,
    shown: TextIO | None = None,
    ignore_code: bool = False,
    **texts: str,
) -> int:
    """Run it in this process, as `verl-coder pipeline` would, its words into the file `shown`."""
    out.mkdir(exist_ok=True)
    place = workplace(out)
    every = (*CHAIN, "evaluate") if any("/" in name for name in texts) else CHAIN
    place.config = SimpleNamespace(**{**dict(place.config), "stages": every})  # type: ignore[assignment]
    real = process.CHILD, run.tasks_of
    process.CHILD, run.tasks_of = (str(COMMAND),), chain(texts)  # type: ignore[assignment]
    try:
        console = Console(file=shown, force_terminal=False, width=200)
        return run.PipelineRun(place, stages, console, ignore_code=ignore_code).run()
    finally:
        process.CHILD, run.tasks_of = real
