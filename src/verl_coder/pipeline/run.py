"""Run a pipeline, task by task, each where something has changed. After kill -9 the same command goes on."""

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

from rich.console import Console

from verl_coder.errors import ConfigError, VerlCoderError
from verl_coder.files import is_there, locked, make_folder, write_atomically, writing
from verl_coder.launch.supervise import Interrupted
from verl_coder.pipeline.decide import Decision, absent_inputs, decide, settled
from verl_coder.pipeline.fingerprint import Digests
from verl_coder.pipeline.process import end_older_children, error_line, run_child
from verl_coder.pipeline.records import TaskRecord, fingerprint_of, products_of, read_record, write_record
from verl_coder.pipeline.scores import Scores, read_scores
from verl_coder.pipeline.stages import tasks_of
from verl_coder.pipeline.tasks import PipelineTask, Workplace
from verl_coder.pipeline.terminal import duration, say, say_task, show_end, task_progress

_STATUS = {"SIGHUP": 129, "SIGINT": 130, "SIGTERM": 143}


class PipelineRun:
    """One start of a pipeline, of all its stages or of some."""

    def __init__(
        self, place: Workplace, stages: Sequence[str], console: Console, *, ignore_code: bool = False
    ) -> None:
        self.place = place
        self.stages = stages
        self._console = console
        self._ignore_code = ignore_code
        self._digests = Digests(place.records / "digests.json")
        self._did: dict[str, str] = {}

    def dry_run(self) -> None:
        """Say of every task whether it would run, and why. No command is run, and nothing that one made is touched.

        What takes seconds to find is kept for the next start: the composed recipe, in OUT/stages/recipe.json.
        """
        made: list[Path] = []
        self._check_folders()
        if "data" not in self.stages:
            self._check_splits()
        for stage in self.stages:
            for task in self._tasks(stage):
                decision = self._decide(task)
                word, why = ("run" if decision.run else "skip"), decision.why
                if not decision.run and any(
                    _meet(path, other) for path in task.inputs.values() for other in made
                ):
                    word, why = "run", "unless what it is made from comes out as it was"
                if word == "run":
                    made += [self.place.out / pattern.partition("*")[0] for pattern in task.products]
                say_task(self._console, task.name, word, why)
            if stage == "data" and not made:
                self._check_splits()

    def run(self) -> int:
        """Run what is to be run; the exit status of the command."""
        self._check_folders()  # what is wrong with a later stage is said before the first one runs
        if "data" not in self.stages:
            self._check_splits()
        make_folder(self.place.records)
        make_folder(self.place.logs)
        with locked(
            self.place.lock,
            f"another pipeline is at work in {self.place.lock.parent}: wait for it, or choose OUT=",
        ):
            if ended := end_older_children(self.place.out):
                say(self._console, ended)
            say(self._console, f"pipeline: {self.place.out} (a log of each stage: logs/)")
            for stage in self.stages:
                for task in self._tasks(stage):
                    try:
                        self._do(task)
                    except Interrupted as signal_name:
                        say(
                            self._console,
                            f"stopped by {signal_name} in {task.name}; the same command goes on",
                        )
                        return _STATUS[str(signal_name)]
                if stage == "data":
                    self._check_splits()
            scores = self._scores()
            show_end(self._console, self.place, self._write_summary(scores), scores)
        return 0

    def _tasks(self, stage: str) -> Iterator[PipelineTask]:
        """Each as it is when its turn comes: what one makes, the next may have for its inputs."""
        for number in range(len(tasks_of(stage, self.place))):
            yield tasks_of(stage, self.place)[number]

    def _check_folders(self) -> None:
        """ConfigError where a folder of a task is there and none of its starts made it: it is left alone."""
        for task in (task for stage in self.stages for task in tasks_of(stage, self.place)):
            record = read_record(self.place.records, task.name)
            if record is not None or not _is_used(task.folder):
                continue
            raise ConfigError(
                f"{task.name} writes to {task.folder}, where there is something that it has no record of: move that "
                "elsewhere, or name another folder with OUT="
            )

    def _check_splits(self) -> None:
        """Say now, not after hours, that a later stage lacks its rows; what there is is known after the data stage."""
        records = [read_record(self.place.records, task.name) for task in tasks_of("data", self.place)]
        if all(record is not None and record.finished for record in records):
            self.place.check_splits()

    def _decide(self, task: PipelineTask) -> Decision:
        return decide(task, self.place, self._digests, ignore_code=self._ignore_code)

    def _do(self, task: PipelineTask) -> None:
        decision = self._decide(task)
        say_task(self._console, task.name, "run" if decision.run else "skip", decision.why)
        self._did[task.name] = "done" if decision.run else "skipped"
        if decision.run:
            absent = absent_inputs(task, decision.fingerprint)
            if absent:
                raise ConfigError(
                    f"{task.name} needs {absent[0]}, which is not there: run the stage that makes it first"
                )
            if decision.anew:
                self._set_aside(task)
            self._run(task, decision)
        self._digests.save()

    def _set_aside(self, task: PipelineTask) -> None:
        """Nothing is lost: what an older start made is moved, not removed."""
        folder = task.folder
        if folder is None or not _is_used(folder):
            return
        name = task.name.replace("/", "-")
        places = (self.place.superseded / f"{name}-{number}" for number in count(1))
        target = next(path for path in places if not is_there(path))
        make_folder(target.parent)
        with writing(target):
            folder.rename(target)
        say_task(self._console, task.name, "", f"the older one is now {target}")

    def _run(self, task: PipelineTask, decision: Decision) -> None:
        before = decision.record
        if before is not None and (before.finished or before.fingerprint != decision.fingerprint):
            before = None
        record = TaskRecord(
            fingerprint=decision.fingerprint,
            seconds=before.seconds if before else 0.0,
            starts=before.starts + 1 if before else 1,
        )
        write_record(self.place.records, task.name, record)
        log = self.place.logs / f"{task.stage}.log"
        _head(log, task)
        begins, begun = log.stat().st_size, time.monotonic()
        try:
            with task_progress(self._console, task.name, log) as on_poll:
                status = run_child(
                    task.command, out=self.place.out, log=log, on_poll=on_poll, stop_request=task.stop_request
                )
        finally:
            record = replace(record, seconds=round(record.seconds + time.monotonic() - begun, 1))
            write_record(self.place.records, task.name, record)
        if status:
            said = error_line(log, begins) or "nothing was said"
            how = f"was ended by signal {-status}" if status < 0 else f"failed: {said}"
            raise VerlCoderError(f"{task.name} {how} (all of it: {log}); the same command goes on")
        products = products_of(task, self.place.out, self._digests)
        if products is None:
            raise VerlCoderError(
                f"{task.name} has ended without all of {', '.join(task.products)} in {self.place.out} (see {log}); "
                "the same command goes on"
            )
        fingerprint = settled(record.fingerprint, fingerprint_of(task, self._digests), task)
        record = replace(record, fingerprint=fingerprint, finished=True, products=products)
        write_record(self.place.records, task.name, record)
        say_task(self._console, task.name, "done", f"in {duration(time.monotonic() - begun)}")

    def _scores(self) -> Scores:
        """Of the models that are there now."""
        tasks = tasks_of("evaluate", self.place) if "evaluate" in self.place.config.stages else []
        return read_scores(self.place, tasks, self._decide)

    def _write_summary(self, scores: Scores) -> list[dict[str, Any]]:
        """pipeline.json: each task with its time and a digest of its files, and the scores; the tasks."""
        rows = []
        for stage in self.place.config.stages:
            for task in tasks_of(stage, self.place):
                record = read_record(self.place.records, task.name)
                if record is not None:
                    digest = hashlib.sha256(json.dumps(record.products, sort_keys=True).encode()).hexdigest()[
                        :12
                    ]
                    did = self._did.get(task.name, "not asked for")
                    rows.append({"task": task.name, "did": did, "seconds": record.seconds, "digest": digest})
        summary = {
            "out": str(self.place.out),
            "tasks": rows,
            "pass_at_1": scores.pass_at_1,
            "pass_at_k": scores.rates,
        }
        write_atomically(self.place.out / "pipeline.json", json.dumps(summary, indent=1) + "\n")
        return rows


def _is_used(folder: Path | None) -> bool:
    """Whether there is something in it, or a file in its place."""
    return folder is not None and is_there(folder) and (not folder.is_dir() or any(folder.iterdir()))


def _meet(one: Path, other: Path) -> bool:
    """Whether `one` begins with `other`, which may end in the middle of a name, or lies above it."""
    return str(one).startswith(str(other)) or other.is_relative_to(one)


def _head(log: Path, task: PipelineTask) -> None:
    with writing(log), log.open("a", encoding="utf-8") as file:
        file.write(f"=== {datetime.now().astimezone():%Y-%m-%d %H:%M:%S}  {task.name}\n")
        file.write(f"verl-coder {' '.join(task.command)}\n")
