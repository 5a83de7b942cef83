"""The problems that a teacher is asked: hard ones first, named by content, in the protocol that was asked for."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from verl_coder.errors import DataError
from verl_coder.problems import ROW_SCHEMA, AssertTests, Problem
from verl_coder.prompts import build_prompt, system_prompt
from verl_coder.protocols import PROTOCOLS
from verl_coder.teacher.offers import Offer
from verl_coder.teacher.sampling import Sampling
from verl_coder.teacher.tasks import TeacherTask, read_problems, read_tasks
from verl_coder.tools.execution import InterpreterSettings

SCHEMA = {"function": {"name": "python_interpreter"}}


def problem(number: int, protocol: str = "none", language: Any = "en", **changes: Any) -> Problem:
    name = f"add_{number}"
    return Problem(
        data_source="sums",
        problem_id=f"sums/{number}",
        prompt=build_prompt(
            f"Add {number}.", style="assert", protocol=protocol, language=language, entry_point=name
        ),
        tests=AssertTests(tests=(f"assert {name}(1) == {1 + number}",), entry_point=name),
        split="train",
        agent_name=PROTOCOLS[protocol].agent_name,
        **changes,
    )


def write(path: Path, problems: list[Problem]) -> Path:
    pq.write_table(pa.Table.from_pylist([one.to_row() for one in problems], schema=ROW_SCHEMA), path)
    return path


def read(path: Path, mode: Any = "row", model: str = "m", **options: Any) -> list[TeacherTask]:
    settings = options.pop("settings", InterpreterSettings())
    offers: Any = SimpleNamespace(of=lambda protocol: Offer(Path("tools.yaml"), (SCHEMA,), (settings,)))
    return read_tasks([path], mode, Sampling(model=model), offers=offers, **options)


def test_hard_problems_come_first_and_measured_ones_by_their_pass_rate(tmp_path: Path) -> None:
    problems = [
        problem(0, difficulty="easy"),
        problem(1, difficulty="hard"),
        problem(2, pass_rate=0.0, difficulty="easy"),
        problem(3),
        problem(4, pass_rate=0.9, difficulty="hard"),
    ]
    path = write(tmp_path / "p.parquet", problems)
    assert [task.place for task in read(path)] == [2, 1, 3, 0, 4]
    assert [task.place for task in read(path, max_tasks=2)] == [2, 1]


def test_a_problem_is_named_by_its_content_and_by_the_settings(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", [problem(0, "tool"), problem(1, "tool")])
    back = write(tmp_path / "b.parquet", [problem(1, "tool"), problem(0, "tool")])
    keys = {task.problem.problem_id: task.key for task in read(path)}
    assert keys == {task.problem.problem_id: task.key for task in read(back)}
    others = [
        read(path, model="another"),
        read(path, mode="plain"),
        read(path, settings=InterpreterSettings(timeout_s=1.0)),
        read(write(tmp_path / "c.parquet", [replace(problem(0, "tool"), tool_prelude="import math")])),
    ]
    assert not set(keys.values()) & {task.key for tasks in others for task in tasks}


@pytest.mark.parametrize(
    "changes", [{"num_workers": 4}, {"calls_per_s": 2.5}, {"sandbox_url": "http://elsewhere:1"}]
)
def test_how_many_programs_run_at_a_time_asks_nothing_again(changes: dict[str, Any], tmp_path: Path) -> None:
    path = write(tmp_path / "p.parquet", [problem(0, "tool"), problem(1, "program")])
    before = [task.key for task in read(path)]
    assert [task.key for task in read(path, settings=InterpreterSettings(**changes))] == before


def test_answers_of_older_journals_are_found(tmp_path: Path) -> None:
    """Another key asks and pays for every answer again: change it only where answers would change."""
    prompt = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "Add 1."})
    [task] = read(write(tmp_path / "p.parquet", [replace(problem(0, "tool"), prompt=prompt)]))
    assert task.key == "187dac0f41c18ae076239894f205a5f7"


def test_new_tests_leave_the_answers_and_change_what_they_are_graded_by(tmp_path: Path) -> None:
    [before] = read(write(tmp_path / "a.parquet", [problem(0)]))
    tests = AssertTests(tests=("assert add_0(9) == 9",), entry_point="add_0")
    [after] = read(write(tmp_path / "b.parquet", [replace(problem(0), tests=tests)]))
    assert before.key == after.key and before.tests_key != after.tests_key


def test_another_protocol_is_another_system_prompt(tmp_path: Path) -> None:
    path = write(tmp_path / "p.parquet", [problem(0), problem(1, "tool", "zh")])
    for mode, protocol in (("plain", "none"), ("tool", "tool"), ("program", "program")):
        first, second = sorted(read(path, mode=mode), key=lambda task: task.place)
        assert first.problem.prompt[0]["content"] == system_prompt(protocol=protocol)
        assert second.problem.prompt[0]["content"] == system_prompt(protocol=protocol, language="zh")
        assert first.problem.prompt[1] == problem(0).prompt[1]
        assert {one.problem.agent_name for one in (first, second)} == {PROTOCOLS[protocol].agent_name}


def test_a_system_prompt_that_is_not_ours_is_not_changed_behind_the_users_back(tmp_path: Path) -> None:
    mine = replace(problem(0), prompt=({"role": "system", "content": "Be brief."}, *problem(0).prompt[1:]))
    path = write(tmp_path / "p.parquet", [mine])
    assert read(path)[0].problem.prompt[0]["content"] == "Be brief."
    with pytest.raises(DataError, match=r"row 0: --mode tool would change its system prompt"):
        read(path, mode="tool")


def test_a_problem_without_tests_is_named_with_its_file_and_row(tmp_path: Path) -> None:
    row = problem(1).to_row()
    row["reward_model"]["ground_truth"] = json.dumps({"style": "assert", "tests": []})
    path = tmp_path / "p.parquet"
    pq.write_table(pa.Table.from_pylist([problem(0).to_row(), row], schema=ROW_SCHEMA), path)
    with pytest.raises(DataError, match=r"p\.parquet, row 1 \(sums/1\): .*has no tests"):
        read(path)


def test_tests_that_no_answer_could_be_graded_by_are_named_before_anything_is_asked(tmp_path: Path) -> None:
    bad = replace(problem(1), tests=AssertTests(tests=("assert add_1(1) ==",), entry_point="add_1"))
    path = write(tmp_path / "p.parquet", [problem(0), bad])
    tool = write(tmp_path / "tool.parquet", [problem(0, "tool"), replace(bad, agent_name="tool_agent")])
    for read_file, file in ((read, path), (read_problems, tool)):
        with pytest.raises(
            DataError, match=r"\.parquet, row 1 \(sums/1\): the tests .* do not parse: .*drop it"
        ):
            read_file(file)


def test_the_same_question_is_asked_once(tmp_path: Path) -> None:
    path = write(tmp_path / "p.parquet", [problem(0), problem(0)])
    assert len(read(path)) == 1


@pytest.mark.parametrize(
    "prompt", ["a text", 7, None, [], ["a text"], [{"role": "user"}], [{"role": "user", "content": 1}]]
)
def test_a_prompt_of_another_type_is_named_with_its_file_and_row(tmp_path: Path, prompt: Any) -> None:
    path = tmp_path / "problems.parquet"
    pq.write_table(pa.Table.from_pylist([{**problem(0).to_row(), "prompt": prompt}]), path)
    for mode in ("row", "program"):
        with pytest.raises(
            DataError, match=r"problems\.parquet, row 0.*: (a column has|its prompt is|prompt\[0\])"
        ):
            read(path, mode)


@pytest.mark.parametrize("protocol", ["feedback"])
def test_rows_whose_tools_a_teacher_does_not_have_are_refused_in_their_own_protocol(
    tmp_path: Path, protocol: str
) -> None:
    path = write(tmp_path / "p.parquet", [problem(0, protocol)])
    with pytest.raises(DataError, match=f"row 0 is of the protocol {protocol}, .*--mode"):
        read(path)
    assert read(path, mode="plain")[0].problem.agent_name == "single_turn_agent"


def test_a_prompt_whose_tools_cannot_be_left_out_is_named_before_anything_runs(tmp_path: Path) -> None:
    own = problem(1, "tool")
    own = replace(own, prompt=({"role": "system", "content": "My own."}, *own.prompt[1:]))
    path = write(tmp_path / "p.parquet", [own])
    assert list(read_problems(path)) == ["sums/1"]
    with pytest.raises(DataError, match=r"row 0 \(sums/1\): its prompt is not .*--plain-share needs one"):
        read_problems(path, plain=True)
    assert read_problems(write(tmp_path / "q.parquet", [problem(0, "tool")]), plain=True)


def test_a_file_of_rows_without_a_row_is_named(tmp_path: Path) -> None:
    path = tmp_path / "train.parquet"
    pq.write_table(pa.table({"prompt": pa.array([], pa.string())}), path)
    with pytest.raises(DataError, match=r"train\.parquet"):
        read_problems(path)
