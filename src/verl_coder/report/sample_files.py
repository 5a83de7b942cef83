"""A training run's samples: `rollouts/`, `validation/` and `eval_samples/`, one file a step, as trajectories."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from verl_coder.report.records import KINDS, TrajectoryRecord, number, outcome_of, text_of, whole
from verl_coder.report.transcript import split_output
from verl_coder.run.run_dir import RunDir

TRAINING, GREEDY, SAMPLED, _ = KINDS
_STRUCTURE = {
    *(
        "input",
        "output",
        "gts",
        "score",
        "step",
        "uid",
        "problem_id",
        "sampled",
        "tool_calls",
        "tool_successes",
    ),
    *("turns", "advantage", "tokens", "data_source", "difficulty", "response_tokens", "end_reason"),
}
"""Keys of a line that are no term of the reward."""


class SampleFile(NamedTuple):
    """One file of samples of a run."""

    path: Path
    folder: str
    step: int


def sample_files(run: Path) -> list[SampleFile]:
    """All files of samples, by folder and step; of `eval_samples/` those whose step has no file in `validation/`."""
    run_dir = RunDir(run)
    order = [folder.name for folder in run_dir.sample_folders]
    found = [SampleFile(path, path.parent.name, step) for step, path in run_dir.sample_files()]
    found.sort(key=lambda file: (order.index(file.folder), file.step))
    whole_steps = {file.step for file in found if file.folder == "validation"}
    return [file for file in found if file.folder != "eval_samples" or file.step not in whole_steps]


def read_samples(file: SampleFile, notes: list[str]) -> Iterator[TrajectoryRecord]:
    """The trajectories of one file; what cannot be read is told in `notes` and left out."""
    make = _from_table if file.folder == "eval_samples" else _from_dump
    bad, first = 0, ""
    try:
        with file.path.open("rb") as lines:
            for place, line in enumerate(lines, start=1):
                try:
                    row = json.loads(line)
                    if not isinstance(row, dict):
                        raise TypeError("not a JSON object")
                    trajectory = make(row, file)
                except (ValueError, TypeError, KeyError, RecursionError) as error:
                    bad, first = bad + 1, first or f"line {place} ({str(error)[:80]})"
                    continue
                yield trajectory
    except OSError as error:
        notes.append(f"{file.folder}/{file.path.name} cannot be read: {error.strerror}")
    if bad:
        notes.append(f"{file.folder}/{file.path.name}: {bad} of its lines left out, the first is {first}")


def _from_dump(row: dict[str, Any], file: SampleFile) -> TrajectoryRecord:
    """A line of verl's dump of rollouts or of our evaluation."""
    output = text_of(row["output"])
    score = number(row.get("score"))
    held_out = file.folder == "validation"
    terms = {
        name: value
        for name, given in row.items()
        if name not in _STRUCTURE and (value := number(given)) is not None
    }
    calls = whole(row.get("tool_calls"))
    if calls is None:
        calls = sum(segment.kind == "result" for segment in split_output(output))
    problem = text_of(row.get("problem_id"))
    group = text_of(row.get("uid")).rsplit("_", 2)[0] if not held_out else problem
    kind = TRAINING if not held_out else SAMPLED if row.get("sampled") else GREEDY
    return TrajectoryRecord(
        kind=kind,
        step=file.step,
        problem=problem,
        group=group or text_of(row.get("input")),
        outcome=outcome_of(row, score),
        reward=score,
        prompt=text_of(row.get("input")),
        output=output,
        source=text_of(row.get("data_source")),
        difficulty=text_of(row.get("difficulty")),
        calls=calls,
        successes=whole(row.get("tool_successes")),
        turns=whole(row.get("turns")) or calls + 1,
        response_tokens=whole(row.get("response_tokens")),
        advantage=number(row.get("advantage")),
        facts={"end reason": reason} if (reason := text_of(row.get("end_reason"))) else {},
        terms=terms,
        tests=text_of(row.get("gts")),
        tokens=_tokens(row.get("tokens")),
    )


def _tokens(value: Any) -> dict[str, list[Any]] | None:
    """The token columns where they are whole; a column of another length says nothing about its tokens."""
    if not isinstance(value, dict) or not isinstance(texts := value.get("text"), list):
        return None
    columns: dict[str, list[Any]] = {"text": [text_of(text) for text in texts]}
    for name in ("learnt", "log_prob"):
        column = value.get(name)
        if isinstance(column, list) and len(column) == len(texts):
            columns[name] = [number(entry) for entry in column]
    return columns


def _from_table(row: dict[str, Any], file: SampleFile) -> TrajectoryRecord:
    """A line of the table of samples."""
    rate = number(row.get("test_pass_rate"))
    problem = text_of(row.get("problem"))
    calls = whole(row.get("tool_calls"))
    return TrajectoryRecord(
        kind=SAMPLED if row.get("sampled") else GREEDY,
        step=file.step,
        problem=problem,
        group=problem,
        outcome="passed" if row["passed"] else "failed",
        reward=rate,
        prompt=text_of(row.get("prompt")),
        output=text_of(row["answer"]),
        difficulty=text_of(row.get("difficulty")),
        calls=calls,
        turns=None if calls is None else calls + 1,
        terms={} if rate is None else {"test_pass_rate": rate},
    )
