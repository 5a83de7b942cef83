"""Whole evaluations: real loops, tools, sandbox, extraction and grader; the language model is scripted."""

import gc
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from evaluation.conftest import RIGHT, TINY, WRONG, make_problem

from verl_coder.data import write_rows
from verl_coder.errors import ConfigError, DataError, EngineError, FileWriteError
from verl_coder.evaluation import evaluate as evaluation
from verl_coder.evaluation import loop_registry
from verl_coder.evaluation.folder import check_out
from verl_coder.evaluation.request import EvaluationRequest, plan_evaluation
from verl_coder.evaluation.samples import SAMPLES_SCHEMA, read_samples
from verl_coder.evaluation.tables import _lines
from verl_coder.model_digest import folder_digest
from verl_coder.paths import repository_root
from verl_coder.problems import AssertTests
from verl_coder.prompts import build_prompt
from verl_coder.protocols import tool_call

CALL = tool_call("python_interpreter", "print(sum([1, 2]))")
HANGS = "```python\ndef f(xs):\n    while True:\n        pass\n```"


def alternately(text: str, turn: int) -> str:
    """Right on the problems with an even number."""
    return RIGHT if "(0)" in text or "(2)" in text else WRONG


def test_results_count_what_the_grader_says(evaluate_with: Any, tmp_path: Path) -> None:
    results = evaluate_with(alternately)(n=2, k=(1, 2))
    assert results["pass_at_k"] == {"1": 0.5, "2": 0.5}
    assert (results["num_tasks"], results["num_samples_per_task"]) == (4, 2)
    assert results["by_difficulty"]["hard"]["pass_at_k"]["1"] == 1.0
    assert results["by_difficulty"]["easy"]["pass_at_k"]["1"] == 0.0
    assert results["outcomes"] == {"passed": 4, "failed": 4}
    assert json.loads((tmp_path / "out" / "evaluation_results.json").read_text()) == json.loads(
        json.dumps(results)
    )


def test_the_samples_file_has_the_columns_of_the_contract(evaluate_with: Any, tmp_path: Path) -> None:
    evaluate_with(alternately)()
    schema = pq.read_schema(tmp_path / "out" / "samples.parquet")
    assert schema.names[:20] == [
        "problem_id", "data_source", "difficulty", "tags", "sample", "prompt", "output", "code", "outcome", "passed",
        "total", "pass_rate", "tests", "tool_calls", "valid_tool_calls", "turns", "prompt_tokens", "response_tokens",
        "finish_reason", "seconds",
    ]  # fmt: skip
    assert schema.equals(SAMPLES_SCHEMA)
    sample = read_samples(tmp_path / "out" / "samples.parquet")[0]
    assert sample.problem_id == "sample/0" and sample.output == f"{RIGHT}<|im_end|>"
    assert sample.code.startswith("def f") and json.loads(sample.tests)[0]["status"] == "passed"


def test_a_tool_runs_its_output_is_in_the_trajectory_and_counts(evaluate_with: Any, tmp_path: Path) -> None:
    def answer(text: str, turn: int) -> str:
        return RIGHT if "<tool_response>" in text else CALL

    results = evaluate_with(answer)(tools="tool_config/python_interpreter.yaml")
    assert results["pass_at_k"]["1"] == 1.0
    assert results["tools"]["mean"] == 1.0 and results["tools"]["success_rate"] == 1.0
    sample = read_samples(tmp_path / "out" / "samples.parquet")[0]
    assert "<tool_response>\n3\n</tool_response>" in sample.output
    assert (sample.tool_calls, sample.valid_tool_calls, sample.turns) == (1, 1, 2)
    assert sample.response_tokens > sample.generated_tokens


def test_without_tools_the_same_rows_are_one_turn(evaluate_with: Any, tmp_path: Path) -> None:
    evaluate_with(lambda text, turn: CALL)(tools="none")
    sample = read_samples(tmp_path / "out" / "samples.parquet")[0]
    assert (sample.turns, sample.tool_calls, sample.outcome) == (1, 0, "no_code")


def test_the_program_protocol_runs_what_stands_between_its_tags(
    evaluate_with: Any, problems: Path, tmp_path: Path
) -> None:
    prompt = build_prompt("Write f(xs): the sum.", style="function", protocol="none")
    write_rows([make_problem(0, prompt=prompt, agent_name="single_turn_agent")], problems)

    def answer(text: str, turn: int) -> str:
        return RIGHT if "\n<output>" in text else "<program>\nprint(6 * 7)\n</program> and never read"

    results = evaluate_with(answer)(protocol="program", max_prompt_tokens=700, max_response_tokens=300)
    sample = read_samples(tmp_path / "out" / "samples.parquet")[0]
    assert "</program>\n<output>\n42\n</output>\n" in sample.output and "never read" not in sample.output
    assert (sample.tool_calls, sample.valid_tool_calls, sample.outcome) == (1, 1, "passed")
    assert "<program>" in sample.prompt and results["tools"]["success_rate"] == 1.0


def test_tools_turn_rows_of_one_turn_into_calls_and_leave_programs_alone(problems: Path) -> None:
    tools = "tool_config/python_interpreter.yaml"
    for agent, expected in (("single_turn_agent", "tool_agent"), ("program_agent", "program_agent")):
        write_rows([make_problem(0, agent_name=agent)], problems)
        plan = plan_evaluation(request(problems, tools=tools))
        assert plan.problems.problems[0].problem.agent_name == expected and plan.tools is not None
    write_rows([make_problem(0, agent_name="single_turn_agent")], problems)
    assert plan_evaluation(request(problems)).tools is None


def test_evalplus_begins_the_answer_and_stops_at_its_fence(
    evaluate_with: Any, problems: Path, tmp_path: Path
) -> None:
    row = make_problem(
        0, data_source="humaneval", starter_code="def f(xs):\n", agent_name="single_turn_agent"
    )
    write_rows([row], problems)
    results = evaluate_with(lambda text, turn: "def f(xs):\n    return sum(xs)\n```\nNever read")(
        protocol="evalplus"
    )
    sample = read_samples(tmp_path / "out" / "samples.parquet")[0]
    assert sample.output.startswith("Below is a Python script") and sample.output.endswith("sum(xs)\n```\n")
    assert results["pass_at_k"]["1"] == 1.0


def test_a_call_in_the_last_turn_ends_by_turns_and_a_broken_one_is_not_valid(
    evaluate_with: Any, tmp_path: Path
) -> None:
    broken = "<tool_call>\nprint(1)\n</tool_call>"
    evaluate_with(lambda text, turn: CALL if "(0)" in text else broken)(
        tools="tool_config/python_interpreter.yaml"
    )
    samples = {sample.problem_id: sample for sample in read_samples(tmp_path / "out" / "samples.parquet")}
    first, other = samples["sample/0"], samples["sample/1"]
    assert (first.turns, first.tool_calls, first.valid_tool_calls, first.finish_reason) == (3, 3, 2, "turns")
    assert (other.turns, other.tool_calls, other.valid_tool_calls) == (3, 3, 0), "answered, not ended"


def test_an_answer_that_the_response_has_no_room_for_ends_by_length(
    evaluate_with: Any, tmp_path: Path
) -> None:
    def answer(text: str, turn: int) -> str:
        return ("y " * 250 if "<tool_response>" in text else "x " * 480 + CALL) + RIGHT

    results = evaluate_with(answer)(tools="tool_config/python_interpreter.yaml")
    assert results["finish_reasons"] == {"length": 4} and results["tools"]["mean"] == 1.0


def test_calls_that_are_none_end_by_that(evaluate_with: Any) -> None:
    broken = "<tool_call>\nprint(1)\n</tool_call>"
    results = evaluate_with(lambda text, turn: broken)(
        tools="tool_config/python_interpreter.yaml", max_turns=9
    )
    assert results["finish_reasons"] == {"invalid_calls": 4}
    assert results["tools"]["success_rate"] is None


SESSION_CALL = tool_call("python_session", "import time\ntime.sleep(20)")


@pytest.fixture
def session_with(monkeypatch: pytest.MonkeyPatch, problems: Path) -> Any:
    """Rows of the session's agent loop, which has other settings: `session_with(call_deadline_s=1)`."""

    def change(**settings: Any) -> None:
        entries = loop_registry.read_entries

        def changed(path: Path) -> dict[str, Any]:
            found = entries(path)
            return found | {"session_agent": found["session_agent"] | settings}

        monkeypatch.setattr(loop_registry, "read_entries", changed)
        write_rows([make_problem(n, agent_name="session_agent") for n in range(2)], problems)

    return change


def test_a_call_that_hangs_costs_its_sample_and_not_the_evaluation(
    evaluate_with: Any, session_with: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    session_with(call_deadline_s=0.3)
    monkeypatch.setattr("verl_coder.evaluation.session._PAUSE_S", 0.01)
    with pytest.raises(
        EngineError, match=r"1 samples have no answer .* sample/1, sample 0: a call of a tool did"
    ):
        evaluate_with(lambda text, turn: RIGHT if "(0)" in text else SESSION_CALL)()
    assert (tmp_path / "out" / "samples.jsonl").read_text().count("\n") == 1


def test_an_evaluation_has_no_deadline_for_a_trajectory(evaluate_with: Any, session_with: Any) -> None:
    session_with(trajectory_deadline_s=0)
    call = tool_call("python_session", "1 + 1")
    results = evaluate_with(lambda text, turn: RIGHT if "<tool_response>" in text else call)()
    assert results["pass_at_k"]["1"] == 1.0 and results["tools"]["mean"] == 1.0


def test_feedback_says_how_often_it_was_run_and_whether_it_ended_by_the_turns(
    evaluate_with: Any, tmp_path: Path
) -> None:
    prompts = [
        build_prompt("Write f(xs).", style="assert", examples=[f"assert f([1, {n}]) == 1 + {n}"])
        for n in (0, 1)
    ]
    path = tmp_path / "shown.parquet"
    write_rows([make_problem(n, prompt=prompt) for n, prompt in enumerate(prompts)], path)

    def answer(text: str, turn: int) -> str:
        return RIGHT if "f([1, 1])" in text else WRONG

    evaluate_with(answer)(
        data=(str(path),),
        protocol="feedback",
        tools="tool_config/feedback.yaml",
        max_prompt_tokens=500,
        max_response_tokens=500,
    )
    wrong, right = read_samples(tmp_path / "out" / "samples.parquet")
    assert (wrong.turns, wrong.tool_calls, wrong.tool_successes, wrong.finish_reason) == (3, 2, 0, "turns")
    assert (right.turns, right.tool_calls, right.tool_successes, right.finish_reason) == (1, 1, 1, "stop")


def test_turns_behind_the_first_have_the_temperature_of_retries(
    evaluate_with: Any, session_with: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    engines: list[Any] = []
    session_with()
    call = tool_call("python_session", "1 + 1")
    run = evaluate_with(lambda text, turn: RIGHT if "<tool_response>" in text else call)
    start = evaluation.start_engine
    monkeypatch.setattr(
        evaluation, "start_engine", lambda *started: engines.append(start(*started)) or engines[0]
    )
    run(retry_temperature=0.5)
    asked = engines[0].requests
    assert sorted(request.temperature for request in asked) == [0.0] * 2 + [0.5] * 2
    assert len({request.seed for request in asked}) == 4
    with pytest.raises(ConfigError, match=r"retry_temperature = 0\.5, and this command says 0\.7"):
        run(retry_temperature=0.7)


def test_an_answer_without_end_is_cut_at_the_limit(evaluate_with: Any, tmp_path: Path) -> None:
    results = evaluate_with(lambda text, turn: "x " * 2000)()
    assert results["finish_reasons"] == {"length": 4}
    assert {sample.response_tokens for sample in read_samples(tmp_path / "out" / "samples.parquet")} == {700}


def test_an_interrupted_evaluation_goes_on_with_what_it_lacks(evaluate_with: Any, tmp_path: Path) -> None:
    turns: list[int] = []

    def dies_after_five(text: str, turn: int) -> str:
        turns.append(turn)
        if len(turns) == 6:
            raise ConfigError("the machine is gone")
        return alternately(text, turn)

    with pytest.raises(ConfigError, match="the machine is gone"):
        evaluate_with(dies_after_five)(n=3, k=(1, 3))
    kept = len((tmp_path / "out" / "samples.jsonl").read_text().splitlines())
    assert not (tmp_path / "out" / "evaluation_results.json").exists()
    turns.clear()
    results = evaluate_with(lambda text, turn: turns.append(turn) or alternately(text, turn))(n=3, k=(1, 3))
    assert len(turns) == 12 - kept
    assert results["pass_at_k"] == {"1": 0.5, "3": 0.5} and results["timing"]["starts"] == 2


def test_an_evaluation_that_fails_leaves_no_task_behind(
    evaluate_with: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def fails_at_the_end(text: str, turn: int) -> str:
        if turn > 8:
            raise ConfigError("the machine is gone")
        return alternately(text, turn)

    with pytest.raises(ConfigError, match="the machine is gone"):
        evaluate_with(fails_at_the_end)(n=4)
    gc.collect()
    assert "never retrieved" not in caplog.text and "was destroyed" not in caplog.text


def test_a_killed_evaluation_loses_what_was_in_work_and_no_more(evaluate_with: Any, tmp_path: Path) -> None:
    journal = tmp_path / "out" / "samples.jsonl"

    def slow_after_ten(text: str, turn: int) -> str | None:
        return alternately(text, turn) if turn <= 10 else None

    child = multiprocessing.get_context("fork").Process(target=evaluate_with(slow_after_ten), kwargs={"n": 5})
    child.start()
    while child.is_alive() and not (journal.exists() and journal.read_bytes().count(b"\n") >= 6):
        time.sleep(0.02)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    child.join()
    kept = journal.read_bytes().count(b"\n")
    turns: list[int] = []
    results = evaluate_with(lambda text, turn: turns.append(turn) or alternately(text, turn))(n=5)
    assert len(turns) == 20 - kept and kept >= 6
    assert results["pass_at_k"]["1"] == 0.5 and results["num_samples_per_task"] == 5


def test_a_rate_counts_the_samples_of_the_seconds_that_are_known(evaluate_with: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert evaluate_with(alternately)(n=5)["timing"]["drawn_samples"] == 20
    lines = (out / "samples.jsonl").read_bytes().splitlines(keepends=True)
    for kept in (20, 14):  # as `kill -9` leaves them: no time of the killed start is known
        (out / "timing.json").unlink(missing_ok=True)
        (out / "samples.parquet").unlink()
        (out / "samples.jsonl").write_bytes(b"".join(lines[:kept]))
        results = evaluate_with(alternately)(n=5)
        rate, seconds = results["throughput"]["samples_per_s"], results["timing"]["sampling_s"]
        assert rate == (pytest.approx((20 - kept) / seconds) if kept < 20 else None)
        said = _lines(results)[-1]
        assert ("not known" in said) if kept == 20 else (f"of the {20 - kept} of 20 samples" in said)


def test_a_finished_evaluation_is_read_without_the_model(evaluate_with: Any) -> None:
    first = evaluate_with(alternately)()

    def never(text: str, turn: int) -> str:
        raise AssertionError("asked again")

    assert evaluate_with(never)() == first


def test_another_setting_into_the_same_folder_is_refused_with_both_values(evaluate_with: Any) -> None:
    run = evaluate_with(alternately)
    run(n=2)
    with pytest.raises(ConfigError, match=r"temperature = 1\.0, and this command says 0\.7"):
        run(n=2, temperature=0.7)
    with pytest.raises(ConfigError, match="n = 2, and this command says 4"):
        run(n=4)
    assert run(n=2, k=(2,))["pass_at_k"] == {"2": 0.5}


def test_the_same_model_rows_and_tools_at_other_places_go_on(
    evaluate_with: Any, problems: Path, tmp_path: Path
) -> None:
    tools = repository_root() / "tool_config/python_interpreter_quick.yaml"
    evaluate_with(alternately)(tools=str(tools))
    model = shutil.copytree(TINY, tmp_path / "model")
    moved = shutil.copy(tools, tmp_path / "tools.yaml"), shutil.copy(problems, tmp_path / "rows.parquet")

    def never(text: str, turn: int) -> str:
        raise AssertionError("asked again")

    places = {"model": str(model), "tools": str(moved[0]), "data": (str(moved[1]),)}
    assert evaluate_with(never)(**places)["settings"]["model"] == str(model)
    (tmp_path / "tools.yaml").write_text(tools.read_text() + "# another\n")
    with pytest.raises(ConfigError, match="samples drawn with tools_text = "):
        evaluate_with(never)(**places)


async def load_of_8(sandbox: Any) -> float:
    return 8.0


def test_a_limit_met_under_load_is_tried_again_alone(
    evaluate_with: Any, monkeypatch: pytest.MonkeyPatch, problems: Path, tmp_path: Path
) -> None:
    tests = make_problem(0).tests
    write_rows([make_problem(0, tests=replace(tests, timeout_s=0.4))], problems)
    slow = "```python\nimport time\ndef f(xs):\n    time.sleep(1)\n    return sum(xs)\n```"
    monkeypatch.setattr("verl_coder.evaluation.grading_queue.load_of", load_of_8)
    results = evaluate_with(lambda text, turn: slow)()
    assert results["pass_at_k"]["1"] == 1.0 and results["second_tries"] == 1
    assert read_samples(tmp_path / "out" / "samples.parquet")[0].second_try


def test_second_tries_alone_load_no_model(
    evaluate_with: Any, monkeypatch: pytest.MonkeyPatch, problems: Path
) -> None:
    tests = replace(make_problem(0).tests, timeout_s=0.4)  # type: ignore[type-var]
    write_rows([make_problem(0, tests=tests)], problems)
    slow = "```python\nimport time\ndef f(xs):\n    time.sleep(1)\n    return sum(xs)\n```"
    monkeypatch.setattr("verl_coder.evaluation.grading_queue.load_of", load_of_8)
    run = evaluate_with(lambda text, turn: slow)

    async def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("verl_coder.evaluation.session.EvaluationSession._second_try", killed)
        with pytest.raises(KeyboardInterrupt):
            run()
    monkeypatch.delattr("verl_coder.evaluation.evaluate.start_engine")
    results = run()
    assert results["pass_at_k"]["1"] == 1.0 and results["second_tries"] == 1


def test_a_program_that_used_up_its_time_is_not_tried_again(evaluate_with: Any, problems: Path) -> None:
    tests = make_problem(0).tests
    write_rows([make_problem(0, tests=replace(tests, timeout_s=1.0))], problems)
    results = evaluate_with(lambda text, turn: HANGS)()
    assert results["outcomes"] == {"timeout": 1}


def test_no_answer_of_the_sandbox_is_no_verdict(evaluate_with: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from verl_coder.errors import SandboxUnavailableError
    from verl_coder.grading.report import empty_report

    async def down(*args: Any, **options: Any) -> Any:
        return empty_report("sandbox_unavailable", 2, "nobody answers")

    monkeypatch.setattr("verl_coder.evaluation.grading_queue.grade", down)
    with pytest.raises(SandboxUnavailableError, match="nobody answers"):
        evaluate_with(alternately)()
    monkeypatch.undo()


def request(problems: Path, **options: Any) -> EvaluationRequest:
    return EvaluationRequest(**({"model": str(TINY), "data": (str(problems),)} | options))


def test_a_window_of_dates_and_a_tag_choose_problems(evaluate_with: Any, problems: Path) -> None:
    rows = [make_problem(n, date=f"2024-0{n + 1}-15", tags=("Array", f"t{n}")) for n in range(4)]
    write_rows(rows, problems)
    plan = plan_evaluation(request(problems, date_from="2024-02-01", date_to="2024-03-15"))
    assert [posed.problem.index for posed in plan.problems.problems] == [1, 2]
    write_rows([make_problem(n, date=f"2024-0{n + 1}-15T00:00:00") for n in range(4)], problems)
    plan = plan_evaluation(request(problems, date_from="20240201", date_to="20240315"))
    assert [posed.problem.index for posed in plan.problems.problems] == [1, 2]
    write_rows(rows, problems)
    assert [p.problem.index for p in plan_evaluation(request(problems, tag="t3")).problems.problems] == [3]
    by_tag = evaluate_with(alternately)()["by_tag"]
    assert by_tag["Array"]["num_tasks"] == 4 and by_tag["t0"]["pass_at_k"]["1"] == 1.0


def test_greedy_answers_are_not_drawn_twice(problems: Path) -> None:
    for more in ({}, {"retry_temperature": 1.0}):
        with pytest.raises(ConfigError, match="greedy answers begin all the same"):
            plan_evaluation(request(problems, n=3, temperature=0.0, **more))


def test_a_k_above_n_is_refused_before_anything_starts(problems: Path) -> None:
    with pytest.raises(ConfigError, match="--k 10 with --n 5"):
        plan_evaluation(request(problems, n=5, k=(1, 10)))


def test_a_corrupt_file_is_named(problems: Path) -> None:
    problems.write_bytes(problems.read_bytes()[:200])
    with pytest.raises(DataError, match=r"test\.parquet is not a readable Parquet file"):
        plan_evaluation(request(problems))


def test_a_row_without_tests_is_named(problems: Path) -> None:
    import pyarrow as pa

    rows = pq.read_table(problems).to_pylist()
    rows[2]["reward_model"]["ground_truth"] = '{"style": "assert", "tests": []}'
    pq.write_table(pa.Table.from_pylist(rows), problems)
    with pytest.raises(DataError, match=r"test\.parquet, row 2: .*has no tests"):
        plan_evaluation(request(problems))


def test_two_rows_of_one_problem_are_refused(problems: Path) -> None:
    with pytest.raises(DataError, match="'sample/0'"):
        plan_evaluation(request(problems, data=(str(problems), str(problems))))


def test_a_model_without_a_chat_template_is_refused(
    problems: Path, tmp_path: Path, evaluate_with: Any
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for file in TINY.iterdir():
        if file.name != "chat_template.jinja":
            (folder / file.name).write_bytes(file.read_bytes())
    with pytest.raises(ConfigError, match="has no chat template"):
        evaluate_with(alternately)(model=str(folder))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "/nowhere/at/all"}, "no such folder"),
        ({"data": ("/nowhere.parquet",)}, "no such Parquet file"),
        ({"tools": "tool_config/none_such.yaml"}, "no such file"),
        ({"tools": "none", "protocol": "tool"}, "leave one out"),
        ({"difficulty": "impossible"}, "no problem is left"),
        ({"date_from": "2024-01-01"}, r"has no extra_info\.date"),
        ({"date_to": "01/02/2024"}, "a day as YYYY-MM-DD"),
        ({"model": "http://127.0.0.1:9/v1"}, "--tokenizer"),
        ({"max_prompt_tokens": 900, "max_response_tokens": 900}, "1024 positions"),
        ({"protocol": "evalplus"}, "is for MBPP"),
        ({"model": "a" * 300}, "no such folder"),
        ({"n": 2, "temperature": float("nan")}, "--temperature nan: a finite number"),
        ({"n": 2, "temperature": float("inf")}, "--temperature inf: a finite number"),
        ({"n": 2, "top_p": 0.0}, "--top-p 0: above 0"),
        ({"n": 2, "top_k": -2}, "--top-k -2: a number of tokens"),
        ({"dtype": "float13"}, "--dtype float13: there are auto, bfloat16"),
    ],
)
def test_what_is_wrong_with_a_command_is_one_line(
    problems: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises((ConfigError, DataError), match=message) as error:
        plan_evaluation(request(problems, **options))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is no YAML"),
        ("- a", "holds no mapping"),
        ("a: 1", r"its data\.max_prompt_length is None"),
        ("data: {max_prompt_length: x, max_response_length: 2}", "max_prompt_length is x"),
        ("data: {max_prompt_length: '${nope}', max_response_length: 2}", "cannot be read"),
    ],
)
def test_a_run_whose_configuration_is_none_is_one_line(
    problems: Path, tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError, match=rf"config\.yaml.*{message}.*name the folder of a run") as error:
        plan_evaluation(request(problems, like=str(tmp_path)))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["{", "[1]", "{}", '{"base_model_name_or_path": 3}'])
def test_an_adapter_that_names_no_model_is_found_before_anything_is_loaded(
    problems: Path, tmp_path: Path, text: str
) -> None:
    (tmp_path / "adapter_config.json").write_text(text)
    with pytest.raises(ConfigError, match=r"adapter_config\.json .*copy the adapter anew"):
        plan_evaluation(request(problems, model=str(tmp_path)))


def test_samples_without_the_settings_they_were_drawn_with_are_left_alone(
    evaluate_with: Any, tmp_path: Path
) -> None:
    run, out = evaluate_with(alternately), tmp_path / "out"
    run()
    before = (out / "samples.jsonl").read_bytes()
    (out / "settings.json").unlink()
    with pytest.raises(ConfigError, match=r"holds samples but no settings\.json.*another --out"):
        run(n=1, temperature=0.7)
    for text in ("[1]", "{"):
        (out / "settings.json").write_text(text)
        with pytest.raises(ConfigError, match=r"settings\.json .*put the file back"):
            run()
    assert (out / "samples.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    "name", ["samples.jsonl", "samples.parquet", "evaluation_results.json", "settings.json"]
)
def test_a_folder_where_a_file_belongs_is_one_line_and_loses_nothing(
    evaluate_with: Any, tmp_path: Path, name: str
) -> None:
    (tmp_path / "out" / name).mkdir(parents=True)
    with pytest.raises(FileWriteError, match=f"{name} cannot be written .*a folder stands there"):
        evaluate_with(alternately)()
    (tmp_path / "out" / name).rmdir()
    assert evaluate_with(alternately)()["pass_at_k"]["1"] == 0.5


@pytest.mark.parametrize("text", ["[1]", "{", '{"sampling_s": "x"}', '{"sampling_s": null}'])
def test_broken_times_cost_the_times_alone(evaluate_with: Any, tmp_path: Path, text: str) -> None:
    evaluate_with(alternately)()
    (tmp_path / "out" / "timing.json").write_text(text)
    results = evaluate_with(alternately)()
    assert results["pass_at_k"]["1"] == 0.5 and results["throughput"]["samples_per_s"] is None


def test_tests_that_do_not_parse_are_found_before_the_model_is_loaded(problems: Path) -> None:
    broken = AssertTests(tests=("assert f([1] == 1",), entry_point="f")
    write_rows([make_problem(0), make_problem(1, tests=broken)], problems)
    with pytest.raises(DataError, match=r"test\.parquet, row 1: the tests of style 'assert' do not parse"):
        plan_evaluation(request(problems))


def test_a_prompt_over_the_limit_is_named_and_the_folder_stays_free(evaluate_with: Any) -> None:
    run = evaluate_with(alternately)
    with pytest.raises(DataError, match=r"sample/0: its prompt has \d+ tokens, and the limit is 10"):
        run(max_prompt_tokens=10)
    assert run()["pass_at_k"]["1"] == 0.5


def test_a_finished_folder_that_lost_its_journal_is_not_drawn_again(
    evaluate_with: Any, tmp_path: Path
) -> None:
    results = evaluate_with(alternately)()
    (tmp_path / "out" / "samples.jsonl").unlink()
    again = evaluate_with(lambda text, turn: WRONG)()
    assert again["pass_at_k"] == results["pass_at_k"]
    (tmp_path / "out" / "samples.jsonl").unlink()
    with pytest.raises(ConfigError, match="drawn with seed = 0"):
        evaluate_with(alternately)(seed=5)


@pytest.mark.parametrize("name", ["metrics.jsonl", "config.json", "train.parquet", "rollouts"])
def test_the_folder_of_something_else_is_refused_before_a_model_is_loaded(
    evaluate_with: Any, tmp_path: Path, name: str
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("")
    with pytest.raises(ConfigError, match=rf"--out .*out holds {name} and no evaluation"):
        evaluate_with(alternately)()
    assert [path.name for path in (tmp_path / "out").iterdir()] == [name]


def test_a_log_in_the_folder_is_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "evaluate.log").write_text("")
    check_out(tmp_path)


def test_a_tag_that_a_problem_has_twice_counts_once(evaluate_with: Any, problems: Path) -> None:
    write_rows([make_problem(0, tags=("dp", "dp")), make_problem(1, tags=("dp",))], problems)
    assert evaluate_with(alternately)(n=2, k=(1, 2))["by_tag"]["dp"]["pass_at_k"]["2"] == 0.5


def test_a_second_evaluation_into_one_folder_at_a_time_is_refused(evaluate_with: Any, tmp_path: Path) -> None:
    import fcntl

    (tmp_path / "out").mkdir()
    with (tmp_path / "out" / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="another evaluation is writing"):
            evaluate_with(alternately)()


def test_tools_that_are_no_text_are_one_line(problems: Path, tmp_path: Path) -> None:
    tools = tmp_path / "tools.yaml"
    tools.write_bytes(b"tools: \xaa")
    with pytest.raises(ConfigError, match=r"--tools .* is no text in UTF-8"):
        plan_evaluation(request(problems, tools=str(tools)))


def test_a_model_and_tools_that_go_meanwhile_are_recorded_as_they_were(
    evaluate_with: Any, tmp_path: Path
) -> None:
    model = shutil.copytree(TINY, tmp_path / "model")
    tools = tmp_path / "tools.yaml"
    shutil.copy(repository_root() / "tool_config/python_interpreter_quick.yaml", tools)
    before, text = folder_digest(model), tools.read_text()

    def answer(text: str, turn: int) -> str:
        shutil.rmtree(model, ignore_errors=True)
        tools.unlink(missing_ok=True)
        return alternately(text, turn)

    settings = evaluate_with(answer)(model=str(model), tools=str(tools))["settings"]
    assert settings["model_digest"] == before
    assert settings["tools_digest"] == hashlib.sha256(text.encode()).hexdigest()[:32]
    with pytest.raises(ConfigError, match="holds no file of a model"):
        folder_digest(model)


def test_versions_are_those_of_the_starts_that_drew_samples(
    evaluate_with: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def with_version(version: str) -> Any:
        monkeypatch.setattr(evaluation, "versions", lambda: {"vllm": version, "grader": "same"})
        return evaluate_with(alternately)()

    assert "earlier_versions" not in with_version("1")
    journal = tmp_path / "out/samples.jsonl"
    journal.write_text(
        "".join(journal.read_text().splitlines(keepends=True)[:2])
    )  # the others are owed again
    (tmp_path / "out/samples.parquet").unlink()
    results = with_version("2")
    assert results["versions"]["vllm"] == "2"
    assert [one["vllm"] for one in results["earlier_versions"]] == ["1"]
    assert with_version("3") == results
