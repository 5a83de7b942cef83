"""`verl-coder teacher generate`: no file is lost, budgets hold over starts, and what was left out is told."""

import json
import math
import os
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from teacher.scripted_teacher import ScriptedTeacher, addition, serving
from teacher.test_generate import Generator, make, number_of, sandbox_url

from verl_coder.errors import ConfigError, TeacherError
from verl_coder.problems import ROW_SCHEMA
from verl_coder.teacher.generate import generate
from verl_coder.teacher.generate_terminal import notes

__all__ = ["make", "sandbox_url"]  # fixtures


@pytest.mark.parametrize(
    "name", ["problems.parquet", "traces.parquet", "traces.statistics.json", "notes.txt"]
)
def test_a_journal_in_the_place_of_another_file_is_refused_and_nothing_is_written(
    make: Generator, name: str
) -> None:
    (make.folder / "notes.txt").write_text("one line without an end")
    with serving(ScriptedTeacher()) as server:
        options = make.options(server.url, journal=make.folder / name)
        before = {path.name: path.read_bytes() for path in make.folder.iterdir()}
        with pytest.raises(ConfigError, match="--journal"):
            generate(options)
    assert {path.name: path.read_bytes() for path in make.folder.iterdir()} == before and not server.asked


def test_traces_are_not_written_over_the_problems(make: Generator) -> None:
    with serving(ScriptedTeacher()) as server:
        options = make.options(server.url, out=make.folder / "problems.parquet")
        before = options.out.read_bytes()
        with pytest.raises(ConfigError, match=r"--out .* is the file of --problems"):
            generate(options)
    assert options.out.read_bytes() == before and os.listdir(make.folder) == ["problems.parquet"]


def test_a_problem_that_is_refused_is_dropped_alone_and_named(make: Generator) -> None:
    class TooLong(ScriptedTeacher):
        async def _completion(self, body: dict[str, Any], content: bytes) -> bytes | None:
            if number_of(body) != 0:
                return await super()._completion(body, content)
            text = b'{"message": "the prompt is too long"}'
            return b"HTTP/1.1 400 X\r\ncontent-length: %d\r\n\r\n%s" % (len(text), text)

    with serving(TooLong(latency_s=0.2)) as server:
        options = make.options(server.url, problems=6, num_samples=8)
        report = generate(options)
    assert {sample.task for sample in report.kept} == set(range(1, 6))
    assert report.dropped["refused: HTTP 400 the prompt is too long"] == 8
    assert report.refused == {"sums/0": "HTTP 400 the prompt is too long"}
    assert any("sums/0" in note for note in notes(report, options))


def test_attempts_that_failed_count_in_the_budget_of_later_starts(make: Generator) -> None:
    with serving(ScriptedTeacher(fault_share=0.5, faults=("500",), seed=1)) as server:
        for _ in range(3):
            report = make(server, num_samples=8, max_requests=10)
            assert report.budget.requests == sum(server.asked.values()) == 10


def test_tokens_of_attempts_that_failed_count_in_later_starts(make: Generator) -> None:
    paid = 0

    class Paid(ScriptedTeacher):
        async def _completion(self, body: dict[str, Any], content: bytes) -> bytes | None:
            nonlocal paid
            paid += 100
            text = "" if paid % 200 else addition(body, 0)["content"]
            choice = {"message": {"content": text}, "finish_reason": "stop"}
            usage = {"prompt_tokens": 0, "completion_tokens": 100}
            answer = json.dumps({"choices": [choice], "usage": usage}).encode()
            return b"HTTP/1.1 200 X\r\ncontent-length: %d\r\n\r\n%s" % (len(answer), answer)

    with serving(Paid()) as server:
        for _ in range(3):
            report = make(server, num_samples=8, max_total_tokens=600, in_flight=1)
            assert report.budget.tokens == paid == 600


class WithoutUsage(ScriptedTeacher):
    """Answers that do not say their tokens."""

    async def _completion(self, body: dict[str, Any], content: bytes) -> bytes | None:
        answer = json.dumps({"choices": [{"message": addition(body, 0), "finish_reason": "stop"}]}).encode()
        self.asked["all"] += 1
        return b"HTTP/1.1 200 X\r\ncontent-length: %d\r\n\r\n%s" % (len(answer), answer)


@pytest.mark.parametrize("limit", [{"max_total_tokens": 10}, {"max_cost": 1.0, "price_out": 1.0}])
def test_a_limit_of_tokens_that_cannot_be_kept_ends_the_command(
    make: Generator, limit: dict[str, Any]
) -> None:
    with serving(WithoutUsage()) as server, pytest.raises(TeacherError, match="no `usage`"):
        make(server, in_flight=1, **limit)
    assert server.asked["all"] <= 2  # one more may be on its way


def test_answers_without_their_tokens_are_told(make: Generator) -> None:
    with serving(WithoutUsage()) as server:
        options = make.options(server.url, price_out=1.0)
        report = generate(options)
    assert report.statistics()["answers_without_usage"] == 12
    assert any("12 answers did not say their tokens" in note for note in notes(report, options))


@pytest.mark.parametrize("turns", [1, 3])
def test_a_call_in_the_last_turn_is_a_call(make: Generator, turns: int) -> None:
    def caller(body: dict[str, Any], asked: int) -> dict[str, Any]:
        function = {"name": "python_interpreter", "arguments": json.dumps({"code": "print(1)"})}
        call = {"id": "x", "type": "function", "function": function}
        return {"finish_reason": "tool_calls", "message": {"content": "", "tool_calls": [call]}}

    with serving(ScriptedTeacher(caller)) as server:
        report = make(server, problems=2, protocol="tool", num_samples=1, max_turns=turns)
    assert (report.statistics()["calls"], report.statistics()["with_calls"]) == (2 * turns, 2)


def test_problems_that_are_asked_already_are_counted(make: Generator) -> None:
    with serving(ScriptedTeacher()) as server:
        options = make.options(server.url, num_samples=1)
        other = make.folder / "other.parquet"
        rows = pq.read_table(options.problems[0]).to_pylist()
        for row in rows:
            row["extra_info"]["problem_id"] += "/again"
        pq.write_table(pa.Table.from_pylist(rows, schema=ROW_SCHEMA), other)
        options = make.options(server.url, num_samples=1, problems=4)
        options = replace(options, problems=(*options.problems, other))
        report = generate(options)
    assert (report.problems, report.repeated) == (4, 4)
    assert any("4 problems ask word for word the same" in note for note in notes(report, options))


def test_tools_that_are_no_text_are_one_line(make: Generator) -> None:
    tools = make.folder / "tools.yaml"
    tools.write_bytes(b"tools: \xaa")
    with pytest.raises(ConfigError, match=r"--tools .* is no text in UTF-8"):
        generate(make.options("http://127.0.0.1:9/v1", tools=tools))


def test_lines_of_a_journal_that_are_no_entry_are_told(make: Generator) -> None:
    with serving(ScriptedTeacher()) as server:
        make(server, problems=1)
        journal = make.out.with_suffix(".journal.jsonl")
        journal.write_text("".join(f"{line}\nno entry\n" for line in journal.read_text().splitlines()[:2]))
        report = make(server, problems=1)
        [note] = [one for one in notes(report, make.options(server.url)) if "of the journal" in one]
    assert note.startswith("2 lines of the journal are no entry of one")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_cost", math.nan),
        ("max_cost", -1.0),
        ("price_in", math.nan),
        ("price_out", -1.0),
        ("timeout_s", math.nan),
    ],
)
def test_a_limit_that_is_no_number_is_named(make: Generator, name: str, value: float) -> None:
    option = f"--{name.replace('_', '-')}"
    with pytest.raises(ConfigError, match=f"{option} is {value}: use a number of 0 or more"):
        make.options("http://127.0.0.1:1/v1", **{name: value})
