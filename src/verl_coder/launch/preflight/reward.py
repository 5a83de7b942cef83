"""The check of a reward file before a run: its source, then its function, called with a canned report for a verdict."""

import asyncio
import functools
import inspect
import json
import math
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any
from unittest.mock import patch

import numpy as np
from omegaconf import DictConfig, OmegaConf

from verl_coder import rewards
from verl_coder.errors import ConfigError
from verl_coder.grading.report import Outcome, TestReport, TestResult, TestStatus
from verl_coder.importing import exits_refused
from verl_coder.launch.preflight.user_file import check_source, error_line, load_file
from verl_coder.words import choose_one

ARGUMENTS = ("data_source", "solution_str", "ground_truth", "extra_info")
"""What verl passes, by keyword."""
REQUIRED_KEYS = ("score", "acc", "sandbox_unavailable")

_CHECK_TIMEOUT_S = 30.0
_KWARGS = "reward.custom_reward_function.reward_kwargs"
_NOT_READ = {
    "REWARD_EXPONENT": "exponent",
    "REWARD_ALL_PASSED": "all_passed",
    "REWARD_CONCISE_CHARACTERS": "characters",
}
"""Variables that were a reward's parameters once; a run that forgot them would train on another reward."""


def check_reward(config: DictConfig, rows: Sequence[Mapping[str, Any]] = ()) -> bool:
    """`check_reward_file` of the file that the run is given; ConfigError where it is given none."""
    reward = config.reward.custom_reward_function
    if not reward.path:
        raise ConfigError("reward.custom_reward_function.path is empty: name a file of rewards/ (REWARD=)")
    if config.reward.reward_model.enable:
        raise ConfigError(
            "reward.reward_model.enable=true: no run here starts a model that judges: take it out, and ask a server of "
            "your own in the reward file (REWARD=)"
        )
    groups = config.algorithm.filter_groups
    metric = groups.metric if groups.enable and groups.metric != "reward" else None
    return check_reward_file(reward.path, reward.name, rows, reward_kwargs(config), metric)


def reward_kwargs(config: DictConfig) -> dict[str, Any]:
    """What the run sets of the function's own parameters; ConfigError where that is no mapping."""
    if "reward_kwargs" not in config.reward.custom_reward_function:
        return {}
    node = OmegaConf.select(config, _KWARGS)
    given = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
    if not isinstance(given, dict):
        raise ConfigError(
            f"{_KWARGS}={given}: use a mapping of the function's parameters, such as {{exponent: 1}}"
        )
    return {str(key): value for key, value in given.items()}


def check_reward_file(
    path: str | Path,
    name: str = "compute_score",
    rows: Sequence[Mapping[str, Any]] = (),
    parameters: Mapping[str, Any] | None = None,
    metric: str | None = None,
) -> bool:
    """Refuse a reward file that verl could not use: ConfigError of one line with the file and the line.

    First what can be read in the source, then the function is called, without a sandbox, on an empty, a
    wrong, a passing and an ungraded completion, with and without a tool call, of each of `rows` (of the run's
    own data; a stand-in without them): every call must return the same keys. `parameters` are what the run sets of
    the function's own, `metric` the key that algorithm.filter_groups reads. Returns whether it grades by the hidden
    tests.
    """
    path = Path(path).absolute()
    parameters = dict(parameters or {})
    line = check_source(path, name, ARGUMENTS, parameters, _KWARGS)
    # Patched before the file is loaded, which binds the name. A file that is checked needs no sandbox.
    for variable, parameter in _NOT_READ.items():
        if os.environ.get(variable) and f" {parameter}: float" in path.read_text():
            raise ConfigError(f"{variable} is not read any more: unset it, and set +{_KWARGS}.{parameter}=")
    with (
        exits_refused(),
        patch.object(rewards, "grade_answer", autospec=True) as grader,
    ):
        function = functools.partial(getattr(load_file(path, name), name), **parameters)
        first: tuple[str, set[str]] | None = None
        for row in rows or (STAND_IN,):
            first = _check_calls(function, path, line, grader, row, first)
        if metric is not None and first is not None and metric not in first[1]:
            known = sorted({"reward", *first[1]})
            raise ConfigError(
                f"algorithm.filter_groups.metric={metric}: {choose_one(metric, known)} (of {path})"
            )
        return bool(grader.called)


def _check_calls(
    function: Callable[..., Any],
    path: Path,
    line: int,
    grader: Any,
    row: Mapping[str, Any],
    first: tuple[str, set[str]] | None,
) -> tuple[str, set[str]] | None:
    """Check all trials of one row against `first`, the keys of the first of all trials, and return that."""
    for what, completion, report in _trial_completions():
        grader.return_value = report
        result, returned_at = _call(function, path, completion, row, tool_calls=int("tool call" in what))
        place = f"{path}:{returned_at or line}"
        if not isinstance(result, Mapping):
            if isinstance(result, (int, float)):
                raise ConfigError(
                    f"{place}: it returns a bare number; return a dict with {', '.join(REQUIRED_KEYS)}"
                )
            raise ConfigError(f"{place}: it returns a {type(result).__name__} for {what}, not a dict")
        keys = set(result)
        missing = [key for key in REQUIRED_KEYS if key not in keys]
        if missing:
            raise ConfigError(f"{place}: the dict for {what} lacks the key {missing[0]!r}")
        _check_entries(place, what, result)
        if first is None:
            first = (what, keys)
        elif keys != first[1]:
            odd = sorted(map(str, keys ^ first[1]))[0]
            has, lacks = (what, first[0]) if odd in keys else (first[0], what)
            raise ConfigError(
                f"{place}: the keys change: {odd!r} is returned for {has} and not for {lacks} "
                "(verl takes the key set of the first sample)"
            )
    return first


def _check_entries(place: str, what: str, result: Mapping[Any, Any]) -> None:
    """Keys are texts; the values of our own keys are finite numbers, those of others numbers or texts, for metrics."""
    for key, value in result.items():
        if not isinstance(key, str):
            raise ConfigError(f"{place}: the dict for {what} has the key {key!r}; a key must be a text")
        is_number = isinstance(value, (int, float, np.number, np.bool_))
        if key in REQUIRED_KEYS and not (is_number and _is_finite(value)):
            raise ConfigError(f"{place}: {key} is {value!r:.80} for {what}; it must be a finite number")
        if not is_number and not isinstance(value, str):
            raise ConfigError(f"{place}: {key} is {value!r:.80} for {what}; it must be a number or a text")


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an int beyond the floats
        return False


STAND_IN: Mapping[str, Any] = {
    "data_source": "sample",
    "reward_model": {
        "ground_truth": json.dumps(
            {"style": "function", "entry_point": "add", "tests": [{"args": [1, 2], "expected": 3}]}
        )
    },
    "extra_info": {
        "split": "train",
        "index": 0,
        "problem_id": "sample/0",
        "difficulty": "easy",
        "entry_point": "add",
        "starter_code": "",
        "reference_solution": "def add(a, b):\n    return a + b\n",
        "tools_kwargs": {"prelude": ""},
        "need_tools_kwargs": False,
    },
}
"""A row for the check where the run's data is not there yet."""


def _trial_completions() -> Iterator[tuple[str, str, TestReport]]:
    """(what it is, the completion, the report on it)."""

    def report(outcome: Outcome, passed: int, status: TestStatus) -> TestReport:
        tests = (TestResult(index=0, status=status),)
        return TestReport(outcome=outcome, passed=passed, total=1, tests=tests, strength="pair")

    right = "<think>Add.</think>\n```python\ndef add(a, b):\n    return a + b\n```"
    call = '<tool_call>\n{"name": "python_interpreter", "arguments": {"code": "print(1)"}}\n</tool_call>\n'
    yield "an empty completion", "", report("no_code", 0, "not_run")
    yield "a wrong completion", right.replace("+", "-"), report("failed", 0, "failed")
    yield "a passing completion", right, report("passed", 1, "passed")
    yield "a passing completion with a tool call", call + right, report("passed", 1, "passed")
    yield "a time-out", right, report("timeout", 0, "timeout")
    yield "a dead sandbox", right, report("sandbox_unavailable", 0, "not_run")


def trial_arguments(row: Mapping[str, Any], completion: str, tool_calls: int) -> dict[str, Any]:
    """What a run passes to the reward function for `completion`, an answer to `row` after `tool_calls` calls."""
    of_the_rollout = {
        "min_global_steps": 0,
        "max_global_steps": 0,
        "turn_scores": [],
        "tool_rewards": [0.0] * tool_calls,
        "tool_calls": tool_calls,
        "tool_successes": tool_calls,
        "num_turns": 2 + 2 * tool_calls,
        "rollout_reward_scores": {},
    }
    return {
        "data_source": row["data_source"],
        "solution_str": completion,
        "ground_truth": row["reward_model"]["ground_truth"],
        "extra_info": dict(row.get("extra_info") or {}) | of_the_rollout,
    }


def _call(
    function: Callable[..., Any], path: Path, completion: str, row: Mapping[str, Any], *, tool_calls: int
) -> tuple[Any, int | None]:
    """(result, line it returned from), called as verl does, in a thread with an event loop of its own."""
    arguments = trial_arguments(row, completion, tool_calls)
    code = getattr(getattr(function, "func", function), "__code__", None)
    outcome: dict[str, Any] = {}

    def on_event(frame: FrameType, event: str, _: Any) -> None:
        if event == "return" and frame.f_code is code:
            outcome["line"] = frame.f_lineno

    def run() -> None:
        sys.setprofile(on_event)
        try:
            result = function(**arguments)
            outcome["result"] = asyncio.run(_awaited(result)) if inspect.isawaitable(result) else result
        except (Exception, SystemExit) as error:
            outcome["error"] = error
        finally:
            sys.setprofile(None)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(_CHECK_TIMEOUT_S)
    if thread.is_alive():
        raise ConfigError(f"{path}: no score within {_CHECK_TIMEOUT_S:g} s")
    if error := outcome.get("error"):
        source = f" (data_source {row['data_source']!r})" if row is not STAND_IN else ""
        raise ConfigError(
            f"{path}:{error_line(error, path)}: {type(error).__name__}: {error}{source}"
        ) from error
    return outcome["result"], outcome.get("line")


async def _awaited(value: Any) -> Any:
    return await value
