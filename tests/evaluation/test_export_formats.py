"""The sample formats of EvalPlus and LiveCodeBench."""

import json
from pathlib import Path

import pytest
from evaluation.test_samples import make_sample

from verl_coder.errors import ConfigError
from verl_coder.evaluation.export_formats import check_exports, export_evalplus, export_livecodebench


def test_evalplus_gets_a_line_a_sample_with_its_own_ids(tmp_path: Path) -> None:
    samples = [
        make_sample("humaneval/0", 0),
        make_sample("humaneval/0", 1, code="d"),
        make_sample("mbppplus/7"),
    ]
    lines = export_evalplus(samples, tmp_path / "s.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"task_id": "HumanEval/0", "solution": "c"},
        {"task_id": "HumanEval/0", "solution": "d"},
        {"task_id": "Mbpp/7", "solution": "c"},
    ]


def test_livecodebench_gets_a_list_by_question(tmp_path: Path) -> None:
    samples = [
        make_sample("livecodebench/b_1", 0),
        make_sample("livecodebench/a_2"),
        make_sample("livecodebench/b_1", 1),
    ]
    found = json.loads(export_livecodebench(samples, tmp_path / "s.json").read_text())
    assert found == [
        {"question_id": "a_2", "code_list": ["c"]},
        {"question_id": "b_1", "code_list": ["c", "c"]},
    ]


def test_a_problem_of_another_benchmark_is_refused(tmp_path: Path) -> None:
    for export in (export_evalplus, export_livecodebench):
        with pytest.raises(ConfigError, match="sample/1"):
            export([make_sample("sample/1")], tmp_path / "s")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("names", "problems", "words"),
    [
        (["evalplus"], ["mbpp/2", "leetcode/1"], "leetcode/1 is none of EvalPlus's problems"),
        (["evalplus"], ["mbpp/2", "mbppplus/2"], "mbpp/2 and mbppplus/2 are one task there"),
        (["livecodebench"], ["mbpp/2"], "mbpp/2 is no problem of LiveCodeBench"),
    ],
)
def test_problems_that_a_format_cannot_tell_are_refused_before_anything_is_drawn(
    names: list[str], problems: list[str], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        check_exports(names, problems)
    check_exports(["evalplus"], ["mbpp/2", "humaneval/2"])
