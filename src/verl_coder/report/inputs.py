"""Which folders a report is about: training runs, evaluations, or a folder of such folders."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from verl_coder.errors import ConfigError
from verl_coder.evaluation.folder import RESULTS, SAMPLES, is_evaluation
from verl_coder.files import given_folder
from verl_coder.report.sft_run import is_sft_run
from verl_coder.sft.process import LOG

MAX_FOLDERS = 200
_OF_A_RUN = (LOG, "config.yaml", "metrics.jsonl", "rollouts", "validation", "eval_samples", "summary.json")


@dataclass(frozen=True, kw_only=True)
class ReportInput:
    """One folder of a report."""

    path: Path
    name: str
    """Shortest end of the path that tells it from the others."""
    kind: Literal["training", "sft", "evaluation"]


def _is_run(folder: Path) -> bool:
    return any((folder / name).exists() for name in _OF_A_RUN)


def _kind(folder: Path) -> Literal["training", "sft", "evaluation"]:
    if is_evaluation(folder):
        return "evaluation"
    return "sft" if is_sft_run(folder) else "training"


def find_inputs(given: Sequence[Path]) -> list[ReportInput]:
    """The folders themselves, or those in them; ConfigError where one is neither run nor evaluation."""
    paths: list[Path] = []
    for folder in given:
        folder = given_folder(folder)
        if is_evaluation(folder) or _is_run(folder):
            found = [folder]
        else:
            inner = sorted(path for path in folder.iterdir() if path.is_dir())
            found = [path for path in inner if is_evaluation(path) or _is_run(path)]
        if not found:
            raise ConfigError(
                f"{folder} is neither a training run (metrics.jsonl, config.yaml, rollouts/) nor an evaluation "
                f"({RESULTS}, {SAMPLES}), and holds none"
            )
        paths += [path for path in found if path not in paths]
    if len(paths) > MAX_FOLDERS:
        raise ConfigError(f"{len(paths)} folders are more than a page shows ({MAX_FOLDERS}): name fewer")
    names = _short_names(paths)
    return [
        ReportInput(path=path, name=name, kind=_kind(path)) for path, name in zip(paths, names, strict=True)
    ]


def _short_names(paths: Sequence[Path]) -> list[str]:
    for parts in range(1, max(len(path.parts) for path in paths) + 1):
        names = ["/".join(path.parts[-parts:]) for path in paths]
        if len(set(names)) == len(names):
            break
    return names
