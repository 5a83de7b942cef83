"""Samples in the formats that other graders read: EvalPlus's JSON lines, LiveCodeBench's custom_evaluator list."""

import json
from collections.abc import Sequence
from pathlib import Path

from verl_coder.errors import ConfigError
from verl_coder.evaluation.samples import EvaluationSample
from verl_coder.files import write_atomically

_EVALPLUS_IDS = {"humaneval": "HumanEval", "mbpp": "Mbpp", "mbppplus": "Mbpp", "humanevalplus": "HumanEval"}


def export_evalplus(samples: Sequence[EvaluationSample], path: Path) -> Path:
    """A line `{"task_id", "solution"}` for each sample; ConfigError where a problem is not EvalPlus's."""
    lines = []
    for sample in samples:
        lines.append(json.dumps({"task_id": _evalplus_id(sample.problem_id), "solution": sample.code}))
    write_atomically(path, "".join(f"{line}\n" for line in lines))
    return path


def export_livecodebench(samples: Sequence[EvaluationSample], path: Path) -> Path:
    """A list of `{"question_id", "code_list"}` by question id, as `custom_evaluator --custom_output_file` takes it."""
    found: dict[str, list[str]] = {}
    for sample in samples:
        found.setdefault(_livecodebench_id(sample.problem_id), []).append(sample.code)
    records = [{"question_id": number, "code_list": codes} for number, codes in sorted(found.items())]
    write_atomically(path, json.dumps(records, indent=1) + "\n")
    return path


def _evalplus_id(problem_id: str) -> str:
    name, _, number = problem_id.partition("/")
    if name not in _EVALPLUS_IDS:
        raise ConfigError(f"--export evalplus: {problem_id} is none of EvalPlus's problems (MBPP, HumanEval)")
    return f"{_EVALPLUS_IDS[name]}/{number}"


def _livecodebench_id(problem_id: str) -> str:
    name, _, number = problem_id.partition("/")
    if name != "livecodebench":
        raise ConfigError(f"--export livecodebench: {problem_id} is no problem of LiveCodeBench")
    return number


_IDS = {"evalplus": _evalplus_id, "livecodebench": _livecodebench_id}
EXPORTS = {
    "evalplus": (export_evalplus, "evalplus_samples.jsonl"),
    "livecodebench": (export_livecodebench, "livecodebench_samples.json"),
}
"""Format -> its writer, and the file's name in the evaluation's folder."""


def check_exports(names: Sequence[str], problems: Sequence[str] = ()) -> None:
    """ConfigError for the first name of --export that is no format, or cannot tell the `problems` (their ids) apart."""
    for name in names:
        if name not in EXPORTS:
            raise ConfigError(f"--export {name}: there are {', '.join(EXPORTS)}")
        known: dict[str, str] = {}
        for problem in problems:
            other = known.setdefault(_IDS[name](problem), problem)
            if other != problem:
                raise ConfigError(
                    f"--export {name}: {other} and {problem} are one task there: evaluate the two datasets apart"
                )
