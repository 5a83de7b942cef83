"""Traces of tools with state: what stands in them is what the rollout's own tools answer."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from teacher.trace_maker import (
    HANGS,
    NAME_ERROR,
    OTHER_RIGHT,
    RIGHT,
    WRONG,
    Maker,
    block,
    problem,
)

from verl_coder.errors import ConfigError
from verl_coder.extraction import extract
from verl_coder.importing import load_class
from verl_coder.paths import repository_root
from verl_coder.prompts import build_prompt
from verl_coder.protocols import agent_tags, find_program
from verl_coder.sandbox.embedded import EmbeddedSandbox
from verl_coder.teacher.conversation import decoded_response
from verl_coder.tools.workspace import Workspace
from verl_coder.traces import read_traces

SECOND_WRONG = "def add(a, b):\n    return 3"
MENDS_A_NAME = "def helper(a):\n    return a\n\ndef add(a, b):\n    return helper(a) + b"
LEANS_ON_IT = "def add(a, b):\n    return helper(a) + b"
SHOWN = ["assert add(1, 2) == 3", "assert add(0, 0) == 0"]


@pytest.fixture(scope="module")
def sandbox_url() -> Iterator[str]:
    with EmbeddedSandbox() as server:
        yield server.url


def shipped(folder: Path, name: str) -> Path:
    """A YAML of tool_config/ with a shorter time for programs that hang."""
    path = folder / f"{name}.yaml"
    path.write_text((repository_root() / "tool_config" / path.name).read_text().replace("s: 30", "s: 1"))
    return path


def posed(protocol: str, agent: str, **changes: Any) -> Any:
    prompt = build_prompt("Add two numbers.", style="assert", protocol=protocol, examples=SHOWN)
    return problem("p", prompt=prompt, agent_name=agent, **changes)


def calls(row: dict[str, Any]) -> list[tuple[str, dict[str, str], str, int]]:
    """(tool, arguments, what came back, weight) of each call."""
    found = []
    for message, after in zip(row["messages"], row["messages"][1:], strict=False):
        if message["role"] == "assistant":
            call = json.loads(message["content"].partition("<tool_call>\n")[2].partition("\n</tool_call>")[0])
            found.append((call["name"], call["arguments"], after["content"], message["weight"]))
    return found


async def replayed(row: dict[str, Any], tools: Path, url: str, prelude: str) -> list[str]:
    """What the tools of the YAML answer to the calls of a trace, in one workspace."""
    from verl.tools.schemas import OpenAIFunctionToolSchema

    made = {}
    for entry in yaml.safe_load(tools.read_text())["tools"]:
        schema = OpenAIFunctionToolSchema.model_validate(entry["tool_schema"])
        config = {**entry["config"], "sandbox_url": url}
        made[schema.function.name] = load_class(entry["class_name"])(config=config, tool_schema=schema)
    workspace = Workspace(visible_tests="\n".join(SHOWN))
    agent = SimpleNamespace(extra_fields={}, tools_kwargs={"prelude": prelude}, workspace=workspace)
    answers = []
    for name, arguments, _, _ in calls(row):
        response, _, _ = await made[name].execute("0", arguments, agent_data=agent)
        answers.append(response.text)
    await workspace.close()
    return answers


@pytest.mark.parametrize("prelude", ["", "def given():\n    return 1"])
@pytest.mark.parametrize(
    ("protocol", "agent", "yaml_name"),
    [
        ("session", "session_agent", "python_session"),
        ("session", "session_agent", "run_tests"),
        ("debugger", "debugger_agent", "python_debugger"),
        ("debugger_late", "debugger_agent", "python_debugger_late"),
    ],
)
def test_a_trace_reads_what_a_rollout_of_its_calls_reads(
    tmp_path: Path, sandbox_url: str, protocol: str, agent: str, yaml_name: str, prelude: str
) -> None:
    tools = shipped(tmp_path, yaml_name)
    make = Maker(tmp_path, tools, sandbox_url)
    samples = [("p", block(code)) for code in (WRONG, NAME_ERROR, SECOND_WRONG, RIGHT, OTHER_RIGHT)]
    report, rows = make(
        [posed(protocol, agent, tool_prelude=prelude)], samples, per_problem=8, failing_share=0.6
    )
    assert report.traces == 5 and not report.dropped and {row["agent_name"] for row in rows} == {agent}
    for row in rows:
        assert asyncio.run(replayed(row, tools, sandbox_url, prelude)) == [
            told for _, _, told, _ in calls(row)
        ]
        found = extract(decoded_response(row["messages"]), agent_name=agent)
        assert (found.code or "").rstrip() in (RIGHT, OTHER_RIGHT) and found.think_closed


@pytest.mark.parametrize("protocol", ["program", "program_one_shot"])
def test_a_program_stands_between_its_tags_in_the_models_own_turn(
    tmp_path: Path, sandbox_url: str, protocol: str
) -> None:
    make = Maker(tmp_path, shipped(tmp_path, "python_interpreter"), sandbox_url)
    samples = [("p", block(WRONG)), ("p", block(RIGHT))]
    report, [row] = make([posed(protocol, "program_agent")], samples, per_problem=1, failing_share=1.0)
    assert not report.dropped and row["agent_name"] == "program_agent"
    tags = agent_tags("program_agent")
    turns = [message for message in row["messages"] if message["role"] in ("assistant", "tool")]
    assert [(turn["role"], turn.get("weight")) for turn in turns] == [
        ("assistant", 0), ("tool", None), ("assistant", 1), ("tool", None), ("assistant", None)
    ]  # fmt: skip
    programs = [find_program(turn["content"], tags) for turn in turns[::2]]
    assert [
        (code or "").startswith(f"{start}\n\nfor got, want in")
        for code, start in zip(programs, (WRONG, RIGHT), strict=False)
    ] == [True, True]
    assert programs[2] is None and [turn["content"] for turn in turns[1::2]] == [
        "wrong: got -1, want 3\nok",
        "ok\nok",
    ]
    found = extract(decoded_response(row["messages"], tags), agent_name="program_agent")
    assert (found.code or "").rstrip() == RIGHT and found.think_closed
    [trace] = read_traces(tmp_path / "traces.parquet")
    assert trace.agent_name == "program_agent"


def test_a_session_is_sent_the_examples_once(tmp_path: Path, sandbox_url: str) -> None:
    make = Maker(tmp_path, shipped(tmp_path, "python_session"), sandbox_url)
    _, [row] = make(
        [posed("session", "session_agent")],
        [("p", block(WRONG)), ("p", block(RIGHT))],
        per_problem=1,
        failing_share=1.0,
    )
    (_, first, told, weight), (_, second, mended, learnt) = calls(row)
    assert "def check_examples():" in first["code"] and told == "wrong: got -1, want 3\nok"
    assert second["code"] == f"{RIGHT}\n\ncheck_examples()" and mended == "ok\nok"
    assert (weight, learnt) == (0, 1)


@pytest.mark.parametrize("code", [HANGS, "def add(a, b)\n    return a", NAME_ERROR + "\nadd(1, 2)"])
def test_a_session_that_has_no_examples_is_sent_them_again(
    tmp_path: Path, sandbox_url: str, code: str
) -> None:
    make = Maker(tmp_path, shipped(tmp_path, "python_session"), sandbox_url)
    _, [row] = make(
        [posed("session", "session_agent")],
        [("p", block(code)), ("p", block(RIGHT))],
        failing_share=1.0,
        per_problem=1,
    )
    _, (_, again, told, _) = calls(row)
    assert told == "ok\nok" and "def check_examples" in again["code"]


def test_a_right_attempt_that_warns_is_right_in_a_session(tmp_path: Path, sandbox_url: str) -> None:
    make = Maker(tmp_path, shipped(tmp_path, "python_session"), sandbox_url)
    warns = RIGHT.replace("\n", '\n    import warnings\n    warnings.warn("slow")\n', 1)
    _, [row] = make([posed("session", "session_agent")], [("p", block(warns))])
    [(_, _, told, _)] = calls(row)
    assert told.startswith("ok\nok\n") and "UserWarning: slow" in told


def test_an_attempt_that_leans_on_what_the_session_has_left_is_no_trace(
    tmp_path: Path, sandbox_url: str
) -> None:
    make = Maker(tmp_path, shipped(tmp_path, "python_session"), sandbox_url)
    first = MENDS_A_NAME.replace("helper(a) + b", "helper(a) - b")
    names = [f"p{number}" for number in range(6)]
    report, rows = make(
        [replace(posed("session", "session_agent"), problem_id=name) for name in names],
        [(name, block(code)) for name in names for code in (first, LEANS_ON_IT)],
        failing_share=1.0,
        per_problem=9,
        max_attempts=3,
    )
    second = [[arguments["code"] for _, arguments, _, _ in calls(row)][1] for row in rows]
    dropped = report.dropped["in a session an attempt comes to something else"]
    assert dropped > 0 and dropped + len(rows) == 12
    assert not any(code.startswith(LEANS_ON_IT) for code in second)


def test_a_thought_quotes_the_output_above_it(tmp_path: Path, sandbox_url: str) -> None:
    make = Maker(tmp_path, shipped(tmp_path, "python_session"), sandbox_url)
    lazy = "def add(a, b):\n    return map(int, [a, b])"
    _, [row] = make(
        [posed("session", "session_agent")],
        [("p", block(lazy)), ("p", block(RIGHT))],
        failing_share=1.0,
        per_problem=1,
    )
    [(_, _, told, _), _] = calls(row)
    shown = told.splitlines()[0].removeprefix("wrong: ")
    assert "<map object at 0x" in shown and shown in row["messages"][4]["content"]


def test_tests_that_pass_are_spoken_of_as_tests(tmp_path: Path, sandbox_url: str) -> None:
    make = Maker(tmp_path, shipped(tmp_path, "run_tests"), sandbox_url)
    _, [row] = make([posed("session", "session_agent")], [("p", block(RIGHT))])
    assert "test" in row["messages"][-1]["content"].lower() and "ok" not in row["messages"][-1]["content"]


def test_rows_of_a_late_debugger_have_its_own_yaml(tmp_path: Path, sandbox_url: str) -> None:
    make = Maker(tmp_path, None, sandbox_url)  # type: ignore[arg-type]
    samples = [("p", block(SECOND_WRONG)), ("p", block(RIGHT))]
    options: dict[str, Any] = {"failing_share": 1.0, "per_problem": 1}
    late, _ = make([posed("debugger_late", "debugger_agent")], samples, **options)
    at_once, _ = make([posed("debugger", "debugger_agent")], samples, **options)
    assert (late.debugged, at_once.debugged) == (0, 1)


def test_a_session_needs_its_tool_beside_the_tests(tmp_path: Path, sandbox_url: str) -> None:
    make = Maker(tmp_path, repository_root() / "tool_config" / "feedback.yaml", sandbox_url)
    with pytest.raises(ConfigError, match=r"has no PythonSession; take tool_config/python_session\.yaml"):
        make([posed("session", "session_agent")], [("p", block(RIGHT))])


def test_a_tool_that_cannot_be_made_is_named_with_its_yaml(tmp_path: Path, sandbox_url: str) -> None:
    tools = shipped(tmp_path, "python_session")
    tools.write_text(tools.read_text().replace("verl_coder.tools.python_session", "no_such_module"))
    make = Maker(tmp_path, tools, sandbox_url)
    with pytest.raises(ConfigError, match=r"python_session\.yaml: the tool python_session cannot be made"):
        make([posed("session", "session_agent")], [("p", block(RIGHT))])


def test_the_debugger_looks_at_the_last_failing_attempt_and_that_is_learnt(
    tmp_path: Path, sandbox_url: str
) -> None:
    make = Maker(tmp_path, shipped(tmp_path, "python_debugger"), sandbox_url)
    report, [row] = make(
        [posed("debugger", "debugger_agent")],
        [("p", block(code)) for code in (SECOND_WRONG, RIGHT)],
        failing_share=1.0,
        per_problem=1,
    )
    run, look, again = calls(row)
    assert report.debugged == 1
    assert [name for name, *_ in (run, look, again)] == [
        "python_interpreter",
        "python_debugger",
        "python_interpreter",
    ]
    assert look[1] == {"code": SECOND_WRONG, "commands": "break add if a == 0 and b == 0\nrun\nreturn"}
    assert [weight for *_, weight in (run, look, again)] == [0, 1, 1]
    assert "It returns 3 in line 2 with b = 0." in row["messages"][6]["content"]


def test_a_debugger_that_comes_late_is_not_called_before_a_run_has_failed(
    tmp_path: Path, sandbox_url: str
) -> None:
    make = Maker(tmp_path, shipped(tmp_path, "python_debugger_late"), sandbox_url)
    for wrong, debugged in ((SECOND_WRONG, 0), (NAME_ERROR, 1)):
        report, _ = make(
            [posed("debugger_late", "debugger_agent")],
            [("p", block(wrong)), ("p", block(RIGHT))],
            failing_share=1.0,
            per_problem=1,
        )
        assert report.debugged == debugged, "a wrong value is no failed run"
