"""Traces made from samples, with real programs in a real sandbox."""

import asyncio
import itertools
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from teacher.trace_maker import (
    BROKEN,
    HANGS,
    MARKED,
    NAME_ERROR,
    ONLY_VISIBLE,
    OTHER_RIGHT,
    READS,
    RIGHT,
    SILENT,
    WRONG,
    Maker,
    block,
    problem,
    write_problems,
    write_samples,
)
from typer.testing import CliRunner

from verl_coder.cli import app
from verl_coder.errors import ConfigError, DataError
from verl_coder.extraction import extract
from verl_coder.paths import repository_root
from verl_coder.problems import Message, Problem
from verl_coder.prompts import build_prompt
from verl_coder.sandbox import CommandResult
from verl_coder.sandbox.embedded import EmbeddedSandbox
from verl_coder.teacher import attempts
from verl_coder.teacher.attempt_journal import AttemptJournal, attempt_key, journal_path
from verl_coder.teacher.conversation import decoded_response
from verl_coder.teacher.repair_report import RepairOptions
from verl_coder.teacher.repairs import make_repairs
from verl_coder.tools.execution import InterpreterSettings, ProgramRun, read_interpreter


@pytest.fixture(scope="module")
def sandbox_url() -> Iterator[str]:
    with EmbeddedSandbox() as server:
        yield server.url


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped YAML, with a shorter time for programs that hang."""
    text = (repository_root() / "tool_config/python_interpreter.yaml").read_text()
    path = tmp_path_factory.mktemp("tools") / "tools.yaml"
    path.write_text(text.replace("timeout_s: 30", "timeout_s: 1"))
    return path


@pytest.fixture
def make(tmp_path: Path, tools: Path, sandbox_url: str) -> Maker:
    return Maker(tmp_path, tools, sandbox_url)


def plain(messages: list[dict[str, Any]]) -> list[Message]:
    """Messages without the columns that are empty."""
    return [{key: value for key, value in m.items() if value is not None} for m in messages]


def programs(row: dict[str, Any]) -> list[tuple[str, str]]:
    """(program, what came back) of each call of a trace."""
    messages: list[Message] = row["messages"]
    calls = []
    for message, after in itertools.pairwise(messages):
        if "<tool_call>" in message["content"] and message["role"] == "assistant":
            text = message["content"].partition("<tool_call>\n")[2].partition("\n</tool_call>")[0]
            call = json.loads(text)
            assert call["name"] == "python_interpreter" and after["role"] == "tool"
            calls.append((call["arguments"]["code"], after["content"]))
    return calls


def test_planted_mistakes_are_mended_with_their_real_errors(make: Maker) -> None:
    codes = (WRONG, NAME_ERROR, HANGS, BROKEN, READS, ONLY_VISIBLE, SILENT, MARKED, RIGHT, f"{RIGHT}  # same")
    samples = [("p", block(code)) for code in codes] + [("p", "I cannot."), ("unknown", block(RIGHT))]
    report, rows = make([problem("p")], samples, per_problem=8, max_attempts=2, failing_share=1.0)
    assert dict(report.samples) == {"read": 11, "unknown_problem": 1, "without_code": 2, "repeated": 1}
    assert dict(report.attempts) == {"passed": 1, "failed": 5, "hidden_failed": 1, "unclear": 1}
    assert report.references == {} and report.by_last_code == {"own": 5}
    failures = {row["failures"][0]: row for row in rows}
    assert set(failures) == {"wrong", "NameError", "TimeoutError", "SyntaxError", "EOFError"}
    for name, row in failures.items():
        (program, output), (mended, ok) = programs(row)
        assert ok == "ok\nok" and mended.startswith(RIGHT) and name in output
        assert plain(row["messages"][:2]) == list(problem("p").prompt) and row["attempts"] == 2
        said = [message["weight"] for message in row["messages"] if message["role"] == "assistant"]
        assert said == [0, 1, None], "a failing attempt is read, not learnt"
        assert "add(5, 5)" not in program, "a hidden test is shown"
    assert programs(failures["wrong"])[0][1] == "wrong: got -1, want 3\nok"
    assert "One example is wrong: got -1, want 3." in failures["wrong"]["messages"][4]["content"]
    assert "NameError: name 'c' is not defined" in failures["NameError"]["messages"][4]["content"]


def test_a_trace_ends_in_the_code_that_passed_and_is_graded_by_it(make: Maker) -> None:
    samples = [("p", block(code)) for code in (WRONG, NAME_ERROR, OTHER_RIGHT, RIGHT)]
    _, rows = make([problem("p")], samples)
    assert len(rows) == 4 and sum(bool(row["failures"]) for row in rows) == 2
    for row in rows:
        found = extract(decoded_response(row["messages"]), agent_name="tool_agent")
        assert found.code is not None and found.fenced and found.code_blocks == 1
        assert found.thinking and found.think_closed
        assert programs(row)[-1][0].startswith(found.code.rstrip())
        assert [m["role"] for m in row["messages"][2:]] == ["assistant", "tool"] * row["attempts"] + [
            "assistant"
        ]


def test_the_output_is_what_the_tool_returns_in_a_rollout(make: Maker, tools: Path, sandbox_url: str) -> None:
    import yaml

    from verl_coder.importing import load_class

    given = problem("p", tool_prelude="def helper():\n    return missing")
    _, rows = make([given], [("p", block(code)) for code in (WRONG, f"{NAME_ERROR}\nhelper()")])
    entry = yaml.safe_load(tools.read_text())["tools"][0]
    from verl.tools.schemas import OpenAIFunctionToolSchema

    schema = OpenAIFunctionToolSchema.model_validate(entry["tool_schema"])
    tool = load_class(entry["class_name"])(
        config={**entry["config"], "sandbox_url": sandbox_url}, tool_schema=schema
    )

    async def returned(code: str) -> str:
        agent = SimpleNamespace(extra_fields={}, tools_kwargs={"prelude": given.tool_prelude})
        response, _, _ = await tool.execute("0", {"code": code}, agent_data=agent)
        return response.text

    calls = [call for row in rows for call in programs(row)]
    assert any("Traceback" in output for _, output in calls)
    for code, output in calls:
        assert asyncio.run(returned(code)) == output


def test_a_right_sample_that_warns_is_right(make: Maker) -> None:
    warns = RIGHT.replace("\n", '\n    import warnings\n    warnings.warn("slow")\n', 1)
    report, rows = make([problem("p")], [("p", block(warns))])
    assert dict(report.attempts) == {"passed": 1} and rows[0]["last_code"] == "own"
    [(_, output)] = programs(rows[0])
    assert output.startswith("ok\nok\n") and "UserWarning: slow" in output


def test_the_reference_mends_where_no_sample_passes(make: Maker) -> None:
    crlf = problem("p", reference=RIGHT.replace("\n", "\r\n") + "\r\n")
    report, rows = make([crlf], [("p", block(WRONG))], failing_share=1.0)
    assert [row["last_code"] for row in rows] == ["reference"] and report.mended_by == {"reference": 1}
    assert rows[0]["messages"][-1]["content"].endswith(f"```python\n{RIGHT}\n```")


def test_without_samples_the_references_are_first_tries(make: Maker) -> None:
    setup = "three = add(1, 2)"
    shown = build_prompt("Add.", style="assert", examples=["assert three == 3"])
    problems = [
        problem("a", setup=setup, prompt=shown),
        problem("none", reference=""),
        problem("bad", reference=WRONG),
        problem("blind", prompt=build_prompt("Add.", style="assert", entry_point="add")),
    ]
    report, rows = make(problems)
    assert [(row["problem_id"], row["attempts"], row["last_code"]) for row in rows] == [("a", 1, "reference")]
    assert programs(rows[0])[0][0].startswith(f"{RIGHT}\n\n{setup}\n\nfor got, want in")
    assert dict(report.skipped) == {
        "no sample with code and no reference": 1,
        "no sample passes, the reference: failed": 1,
        "its prompt shows no tests": 1,
    }


def test_own_first_tries_leave_out_what_only_the_reference_passes(make: Maker) -> None:
    problems = [problem("own"), problem("mended"), problem("bare")]
    samples = [("own", block(RIGHT)), ("mended", block(WRONG))]
    report, rows = make(problems, samples, own_first_tries=True)
    assert [(row["problem_id"], row["attempts"], row["last_code"]) for row in rows] == [
        ("own", 1, "own"),
        ("mended", 2, "reference"),
    ]
    assert list(report.skipped.values()) == [1]


def test_own_mends_leave_out_what_only_the_reference_passes(make: Maker) -> None:
    problems = [problem("own"), problem("mended"), problem("both")]
    samples = [
        ("own", block(RIGHT)),
        ("mended", block(WRONG)),
        ("both", block(WRONG)),
        ("both", block(RIGHT)),
    ]
    report, rows = make(problems, samples, own_mends=True, failing_share=1.0)
    assert [(row["problem_id"], row["attempts"], row["last_code"]) for row in rows] == [
        ("own", 1, "own"),
        ("both", 2, "own"),
    ]
    assert dict(report.skipped) == {"only the reference passes": 1}


def test_the_same_seed_makes_the_same_file(make: Maker) -> None:
    samples = [(name, block(code)) for name in "abc" for code in (WRONG, NAME_ERROR, RIGHT, OTHER_RIGHT)]
    problems = [problem(name) for name in "abc"]
    first, again, other = (make(problems, samples, seed=seed)[1] for seed in (0, 0, 1))
    assert first == again and first != other


def test_direct_traces_call_no_tool(make: Maker) -> None:
    report, rows = make([problem("p")], [("p", block(code)) for code in (WRONG, RIGHT)], direct_share=1.0)
    assert report.by_attempts == {0: 1}
    assert [message["role"] for message in rows[0]["messages"]] == ["system", "user", "assistant"]


def test_plain_traces_are_offered_no_tool(make: Maker) -> None:
    report, rows = make(
        [problem("p"), problem("q")], [("p", block(RIGHT)), ("q", block(RIGHT))], plain_share=0.5
    )
    assert report.plain == 1
    plain, offered = sorted(rows, key=lambda row: row["agent_name"])
    assert plain["agent_name"] == "single_turn_agent" and offered["agent_name"] == "tool_agent"
    assert "python_interpreter" in offered["messages"][0]["content"]
    assert "python_interpreter" not in plain["messages"][0]["content"] and plain["attempts"] == 0
    with pytest.raises(ConfigError, match="more than all traces"):
        make([problem("p")], plain_share=0.6, direct_share=0.6)


def test_what_is_wrong_is_said_in_one_line_and_nothing_is_written(make: Maker) -> None:
    with pytest.raises(DataError, match="no trace could be made"):
        make([problem("p", reference=WRONG)])
    with pytest.raises(DataError, match="--protocol tool"):
        make([problem("p", agent_name="single_turn_agent")])
    with pytest.raises(DataError, match="repeats the problem_id 'p'"):
        make([problem("p"), problem("p")])
    assert not make.out.exists()
    broken = make.folder / "broken.jsonl"
    problems = write_problems(make.folder / "problems.parquet", [problem("p")])
    for line, words in (("{", "line 1 is no JSON"), ('{"problem_id": "p"}', "lacks the text 'output'")):
        broken.write_text(line)
        with pytest.raises(DataError, match=words):
            make_repairs(RepairOptions(problems=problems, out=make.out, tools=make.tools, samples=(broken,)))
    with pytest.raises(ConfigError, match=r"--out .* is a folder"):
        make_repairs(RepairOptions(problems=problems, out=make.folder, tools=make.tools))
    with pytest.raises(ConfigError, match=r"--problems .* is a folder"):
        make_repairs(RepairOptions(problems=make.folder, out=make.out, tools=make.tools))


def test_older_traces_do_not_pass_for_those_that_could_not_be_made(make: Maker) -> None:
    make([problem("p")])
    with pytest.raises(DataError, match=r"is not written, and the older one is now .*superseded-1\.parquet"):
        make([problem("p", reference=WRONG)])
    assert not make.out.exists()
    make([problem("p")])
    with pytest.raises(DataError, match=r"superseded-2\.parquet"):
        make([problem("p", reference=WRONG)])


def test_a_yaml_without_an_interpreter_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tools.yaml"
    for text, words in (("tools: []", "no PythonInterpreter"), ("a: 1", "no YAML of tools")):
        path.write_text(text)
        with pytest.raises(ConfigError, match=words):
            read_interpreter(path)


def test_the_command_shows_what_it_made(tmp_path: Path, sandbox_url: str) -> None:
    problems = write_problems(tmp_path / "problems.parquet", [problem("p")])
    samples = write_samples(tmp_path / "samples.jsonl", [("p", block(WRONG)), ("p", block(RIGHT))])
    arguments = ["teacher", "repairs", "--problems", str(problems), "--samples", str(samples)]
    done = CliRunner().invoke(
        app, [*arguments, "--out", str(tmp_path / "t.parquet"), "--sandbox-url", sandbox_url]
    )
    assert done.exit_code == 0, done.output
    assert "2 traces" in done.output and "of 2 attempts" in done.output


@pytest.mark.parametrize("name", ["problems.parquet", "samples.parquet", "tools.yaml"])
def test_traces_are_not_written_over_what_they_are_made_from(tmp_path: Path, name: str) -> None:
    for file in ("problems.parquet", "samples.parquet", "tools.yaml"):
        (tmp_path / file).write_bytes(b"as it was")
    options = RepairOptions(
        problems=tmp_path / "problems.parquet",
        samples=(tmp_path / "samples.parquet",),
        tools=tmp_path / "tools.yaml",
        out=tmp_path / name,
    )
    with pytest.raises(ConfigError, match=r"--out .* is the file of --"):
        make_repairs(options)
    assert (tmp_path / name).read_bytes() == b"as it was"


STOPPED = """
import os, signal, sys
from pathlib import Path
from verl_coder.teacher.repair_report import RepairOptions
from verl_coder.teacher.repairs import make_repairs

problems, samples, tools, out, url = sys.argv[1:]
left = 4

def on_attempt(verdict):
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)

options = RepairOptions(
    problems=Path(problems), samples=(Path(samples),), tools=Path(tools), out=Path(out), sandbox_url=url, concurrency=1
)
make_repairs(options, on_attempt=on_attempt)
"""


def test_kill_9_loses_no_attempt_and_changes_no_trace(
    make: Maker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    problems = [problem("p"), problem("q", setup="import math")]
    codes = (WRONG, NAME_ERROR, BROKEN, ONLY_VISIBLE, RIGHT)
    samples = [(name, block(code)) for name in ("p", "q") for code in codes]
    ran: list[str] = []
    real = attempts.run_program

    async def counted(code: str, **options: Any) -> Any:
        ran.append(code)
        return await real(code, **options)

    monkeypatch.setattr(attempts, "run_program", counted)
    undisturbed, _ = make(problems, samples)
    bytes_of_it = make.out.read_bytes()
    assert len(ran) == 10 and not journal_path(make.out).exists()
    make.out.unlink()
    files = [
        tmp_path / "problems.parquet",
        tmp_path / "samples.jsonl",
        make.tools,
        make.out,
        make.sandbox_url,
    ]
    killed = subprocess.run([sys.executable, "-c", STOPPED, *map(str, files)], timeout=120)
    assert killed.returncode == -signal.SIGKILL and not make.out.exists()
    with journal_path(make.out).open("ab") as file:
        file.write(b'{"key": "torn')
    kept = journal_path(make.out).read_bytes().count(b"\n")
    assert kept >= 4
    ran.clear()
    report, _ = make(problems, samples)
    assert len(ran) == 10 - kept
    assert make.out.read_bytes() == bytes_of_it and report.attempts == undisturbed.attempts
    assert not journal_path(make.out).exists()


def test_an_attempt_is_of_its_program_tests_and_limits() -> None:
    settings = InterpreterSettings()
    keys = {
        attempt_key(RIGHT, "x", problem("p"), settings),
        attempt_key(RIGHT, "y", problem("p"), settings),
        attempt_key(WRONG, "x", problem("p"), settings),
        attempt_key(RIGHT, "x", problem("p", setup="import math"), settings),
        attempt_key(RIGHT, "x", problem("p"), InterpreterSettings(timeout_s=1.0)),
    }
    assert len(keys) == 5
    elsewhere = InterpreterSettings(sandbox_url="http://a:1", num_workers=3)
    assert attempt_key(RIGHT, "x", problem("other name"), elsewhere) in keys


def test_an_attempt_that_met_a_limit_of_time_is_tried_again_in_the_next_start(tmp_path: Path) -> None:
    runs = {
        "hangs": ProgramRun(CommandResult(status="TimeLimitExceeded"), "Error: timed out"),
        "ends": ProgramRun(CommandResult(status="Finished", return_code=0), "ok"),
    }
    for _ in range(2):
        with AttemptJournal(tmp_path / "a.attempts.jsonl") as journal:
            for name, run in runs.items():
                journal.add(name, run, passes=False)
    with AttemptJournal(tmp_path / "a.attempts.jsonl") as journal:
        assert journal.find("hangs") is None and journal.find("ends") == (runs["ends"], False)


def test_two_commands_do_not_write_one_journal(make: Maker) -> None:
    with (
        AttemptJournal(journal_path(make.out)),
        pytest.raises(ConfigError, match="another `teacher repairs`"),
    ):
        make([problem("p")])


FEEDBACK_PROMPT = build_prompt(
    "Add two numbers.",
    style="assert",
    protocol="feedback",
    examples=["assert add(1, 2) == 3", "assert add(0, 0) == 0"],
)


def feedback_problem(**changes: Any) -> Problem:
    return problem("p", prompt=FEEDBACK_PROMPT, agent_name="feedback_agent", **changes)


def test_rows_of_feedback_are_mended_by_what_the_tests_say(make: Maker) -> None:
    make.tools = None  # type: ignore[assignment]  # the shipped one that the rows need
    samples = [("p", block(code)) for code in (WRONG, NAME_ERROR, BROKEN, SILENT, ONLY_VISIBLE, RIGHT)]
    report, rows = make([feedback_problem()], samples, per_problem=9, max_attempts=2, failing_share=1.0)
    assert dict(report.attempts) == {"passed": 1, "failed": 4, "hidden_failed": 1}
    told = {row["failures"][0]: row["messages"][3]["content"] for row in rows}
    assert told["wrong"] in (
        "<feedback>\ntest 1: failed: add(1, 2) is -1, want 3\ntest 2: passed\n</feedback>",
        "<feedback>\nnone of 2 tests has run: the program ended before them\n</feedback>",
    )
    assert "SyntaxError" in told["SyntaxError"]
    for row in rows:
        roles = [message["role"] for message in row["messages"][2:]]
        assert roles == ["assistant", "user", "assistant"] and row["agent_name"] == "feedback_agent"
        assert [message["weight"] for message in row["messages"][2:]] == [0, None, 1]
        found = extract(decoded_response(row["messages"]), agent_name="feedback_agent")
        assert (found.code or "").rstrip() == RIGHT and found.think_closed
    [wrong] = [row for row in rows if "is -1, want 3" in row["messages"][3]["content"]]
    assert "Test 1: failed: add(1, 2) is -1, want 3." in wrong["messages"][4]["content"]
    [named] = [row for row in rows if row["messages"][2]["content"].count("a + c")]
    assert "Test 1: NameError: name 'c' is not defined." in named["messages"][4]["content"]


def test_a_first_try_of_feedback_is_one_answer_and_a_plain_one_is_told_of_none(make: Maker) -> None:
    make.tools = None  # type: ignore[assignment]
    _, [row] = make([feedback_problem()], [("p", block(RIGHT))])
    assert [message["role"] for message in row["messages"]] == ["system", "user", "assistant"]
    _, [plain_row] = make([feedback_problem()], [("p", block(RIGHT))], plain_share=1.0)
    assert plain_row["agent_name"] == "single_turn_agent"
    assert "feedback" not in plain_row["messages"][0]["content"]


def test_the_yaml_and_the_rows_belong_together(make: Maker) -> None:
    with pytest.raises(ConfigError, match=r"has no RunTests; take tool_config/feedback\.yaml"):
        make([feedback_problem()], [("p", block(RIGHT))])
    with pytest.raises(DataError, match="row 1 has another agent_name or protocol than those before it"):
        make([problem("a"), feedback_problem()], [("p", block(RIGHT))])
