import json
import random
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from verl_coder.problems import FunctionTests
from verl_coder.sandbox import CommandResult
from verl_coder.tiny.problems import problems
from verl_coder.tiny.traces import SampleTrace, run_trusted, write_trace, write_traces
from verl_coder.tools.output import format_output


@pytest.fixture(scope="module")
def traces() -> list[SampleTrace]:
    return list(write_traces(problems("sft", 400, seed=0), seed=0, direct_share=0.3))


def called_code(content: str) -> str:
    call = json.loads(content.removeprefix("<tool_call>\n").removesuffix("\n</tool_call>"))
    assert call["name"] == "python_interpreter"
    return call["arguments"]["code"]


def really_run(program: str) -> CommandResult:
    done = subprocess.run([sys.executable, "-I", "-c", program], capture_output=True, text=True, timeout=30)
    return CommandResult(
        status="Finished",
        execution_time=0.0,
        return_code=done.returncode,
        stdout=done.stdout,
        stderr=done.stderr,
    )


def test_every_final_answer_passes_its_hidden_tests(traces):
    for trace in traces:
        found = re.fullmatch(r"```python\n(.*)\n```", trace.messages[-1]["content"], re.DOTALL)
        assert found
        namespace: dict = {}
        exec(found[1], namespace)
        assert isinstance(trace.problem.tests, FunctionTests)
        assert all(namespace["f"](list(case.args[0])) == case.expected for case in trace.problem.tests.tests)


def test_every_tool_response_is_what_a_real_interpreter_gives(traces):
    calls = [
        (trace.problem.tool_prelude, called_code(call["content"]), response["content"])
        for trace in traces
        for call, response in zip(trace.messages, trace.messages[1:], strict=False)
        if response["role"] == "tool"
    ][:60]
    assert {response.partition(":")[0] for _, _, response in calls} == {"ok", "AssertionError"}
    with ThreadPoolExecutor(4) as pool:
        results = pool.map(lambda call: really_run(f"{call[0]}\n{call[1]}"), calls)
        for (_, _, response), result in zip(calls, results, strict=True):
            assert format_output(result, timeout_s=5, traceback_lines=1, max_chars=120) == response


def test_the_stand_in_interpreter_formats_as_the_tool_does():
    for code in ("pass", "print(1)\nprint(2)", "print(1)\n1 / 0", "f(", "raise ValueError"):
        text = format_output(really_run(code), timeout_s=5, traceback_lines=1, max_chars=120)
        if code == "raise ValueError":
            assert text == "ValueError"
        elif code != "f(":  # a compile error names the file, which differs
            assert run_trusted(code, "") == text


def test_a_wrong_first_try_is_mended_after_its_error(traces):
    mended = [t for t in traces if any(m["content"].startswith("AssertionError") for m in t.messages)]
    assert mended
    for trace in mended:
        assert trace.problem.difficulty == "hard"
        roles = [message["role"] for message in trace.messages]
        assert roles[:3] == ["user", "assistant", "tool"]
        assert roles[3:] in (["assistant"], ["assistant", "tool", "assistant"])
        assert len(roles) == 4 or trace.messages[4]["content"] == "ok"


def test_the_direct_share_is_the_share_of_traces_without_a_call(traces):
    assert 0.2 < sum(not t.uses_tool for t in traces) / len(traces) < 0.4
    samples = list(problems("sft", 50, seed=0))
    assert all(t.uses_tool for t in write_traces(samples, seed=0, direct_share=0.0))
    assert not any(t.uses_tool for t in write_traces(samples, seed=0, direct_share=1.0))


def test_a_trace_begins_with_the_problem_s_prompt():
    sample = next(problems("rl", 1, seed=0))
    trace = write_trace(sample, random.Random(0), direct_share=0.0)
    assert trace.messages[: len(sample.problem.prompt)] == sample.problem.prompt
