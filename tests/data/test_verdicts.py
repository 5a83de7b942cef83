"""The verdict cache: survives a kill, and a changed problem is another problem."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

import verl_coder
from verl_coder.data import verdicts
from verl_coder.data.verdicts import Verdict, VerdictCache, verdict_key
from verl_coder.grading.bundle import grader_digest
from verl_coder.problems import AssertTests, Problem

PROBLEM = Problem(
    data_source="toy",
    problem_id="toy/1",
    prompt=({"role": "user", "content": "x"},),
    tests=AssertTests(tests=("assert f(1) == 1",)),
    split="train",
    reference_solution="def f(x): return x",
)


def test_verdicts_come_back_and_a_half_written_line_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "new" / "verdicts.jsonl"
    with VerdictCache(path) as cache:
        cache.put(Verdict(key="a", status="passed", passed=3, total=3))
        cache.put(Verdict(key="b", status="failed", message="zwei Läufe"))
    with path.open("a") as stream:
        stream.write('{"key": "c", "sta')
    with VerdictCache(path) as cache:
        assert cache.get("b") == Verdict(key="b", status="failed", message="zwei Läufe")
        assert cache.get("c") is None and cache.hits == 1
        cache.put(Verdict(key="c", status="failed"))
    with VerdictCache(path) as cache:
        assert cache.get("a") is not None and cache.get("c") is not None


@pytest.mark.parametrize(
    "line",
    [
        '{"key": ["a"], "status": "passed"}',
        '{"key": "a", "status": "passed", "false_examples": null}',
        '{"key": "a", "status": "failed", "message": null}',
        '{"key": "a", "status": "splendid"}',
        '["a"]',
    ],
)
def test_a_line_with_values_of_other_types_is_skipped(tmp_path: Path, line: str) -> None:
    path = tmp_path / "verdicts.jsonl"
    path.write_text(line + '\n{"key": "b", "status": "passed"}\n')
    with VerdictCache(path) as cache:
        assert cache.get("a") is None and cache.get("b") is not None


def test_a_verdict_of_a_busy_machine_is_not_kept_for_the_next_run(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.jsonl"
    with VerdictCache(path) as cache:
        for status in ("timeout", "flaky"):
            cache.put(Verdict(key=status, status=status))  # type: ignore[arg-type]
            assert cache.get(status) is not None
    with VerdictCache(path) as cache:
        assert cache.get("timeout") is None and cache.get("flaky") is None
        cache.put(Verdict(key="timeout", status="passed"))
    with VerdictCache(path) as cache:
        assert cache.get("timeout") == Verdict(key="timeout", status="passed")


def test_verdicts_that_older_versions_wrote_still_count(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.jsonl"
    line = {"key": "a", "status": "passed", "message": "", "passed": 3, "total": 3, "seconds": 0.5}
    path.write_text(
        json.dumps(line | {"trivial": "", "machine": ""}) + "\n" + json.dumps({"key": "b", "of": 1})
    )
    with VerdictCache(path) as cache:
        assert cache.get("a") == Verdict(key="a", status="passed", passed=3, total=3, seconds=0.5)
        cache.put(Verdict(key="c", status="passed", false_examples=("assert f(1) == 2",)))
    with VerdictCache(path) as cache:
        found = cache.get("c")
        assert found is not None and found.false_examples == ("assert f(1) == 2",)


def test_a_clean_pass_of_an_older_verifier_is_another_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    key = verdict_key(PROBLEM)
    monkeypatch.setattr(verdicts, "VERIFIER_VERSION", verdicts.VERIFIER_VERSION - 1)
    assert verdict_key(PROBLEM) != key


def test_the_key_changes_with_tests_limits_and_reference_and_with_nothing_else() -> None:
    key = verdict_key(PROBLEM)
    assert verdict_key(replace(PROBLEM, split="test", index=7, difficulty="hard")) == key
    for changed in (
        replace(PROBLEM, reference_solution="def f(x): return 2"),
        replace(PROBLEM, tests=replace(PROBLEM.tests, timeout_s=3.0)),
        replace(PROBLEM, tests=AssertTests(tests=("assert f(2) == 2",))),
    ):
        assert verdict_key(changed) != key


def test_a_verdict_of_a_machine_that_lacks_something_is_not_kept_for_the_next_run(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.jsonl"
    messages = ("ModuleNotFoundError: No module named 'numpy'", "MemoryError", "NameError: name 'x'")
    with VerdictCache(path) as cache:
        for message in messages:
            cache.put(Verdict(key=message, status="error", message=f"0/1 test passed; {message} (line 1)"))
        cache.put(Verdict(key="good", status="passed", message="MemoryError is expected"))
    with VerdictCache(path) as cache:
        assert [cache.get(message) is None for message in messages] == [True, True, False]
        assert cache.get("good") is not None


def test_of_another_grader_only_a_clean_pass_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "verdicts.jsonl"
    with VerdictCache(path) as cache:
        cache.put(Verdict(key="a", status="passed"))
        cache.put(Verdict(key="b", status="failed"))
        cache.put(Verdict(key="c", status="passed", trivial="an empty program"))
        cache.put(Verdict(key="d", status="passed", false_examples=("assert f(1) == 2",)))
    keys = "abcd"
    with VerdictCache(path) as cache:
        assert all(cache.get(key) for key in keys)
    monkeypatch.setattr(verdicts, "grader_digest", lambda: "of a grader that was mended")
    with VerdictCache(path) as cache:
        assert [key for key in keys if cache.get(key)] == ["a"]
        cache.put(Verdict(key="b", status="failed"))
    with VerdictCache(path) as cache:
        assert cache.get("b")


@pytest.mark.parametrize(
    "changed",
    [
        "grading/plan.py",
        "grading/programs/compare.py",
        "sandbox/guest/program.py",
        "syntax.py",
        "problems.py",
        "data/trivial.py",
        "data/verification.py",
        "data/shown_tests.py",
    ],
)
def test_a_changed_byte_of_what_grades_is_another_grader(changed: str, tmp_path: Path) -> None:
    copy = tmp_path / "verl_coder"
    shutil.copytree(Path(verl_coder.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    assert grader_digest.__wrapped__(copy) == grader_digest()
    (copy / changed).write_bytes((copy / changed).read_bytes() + b"\n")
    assert grader_digest.__wrapped__(copy) != grader_digest()
