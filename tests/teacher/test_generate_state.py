"""Traces of a teacher that has a live interpreter or a debugger: its calls are made by the rollout's own tools."""

import json
from typing import Any

import pytest
from teacher.scripted_teacher import ScriptedTeacher, serving
from teacher.test_generate import Generator, code, make, number_of, sandbox_url

from verl_coder.errors import ConfigError
from verl_coder.paths import repository_root

__all__ = ["make", "sandbox_url"]  # fixtures


def called(name: str, **arguments: str) -> dict[str, Any]:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"content": "", "tool_calls": [{"id": "1", "type": "function", "function": function}]}


def leans_on_its_session(body: dict[str, Any], asked: int) -> dict[str, Any]:
    """Sets a name, fails, uses the name, and answers by what it reads."""
    turn = sum(message["role"] == "assistant" for message in body["messages"])
    calls = (f"kept = {number_of(body)}", "kept / 0", "kept")
    if turn < len(calls):
        return called("python_session", code=calls[turn])
    return {"content": code(number_of(body), f"return x + {int(body['messages'][-1]['content'])}")}


def looks_at_its_program(body: dict[str, Any], asked: int) -> dict[str, Any]:
    number = number_of(body)
    turn = sum(message["role"] == "assistant" for message in body["messages"])
    program = f"def add_{number}(x):\n    y = x + {number}\n    return y + 1"
    if turn == 0:
        return called("python_debugger", code=program, commands=f"break add_{number}\nrun")
    if turn == 1:
        return called("python_debugger", commands="return")
    return {"content": code(number, f"return x + {number}")}


def test_a_session_lives_on_from_call_to_call(make: Generator) -> None:
    with serving(ScriptedTeacher(leans_on_its_session)) as server:
        report = make(server, problems=3, num_samples=1, protocol="session", tools=None)
    assert report.statistics()["traces"] == 3 and report.statistics()["calls"] == 9
    for row in make.rows():
        turns = row["messages"][2:]
        number = row["problem_id"].removeprefix("sums/")
        assert turns[3]["content"].endswith("ZeroDivisionError: division by zero")
        assert turns[5]["content"] == number and row["agent_name"] == "session_agent"
        assert [turn["weight"] for turn in turns] == [None, None, 0, None, None, None, None]
    assert [tool["function"]["name"] for tool in server.requests[0]["tools"]] == ["python_session"]


def test_a_session_that_was_cut_goes_on_with_what_it_had(make: Generator) -> None:
    with serving(ScriptedTeacher(leans_on_its_session)) as server:
        make(server, problems=1, num_samples=1, protocol="session", tools=None)
        [whole] = make.rows()
        journal = make.out.with_suffix(".journal.jsonl")
        journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:2]))
        report = make(server, problems=1, num_samples=1, protocol="session", tools=None)
    assert report.answers == 2 and report.known_answers == 2
    assert make.rows()[0]["messages"] == whole["messages"]


def test_a_conversation_whose_calls_come_to_something_else_is_no_trace(make: Generator) -> None:
    with serving(ScriptedTeacher(leans_on_its_session)) as server:
        make(server, problems=1, num_samples=1, protocol="session", tools=None)
        journal = make.out.with_suffix(".journal.jsonl")
        lines = journal.read_text().splitlines(keepends=True)[:3]
        failed = json.loads(lines[2])
        assert failed["result"]["failed"] is True
        failed["result"]["failed"] = False
        journal.write_text("".join([*lines[:2], json.dumps(failed) + "\n"]))
        report = make(server, problems=1, num_samples=1, protocol="session", tools=None)
    assert report.dropped == {"a call made again comes to something else": 1} and not report.kept


def test_a_debugger_stands_where_the_last_call_has_left_it(make: Generator) -> None:
    with serving(ScriptedTeacher(looks_at_its_program)) as server:
        make(server, problems=2, num_samples=1, mode="debugger", tools=None)
    for row in make.rows():
        _, first, _, second, _ = row["messages"][2:]
        assert "breakpoint at line 2" in first["content"] and "about to return" in second["content"]
        assert row["agent_name"] == "debugger_agent" and row["outcome"] == "passed"


def test_tools_that_the_rows_need_and_the_yaml_lacks_are_one_line(make: Generator) -> None:
    interpreter = repository_root() / "tool_config" / "python_interpreter.yaml"
    with (
        serving(ScriptedTeacher()) as server,
        pytest.raises(ConfigError, match=r"has no PythonSession; take tool_config/python_session\.yaml"),
    ):
        make(server, problems=1, protocol="session", tools=interpreter)
    assert not server.requests
