"""`verl-coder teacher generate` from the problems to the traces, against a scripted server and a real sandbox."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from failing_sandbox import failing_sandbox
from teacher.scripted_teacher import MODEL, ScriptedTeacher, serving
from typer.testing import CliRunner

from verl_coder.cli import app
from verl_coder.errors import ConfigError, DataError, TeacherError, VerlCoderError
from verl_coder.problems import ROW_SCHEMA, AssertTests, Problem
from verl_coder.prompts import build_prompt
from verl_coder.protocols import PROTOCOLS, find_program
from verl_coder.sandbox.embedded import EmbeddedSandbox
from verl_coder.teacher.generate import GenerateReport, Hooks, generate
from verl_coder.teacher.generate_terminal import notes, progress_text, show_generate, statistics_table
from verl_coder.teacher.options import GenerateOptions
from verl_coder.traces import read_traces

TOOLS = Path(__file__).parents[2] / "tool_config" / "python_interpreter.yaml"


@pytest.fixture(scope="module")
def sandbox_url() -> Iterator[str]:
    with EmbeddedSandbox() as sandbox:
        yield sandbox.url


def write_problems(path: Path, count: int, protocol: str = "none") -> Path:
    rows = [
        Problem(
            data_source="sums",
            problem_id=f"sums/{number}",
            prompt=build_prompt(
                f"Write a function add_{number} that adds {number}.",
                style="assert",
                protocol=protocol,
                examples=[f"assert add_{number}(1) == {1 + number}"],
            ),
            tests=AssertTests(
                tests=(f"assert add_{number}(1) == {1 + number}", f"assert add_{number}(5) == {5 + number}"),
                entry_point=f"add_{number}",
            ),
            split="train",
            agent_name=PROTOCOLS[protocol].agent_name,
        ).to_row()
        for number in range(count)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=ROW_SCHEMA), path)
    return path


class Generator:
    """Generates in a folder."""

    def __init__(self, folder: Path, sandbox_url: str) -> None:
        self.folder, self.sandbox_url = folder, sandbox_url
        self.out = folder / "traces.parquet"

    def options(self, url: str, problems: int = 4, protocol: str = "none", **changes: Any) -> GenerateOptions:
        path = write_problems(self.folder / "problems.parquet", problems, protocol)
        values: dict[str, Any] = {
            "problems": (path,),
            "out": self.out,
            "base_url": (url,),
            "model": MODEL,
            "tools": TOOLS,
            "num_samples": 3,
            "sandbox_url": self.sandbox_url,
        }
        return GenerateOptions(**(values | changes))

    def __call__(self, server: ScriptedTeacher, **changes: Any) -> GenerateReport:
        return generate(self.options(server.url, **changes))

    def rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = pq.read_table(self.out).to_pylist()
        return rows


@pytest.fixture
def make(tmp_path: Path, sandbox_url: str) -> Generator:
    return Generator(tmp_path, sandbox_url)


def code(number: int, text: str) -> str:
    return f"```python\ndef add_{number}(x):\n    {text}\n```"


def number_of(body: dict[str, Any]) -> int:
    found = re.search(r"add_(\d+)", body["messages"][1]["content"])
    assert found
    return int(found.group(1))


def test_passing_answers_become_traces_with_their_thinking(make: Generator) -> None:
    with serving(ScriptedTeacher()) as server:
        report = make(server)
    assert len(report.samples) == 12 and report.answers == 12
    passing = sum(sample.passed for sample in report.samples)
    assert 0 < passing < 12 and len(make.rows()) == passing == len(report.kept)
    for row in make.rows():
        number = row["problem_id"].removeprefix("sums/")
        [system, user, answer] = row["messages"]
        assert f"adds {number}." in user["content"] and system["role"] == "system"
        assert re.match(r"<think>\nI add \d+\. \(\d+\)\n</think>\n\n```python\ndef add_", answer["content"])
        assert (row["outcome"], row["pass_rate"], row["source"]) == ("passed", 1.0, f"teacher/{MODEL}")
        assert row["turns"] == 1 and row["completion_tokens"] > 0 and row["finish_reason"] == "stop"
    assert len(read_traces(make.out)) == passing
    told = json.loads(make.out.with_suffix(".statistics.json").read_text())
    assert told["passing"] == passing and told["dropped"] == {"wrong answer": 12 - passing}


def test_a_journal_that_gives_another_conversation_than_was_graded_makes_no_trace(
    make: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("verl_coder.teacher.generate.text_key", lambda played: "another")
    with (
        serving(ScriptedTeacher()) as server,
        pytest.raises(TeacherError, match=r"answers of sums/\d, sample \d are not those that were graded"),
    ):
        make(server)
    assert not make.out.exists()


def test_the_request_has_the_settings_that_were_asked_for(make: Generator) -> None:
    with serving(ScriptedTeacher()) as server:
        make(server, problems=1, num_samples=2, seed=5, extra='{"top_k": 20}')
        [first, second] = sorted(server.requests, key=lambda body: body["seed"])
    assert (first["temperature"], first["top_p"], first["presence_penalty"]) == (0.7, 0.8, 1.5)
    assert first["chat_template_kwargs"] == {"enable_thinking": True} and first["top_k"] == 20
    assert (first["seed"], second["seed"]) == (5, 6) and "tools" not in first


def calls_then_answers(body: dict[str, Any], asked: int) -> dict[str, Any]:
    """A wrong program, the mended one, the answer; the second sample of a problem invents its output."""
    number = number_of(body)
    results = [m for m in body["messages"] if m["role"] == "tool"]
    if len(results) == 2:
        return {"content": code(number, f"return x + {number}"), "reasoning": "Both are right."}
    program = "print(y)" if not results else f"print(1 + {number})"
    call = {"id": "x", "type": "function", "function": {"name": "python_interpreter"}}
    call["function"]["arguments"] = json.dumps({"code": program})  # type: ignore[index]
    return {"content": None, "tool_calls": [call], "reasoning": f"I try {len(results)}."}


def test_tool_traces_hold_what_our_sandbox_printed(make: Generator) -> None:
    with serving(ScriptedTeacher(calls_then_answers)) as server:
        report = make(server, problems=2, num_samples=1, protocol="tool")
    assert report.statistics()["with_calls"] == 2 and report.statistics()["calls"] == 4
    for row in make.rows():
        number = int(row["problem_id"].removeprefix("sums/"))
        turns = row["messages"][2:]
        assert [m["role"] for m in turns] == ["assistant", "tool", "assistant", "tool", "assistant"]
        assert "NameError: name 'y' is not defined" in turns[1]["content"]
        assert turns[3]["content"] == str(1 + number)
        assert [m["weight"] for m in turns] == [0, None, None, None, None]
        assert row["turns"] == 3 and row["agent_name"] == "tool_agent"
    sent = next(body for body in server.requests if len(body["messages"]) == 6)
    assert sent["messages"][2]["reasoning"] == "I try 0." and sent["tools"][0]["function"]["name"]


def programs_then_answers(body: dict[str, Any], asked: int) -> dict[str, Any]:
    number = number_of(body)
    last = body["messages"][-1]["content"]
    if last.startswith("<output>"):
        return {"content": code(number, f"return x + {int(last.split()[1]) - 1}")}
    return {"content": f"<think>I try.</think>\n<program>\nprint(1 + {number})\n"}


def test_program_traces_are_one_turn_of_the_student(make: Generator) -> None:
    with serving(ScriptedTeacher(programs_then_answers)) as server:
        make(server, problems=2, num_samples=1, mode="program")
    for row in make.rows():
        number = int(row["problem_id"].removeprefix("sums/"))
        [call, result, _] = row["messages"][2:]
        program = find_program(call["content"], PROTOCOLS["program"].tags)  # type: ignore[arg-type]
        assert program == f"print(1 + {number})\n" and result["content"] == str(1 + number)
        assert row["agent_name"] == "program_agent" and row["outcome"] == "passed"
    [trace, _] = read_traces(make.out)
    assert trace.agent_name == "program_agent" and not trace.described_tools


def test_a_second_start_asks_only_for_what_is_missing(make: Generator) -> None:
    with serving(ScriptedTeacher()) as server:
        make(server, problems=3, num_samples=2)
        first = make.rows()
        make(server, problems=4, num_samples=4)
        assert sum(server.served.values()) == 16
        rows = {(row["problem_id"], row["sample"]): row["messages"] for row in make.rows()}
        assert all(rows[row["problem_id"], row["sample"]] == row["messages"] for row in first)
        report = make(server, problems=4, num_samples=4)
        assert sum(server.served.values()) == 16
        assert report.answers == 0 and report.known_answers == 16
        make(server, problems=4, num_samples=4, temperature=0.1)
        assert sum(server.served.values()) == 32


def test_a_conversation_that_was_cut_goes_on_with_its_own_outputs(make: Generator) -> None:
    with serving(ScriptedTeacher(calls_then_answers)) as server:
        make(server, problems=1, num_samples=1, protocol="tool")
        lines = make.out.with_suffix(".journal.jsonl").read_text().splitlines(keepends=True)
        first = lines[0].replace("I try 0.", "I try it.")
        make.out.with_suffix(".journal.jsonl").write_text(first + lines[1][:-5])
        report = make(server, problems=1, num_samples=1, protocol="tool")
    assert report.torn == 1 and report.answers == 2
    assert "I try it." in make.rows()[0]["messages"][2]["content"]


def test_an_answer_that_this_version_cannot_read_is_asked_again(make: Generator) -> None:
    with serving(ScriptedTeacher()) as server:
        make(server, problems=1, num_samples=1)
        journal = make.out.with_suffix(".journal.jsonl")
        journal.write_text(journal.read_text().replace('"finish_reason":"stop"', '"finish_reason":"length"'))
        report = make(server, problems=1, num_samples=1)
        assert sum(server.served.values()) == 2 and len(report.samples) == 1
        make(server, problems=1, num_samples=1)
        assert sum(server.served.values()) == 2


def test_cut_answers_are_failures_that_are_asked_again(make: Generator) -> None:
    cut = {"finish_reason": "length", "message": {"content": code(0, "return x"), "reasoning": "and"}}
    with serving(ScriptedTeacher(lambda body, asked: cut)) as server:
        report = make(server, problems=1)
        assert not report.kept and report.dropped == Counter(length=3) and not make.out.exists()
        assert any("cut at --max-tokens" in note for note in notes(report, make.options(server.url)))
        server.answer = lambda body, asked: {"content": code(0, "return x")}
        report = make(server, problems=1)
    assert sum(sample.passed for sample in report.samples) == 3 and sum(server.served.values()) == 6


def test_what_is_no_code_no_python_or_no_answer_is_counted_by_its_reason(make: Generator) -> None:
    def answers(body: dict[str, Any], asked: int) -> dict[str, Any]:
        texts = [
            "I do not know.",
            code(0, "return x +"),
            code(0, "return x") + "<|im_end|>",
            code(0, "return x.y"),
        ]
        return {"content": texts[asked]}

    with serving(ScriptedTeacher(answers)) as server:
        report = make(server, problems=1, num_samples=4)
    assert set(report.dropped) == {
        "no code",
        "invalid Python",
        "marks of a conversation in a message",
        "verdict: error",
    }
    assert report.statistics()["parse_failures"] == 2 and report.statistics()["with_code"] == 3
    table = statistics_table(report)
    assert table.row_count > 12


def test_a_teacher_that_never_answers_is_dropped_after_its_turns(make: Generator) -> None:
    with serving(
        ScriptedTeacher(lambda body, asked: {"content": "<program>\nprint(1)\n</program>"})
    ) as server:
        report = make(server, problems=1, num_samples=1, mode="program", max_turns=3)
    assert report.dropped == Counter({"no answer in 3 turns": 1}) and sum(server.served.values()) == 3


def graded(body: dict[str, Any], asked: int) -> dict[str, Any]:
    """Samples of pass rate 0, 1/2, 1 (long), 1 (short), 1 (the long one again), in an order of their own."""
    texts = ["return 0", f"return {1 + number_of(body)}", "return x + 0 + 0", "return x", "return x + 0 + 0"]
    return {"content": code(number_of(body), texts[asked % 5]), "reasoning": f"Sample {asked}."}


def test_kept_are_the_passing_ones_all_or_the_best_of_each_problem(make: Generator) -> None:
    with serving(ScriptedTeacher(graded)) as server:
        options = {"problems": 1, "num_samples": 5}
        assert len(make(server, **options).kept) == 3
        report = make(server, keep="all", per_problem=9, **options)
        assert len(report.kept) == 5
        told = notes(report, make.options(server.url, keep="all"))
        assert "2 traces do not pass every hidden test (--keep all)" in told
        report = make(server, keep="best-of-n", **options)
        [best] = make.rows()
        assert best["pass_rate"] == 1.0 and "return x\n" in best["messages"][-1]["content"]
        assert report.dropped == Counter({"not the best of its problem": 3, "no test passes": 1})
        report = make(server, per_problem=2, **options)
        answers = {row["messages"][-1]["content"] for row in make.rows()}
    assert len(answers) == 2 and report.dropped["more than 2 of its problem"] == 1


def test_a_budget_ends_the_asking_and_what_is_there_is_written(make: Generator) -> None:
    with serving(ScriptedTeacher()) as server:
        report = make(server, problems=4, in_flight=1, max_requests=5)
        assert report.stopped.startswith("budget: 5 requests") and len(report.samples) == 5
        assert sum(server.served.values()) == 5 and len(make.rows()) == len(report.kept) > 0
        report = make(server, problems=4, in_flight=1, max_requests=5)
        assert sum(server.served.values()) == 5 and len(report.samples) == 5
        report = make(server, problems=4, max_requests=100)
    assert len(report.samples) == 12 and not report.stopped


def test_the_plan_is_told_before_anything_is_sent(make: Generator) -> None:
    seen: list[Any] = []
    with serving(ScriptedTeacher()) as server:

        def on_plan(tasks: Any, request: dict[str, Any], journal: Any) -> None:
            seen.append((len(server.requests), request["messages"][1]["content"], len(journal)))

        hooks = Hooks(
            on_plan=on_plan,
            on_sample=lambda s, r: seen.append(progress_text({"passing": 1, "dropped": 0}, r)),
        )
        generate(make.options(server.url), hooks)
    assert seen[0][0] == 0 and "Write a function add_0" in seen[0][1]
    assert len(seen) == 13 and "answers/s" in seen[-1] and "left" not in seen[-1]


def test_with_every_fault_and_two_kills_each_problem_has_its_samples_once(
    make: Generator, tmp_path: Path
) -> None:
    wanted = 6 * 6
    with serving(ScriptedTeacher(fault_share=0.2, latency_s=0.1, slots=4)) as server:
        for served in (8, 20, None):
            process = start(make, server.url, problems=6, num_samples=6, in_flight=4)
            while served is not None and sum(server.served.values()) < served and process.poll() is None:
                time.sleep(0.02)
            if served is not None:
                process.send_signal(signal.SIGKILL)
            output = process.communicate()[0]
    assert process.returncode == 0, output
    replies = Counter(
        (entry["key"], entry["sample"])
        for line in make.out.with_suffix(".journal.jsonl").read_text().splitlines()
        if (entry := json.loads(line))["type"] == "reply"
    )
    assert len(replies) == wanted and set(replies.values()) == {1}
    # At each kill as many are in flight, and at most as many again on their way to the disk.
    assert sum(server.served.values()) - wanted <= 2 * (4 + 4)
    told = json.loads(make.out.with_suffix(".statistics.json").read_text())
    assert told["samples"] == wanted and told["traces"] == len(make.rows())


def start(make: Generator, url: str, **changes: Any) -> "subprocess.Popen[str]":
    """The command as a process."""
    values = {"num_samples": 3, "in_flight": 2, **changes}
    path = write_problems(make.folder / "problems.parquet", values.pop("problems", 4))
    arguments = ["--problems", str(path), "--out", str(make.out), "--base-url", url, "--model", MODEL]
    for name, value in values.items():
        arguments += [f"--{name.replace('_', '-')}", str(value)]
    return subprocess.Popen(
        [sys.executable, "-m", "verl_coder.cli", "teacher", "generate", *arguments],
        env={**os.environ, "SANDBOX_URL": make.sandbox_url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_sigterm_keeps_what_is_in_flight_and_the_same_command_goes_on(make: Generator) -> None:
    with serving(ScriptedTeacher(latency_s=0.3, slots=2)) as server:
        process = start(make, server.url)
        while sum(server.served.values()) < 4:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        output = process.communicate(timeout=30)[0]
        assert process.returncode == 130 and "stopped by SIGTERM: " in output and "Traceback" not in output
        served = sum(server.served.values())
        lines = make.out.with_suffix(".journal.jsonl").read_text().splitlines()
        replies = sum(json.loads(line)["type"] == "reply" for line in lines)
        assert replies == served < 12 and not make.out.exists()
        assert f"{served} answers are in" in output
        server.latency_s = 0.0
        process = start(make, server.url)
        output = process.communicate(timeout=60)[0]
    assert process.returncode == 0 and sum(server.served.values()) == 12, output


def test_ctrl_c_in_a_terminal_ends_the_sandbox_too_and_still_keeps_what_is_in_flight(make: Generator) -> None:
    with serving(ScriptedTeacher(latency_s=1.0, slots=2)) as server:
        make.sandbox_url = ""
        process = start(make, server.url)
        while sum(server.served.values()) < 2:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        output = process.communicate(timeout=60)[0]
        replies = make.out.with_suffix(".journal.jsonl").read_text().count('"type":"reply"')
        assert process.returncode == 130 and "Traceback" not in output, output
        # One of the two slots may have been between an answer and the next request.
        assert replies == sum(server.served.values()) >= 3


def test_the_same_answer_twice_is_one_trace(make: Generator) -> None:
    with serving(ScriptedTeacher(lambda body, asked: {"content": code(0, "return x")})) as server:
        report = make(server, problems=1)
    assert len(make.rows()) == 1 and report.dropped == Counter({"word for word another of its problem": 2})


def test_without_a_trace_the_command_fails_and_older_traces_do_not_pass_for_new_ones(make: Generator) -> None:
    with serving(ScriptedTeacher()) as server:
        make(server, problems=1)
        old = make.out.read_bytes()
        server.answer = lambda body, asked: {"content": "I do not know."}
        with pytest.raises(DataError) as caught:
            show_generate(make.options(server.url, problems=1, temperature=0.1))
    aside = make.out.with_suffix(".superseded-1.parquet")
    words = str(caught.value)
    assert words.startswith("no sample is a trace (3 no code): ") and "\n" not in words
    assert f"{make.out} is not written, and the older one is now {aside}" in words
    assert not make.out.exists() and aside.read_bytes() == old
    assert json.loads(make.out.with_suffix(".statistics.json").read_text())["traces"] == 0


def test_a_full_disk_is_one_line_and_loses_nothing(make: Generator) -> None:
    with serving(ScriptedTeacher()) as server:
        make(server, problems=1)
        size = make.out.with_suffix(".journal.jsonl").stat().st_size
        limited = f"ulimit -f {size // 1024 + 1}; exec {sys.executable} -m verl_coder.cli teacher generate"
        arguments = f"--problems {make.folder / 'problems.parquet'} --out {make.out} --base-url {server.url}"
        write_problems(make.folder / "problems.parquet", 6)
        done = subprocess.run(
            ["bash", "-c", f"trap '' XFSZ; {limited} {arguments} --model {MODEL} --num-samples 3"],
            env={**os.environ, "SANDBOX_URL": make.sandbox_url},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 1
        [line] = [line for line in done.stderr.splitlines() if line.startswith("error:")]
        assert "cannot be written" in line and "answers are safe" in line and "Traceback" not in done.stderr
        assert make(server, problems=6).known_answers >= 3


def refuse(make: Generator, **server_options: Any) -> str:
    with serving(ScriptedTeacher(**server_options)) as server:
        with pytest.raises(VerlCoderError) as caught:
            make(server)
    assert not server.requests and "\n" not in str(caught.value)
    return str(caught.value)


def test_a_wrong_model_and_a_wrong_key_are_one_line_each(
    make: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert f"has no model '{MODEL}': it has other, another" in refuse(make, models=("other", "another"))
    monkeypatch.delenv("TEACHER_API_KEY", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "wrong")
    assert "refuses the key" in (text := refuse(make, key="right")) and "OPENAI_API_KEY" in text
    monkeypatch.setenv("TEACHER_API_KEY", "right")
    with serving(ScriptedTeacher(key="right", models=None)) as server:
        assert make(server, problems=1).answers == 3


def test_no_server_is_one_line_that_says_how_to_start_one(make: Generator) -> None:
    with pytest.raises(
        TeacherError,
        match=r"127.0.0.1:1/v1: no server answers there \(Connection refused\); .*start_teacher\.sh",
    ):
        generate(make.options("http://127.0.0.1:1/v1"))


def test_without_a_server_nothing_is_printed_before_the_error_and_no_file_is_made(
    make: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_problems(make.folder / "problems.parquet", 1)
    before = sorted(make.folder.rglob("*"))
    monkeypatch.setenv("TEACHER_URL", "http://127.0.0.1:1/v1")
    arguments = ["--problems", f"{make.folder}/problems.parquet", "--out", f"{make.out}", "--model", MODEL]
    result = CliRunner().invoke(app, ["teacher", "generate", *arguments])
    assert isinstance(result.exception, TeacherError) and "TEACHER_URL=" in str(result.exception)
    assert result.output == "" and sorted(make.folder.rglob("*")) == before


def test_a_thinking_model_without_a_reasoning_parser_is_read_and_told_in_one_line(make: Generator) -> None:
    def inline(body: dict[str, Any], asked: int) -> dict[str, Any]:
        return {"content": f"I add.\n</think>\n\n{code(number_of(body), f'return x + {number_of(body)}')}"}

    with serving(ScriptedTeacher(inline)) as server:
        options = make.options(server.url, problems=1)
        report = generate(options)
        [note] = notes(report, options)
    assert "no reasoning parser" in note and "--reasoning-parser" in note and "\n" not in note
    assert make.rows()[0]["messages"][-1]["content"].startswith("<think>\nI add.\n</think>\n\n```python")


def test_a_connection_is_tested_with_one_small_question(
    make: Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_problems(make.folder / "problems.parquet", 1)
    arguments = [
        "teacher",
        "generate",
        "--problems",
        str(make.folder / "problems.parquet"),
        "--out",
        str(make.out),
    ]

    def run(url: str) -> Any:
        return CliRunner().invoke(app, [*arguments, "--model", MODEL, "--base-url", url, "--test-connection"])

    with serving(ScriptedTeacher(lambda body, asked: {"content": "42", "reasoning": "17 + 25"})) as server:
        result = run(server.url)
        assert (
            result.exit_code == 0 and "answered '42'" in result.output and "in `reasoning`" in result.output
        )
        assert len(server.requests) == 1 and not make.out.with_suffix(".journal.jsonl").exists()
    assert isinstance(run("http://127.0.0.1:1/v1").exception, TeacherError)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"temperature": 3.0}, "--temperature is 3.0"),
    ({"top_p": 0.0}, "--top-p is 0.0"),
    ({"extra": "{"}, "--extra '{' is no JSON"),
    ({"extra": "[1]"}, "no JSON object"),
    ({"extra": '{"n": 4}'}, "--extra has 'n'"),
    ({"max_cost": 1.0}, "--max-cost needs prices"),
    ({"base_url": ("localhost:8129",)}, "--base-url"),
    ({"model": ""}, "--model is empty"),
]


@pytest.mark.parametrize(("changes", "message"), WRONG)
def test_a_value_that_cannot_be_meant_is_named(
    make: Generator, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(VerlCoderError, match=re.escape(message)):
        make.options("http://127.0.0.1:1/v1", **changes)


def test_a_sandbox_that_fails_ends_the_run_and_the_answers_stay(make: Generator) -> None:
    with failing_sandbox() as make.sandbox_url, serving(ScriptedTeacher()) as server:
        with pytest.raises(VerlCoderError, match=r"has no verdict: sandbox .*: 5 attempts failed"):
            make(server, problems=1)
    lines = make.out.with_suffix(".journal.jsonl").read_text().splitlines()
    assert {json.loads(line)["type"] for line in lines} == {"reply"}


def test_a_sandbox_that_is_not_there_is_named_before_the_teacher_is_asked(make: Generator) -> None:
    make.sandbox_url = "http://127.0.0.1:1"
    teacher = ScriptedTeacher()
    with serving(teacher) as server:
        with pytest.raises(ConfigError, match=r"^--sandbox-url: no sandbox answers at http://127.0.0.1:1"):
            make(server, problems=1)
    assert not teacher.requests
