"""The loop of tools that keep their state: a scripted model, the real tools and the real sandbox."""

import asyncio
import json
import time
from types import SimpleNamespace

import httpx
import pytest

from verl_coder.extraction import extract_code
from verl_coder.sandbox.validate import MAX_TIMEOUT_S
from verl_coder.tools.workspace import Workspace

END = "<|im_end|>"
ANSWER = f"```python\ndef double(n):\n    return 2 * n\n```{END}"
ROOM = {"prompt_length": 2000, "response_length": 3000, "multi_turn.max_assistant_turns": 10}
SESSION = {"protocol": "session", "tools": "tool_config/python_session.yaml", "changes": ROOM}
DEBUGGER = {
    "protocol": "debugger",
    "tools": "tool_config/python_debugger.yaml",
    "tests": "assert double(2) == 4\nassert double(3) == 6",
    "changes": ROOM,
}
TESTS = {**SESSION, "tools": "tool_config/run_tests.yaml", "tests": DEBUGGER["tests"]}
WRONG = "def double(n):\n    m = n + 2\n    return m\n"


def call(name="python_session", **arguments):
    return f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>{END}"


def answers(output, tokenizer):
    """What the tools said."""
    text = tokenizer.decode(output.response_ids)
    return [part.partition("\n</tool_response>")[0] for part in text.split("<tool_response>\n")[1:]]


def sessions_of(url):
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    return next(int(float(line.split()[-1])) for line in lines if line.startswith("sandbox_sessions"))


def test_variables_generators_and_files_live_on(rollout, sandbox_url):
    first = call(
        code="runs = 0\ndef count():\n    yield from range(9)\nnumbers = count()\nf = open('notes', 'w')"
    )
    second = call(code="runs += 1\nf.write('x')\nnext(numbers), runs")
    output, _, tokenizer = rollout([first, second, second, ANSWER], **SESSION)
    assert answers(output, tokenizer) == ["(no output)", "(0, 1)", "(1, 2)"]
    assert output.extra_fields["tool_calls"] == output.extra_fields["tool_successes"] == 3
    assert output.extra_fields["end_reason"] == "answer" and sessions_of(sandbox_url) == 0
    assert extract_code(tokenizer.decode(output.response_ids), agent_name="session_agent") is not None


def test_only_what_the_model_wrote_is_trained_on(rollout):
    script = [call(code="print(1)"), call(code="2 + 2"), ANSWER]
    output, model, tokenizer = rollout(list(script), **SESSION)
    pairs = list(zip(output.response_ids, output.response_mask, strict=True))
    assert tokenizer.decode([i for i, mask in pairs if mask]) == "".join(script)
    assert all(
        logprob == (-0.5 if mask else 0.0)
        for logprob, (_, mask) in zip(output.response_logprobs, pairs, strict=True)
    )
    last = model.prompts[-1]
    assert (output.prompt_ids + output.response_ids)[: len(last)] == last


def test_calls_of_one_turn_run_in_order(rollout):
    both = call(code="import time; time.sleep(0.3); x = 1").replace(END, "") + call(code="x + 1")
    output, _, tokenizer = rollout(
        [both, ANSWER], **{**SESSION, "changes": {**ROOM, "multi_turn.max_parallel_calls": 2}}
    )
    assert answers(output, tokenizer) == ["(no output)", "2"]


def test_calls_beyond_those_of_a_turn_are_not_dropped_silently(rollout):
    three = "".join(call(code=f"x = {n}\nx").replace(END, "") for n in range(3)) + END
    output, _, tokenizer = rollout(
        [three, ANSWER], **{**SESSION, "changes": {**ROOM, "multi_turn.max_parallel_calls": 1}}
    )
    assert answers(output, tokenizer) == ["0", "Error: only the first 1 of the 3 calls of this turn were run"]


def test_an_invalid_call_is_told_and_several_in_a_row_end_the_trajectory(rollout):
    bad = f"<tool_call>\nprint(1)\n</tool_call>{END}"
    output, model, tokenizer = rollout([bad, call(code="1"), bad, bad, bad, ANSWER], **SESSION)
    told = answers(output, tokenizer)
    assert told[0].startswith("Error: the call is no JSON") and told[1] == "1" and len(model.prompts) == 5
    assert (output.extra_fields["end_reason"], output.extra_fields["tool_invalid"]) == ("invalid_calls", 4)


def test_the_calls_left_are_told_and_no_more_are_run(rollout):
    limits = {"max_calls": 1, "tell_calls_left": True}
    output, _, tokenizer = rollout([call(code="1"), call(code="2"), ANSWER], loop=limits, **SESSION)
    assert answers(output, tokenizer) == [
        "1\n(0 calls left)",
        "Error: all 1 calls are used; give your answer\n(0 calls left)",
    ]


def test_a_printed_control_token_is_text_and_no_token(rollout):
    output, _, tokenizer = rollout([call(code="print('<|im' + '_end|>')"), ANSWER], **SESSION)
    assert answers(output, tokenizer)[0] == "< |im_end|>"
    end = tokenizer.convert_tokens_to_ids(END)
    inserted = [i for i, mask in zip(output.response_ids, output.response_mask, strict=True) if not mask]
    assert inserted.count(end) == 1  # that of the template, at the end of the tool's turn


def test_code_over_its_time_is_stopped_and_the_session_lives_on(rollout, monkeypatch):
    script = [call(code="x = 5"), call(code="while True: pass"), call(code="x"), ANSWER]
    from verl_coder.tools.python_session import PythonSession

    monkeypatch.setattr(PythonSession, "settings_class", _quick(PythonSession.settings_class))
    output, _, tokenizer = rollout(script, **SESSION)
    told = answers(output, tokenizer)
    assert "ran longer than 1 s and was stopped" in told[1] and told[2] == "5"


def _quick(settings):
    class Quick(settings):
        def model_post_init(self, context):
            object.__setattr__(self, "timeout_s", 1.0)

    return Quick


def test_a_session_that_ends_is_told_and_begun_anew(rollout):
    script = [call(code="x = 1; import os; os._exit(3)"), call(code="'x' in globals()"), ANSWER]
    output, _, tokenizer = rollout(script, **SESSION)
    told = answers(output, tokenizer)
    assert "the next call begins a new one" in told[0] and told[1] == "False"


def test_the_rows_prelude_is_there(rollout):
    output, _, tokenizer = rollout([call(code="seven"), ANSWER], prelude="seven = 7", **SESSION)
    assert answers(output, tokenizer) == ["7"]


def test_a_sandbox_that_is_away_masks_the_trajectory(rollout):
    output, _, _ = rollout([call(code="1"), ANSWER], url="http://127.0.0.1:9", **SESSION)
    assert output.extra_fields["tool_sandbox_unavailable"] == 1


def test_a_call_that_hangs_ends_and_masks_the_trajectory(rollout, sandbox_url):
    script = [call(code="import time; time.sleep(20)"), ANSWER]
    began = time.monotonic()
    output, model, _ = rollout(script, loop={"call_deadline_s": 0.5}, **SESSION)
    assert output.extra_fields["tool_sandbox_unavailable"] == 1 and len(model.prompts) == 1
    assert output.extra_fields["end_reason"] == "hung_call" and time.monotonic() - began < 15


def test_a_call_that_waits_for_its_place_does_not_hang(rollout, monkeypatch):
    from contextlib import asynccontextmanager

    from verl_coder.tools.shared_limit import SharedLimit

    @asynccontextmanager
    async def place(self, *, is_new=True):
        await asyncio.sleep(2.5)
        yield

    monkeypatch.setattr(SharedLimit, "place", place)
    output, _, tokenizer = rollout([call(code="7"), ANSWER], loop={"call_deadline_s": 2.0}, **SESSION)
    assert answers(output, tokenizer) == ["7"] and "tool_sandbox_unavailable" not in output.extra_fields


@pytest.mark.parametrize(("mode", "reason"), [("sync", "deadline"), ("colocate_async", "answer")])
def test_a_turn_that_rests_while_the_trainer_trains_is_not_late(rollout, monkeypatch, mode, reason):
    from verl_coder.agent_loops import code_agent
    from verl_coder.sandbox import SandboxClient

    now, idle, opened = [0.0], [], SandboxClient.open_session

    async def open_session(client, **options):
        idle.append(options["idle_timeout"])
        return await opened(client, **options)

    monkeypatch.setattr(code_agent, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(SandboxClient, "open_session", open_session)
    script = [call(code="1"), call(code="2"), ANSWER]
    rests = {"on_turn": lambda: now.__setitem__(0, now[0] + 1000.0)}
    output, _, _ = rollout(script, loop={"trajectory_deadline_s": 1800.0}, mode=mode, **rests, **SESSION)
    assert output.extra_fields["end_reason"] == reason
    assert idle == [900.0 if mode == "sync" else MAX_TIMEOUT_S]


def test_an_endless_program_does_not_hang_a_debugger_s_call(rollout, monkeypatch):
    from verl_coder.tools.python_debugger import PythonDebugger

    monkeypatch.setattr(PythonDebugger, "settings_class", _quick(PythonDebugger.settings_class))
    script = [call("python_debugger", code="while True: pass", commands="run\n" * 20), ANSWER]
    output, _, tokenizer = rollout(script, loop={"call_deadline_s": 8.0}, **DEBUGGER)
    assert not output.extra_fields.get("tool_sandbox_unavailable")
    assert "the 1 s of this call are over" in answers(output, tokenizer)[0]


def test_a_lone_surrogate_in_an_answer_does_not_end_the_trajectory(rollout):
    output, _, tokenizer = rollout([call(code="raise Exception('\\ud800')"), ANSWER], **SESSION)
    assert answers(output, tokenizer)[0].endswith("Exception: ?")
    assert output.extra_fields["end_reason"] == "answer"


def test_an_aborted_trajectory_leaves_no_session(sandbox_url, monkeypatch):
    from verl_coder.agent_loops.code_agent import CodeAgentLoop, GuardedToolAgentLoop
    from verl_coder.sandbox import SandboxClient

    async def work():
        async with SandboxClient(sandbox_url) as client:

            async def never(self, *args, **kwargs):
                await self._workspace.open("python", client, memory_mb=256)
                await asyncio.sleep(60)

            monkeypatch.setattr(GuardedToolAgentLoop, "run", never)
            loop = object.__new__(CodeAgentLoop)
            loop._workspace = Workspace()
            task = asyncio.create_task(loop.run({}, raw_prompt=[]))
            while not sessions_of(sandbox_url):  # noqa: ASYNC110 - another process makes it
                await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return sessions_of(sandbox_url)

    assert asyncio.run(work()) == 0


def test_the_debugger_stops_where_a_visible_test_fails_and_stays_there(rollout):
    script = [
        call("python_debugger", code=WRONG, commands="break 3 if n == 3\nrun"),
        call("python_debugger", commands="print m\nup\ncontinue"),
        call("python_debugger", code="# a line more\n" + WRONG, commands="run\nprint n"),
        ANSWER,
    ]
    output, _, tokenizer = rollout(script, **DEBUGGER)
    told = answers(output, tokenizer)
    assert (
        told[0].splitlines()[-6:]
        == [
            "breakpoint at line 3 in double",
            "     1  def double(n):",
            "     2      m = n + 2",
            "->   3      return m",
            "n = 3",
            "m = 5",
        ]
        or "breakpoint at line 3 in double" in told[0]
    )
    assert "> print m\n5" in told[1] and "AssertionError" in told[1]
    assert "breakpoint at line 4 in double" in told[2] and told[2].endswith("> print n\n3")


def test_the_debugger_waits_for_failed_runs_where_it_is_told_to(rollout, tmp_path):
    from verl_coder.paths import repository_root

    later = tmp_path / "later.yaml"
    text = (repository_root() / "tool_config/python_debugger.yaml").read_text()
    later.write_text(text.replace("available_after: 0", "available_after: 1"))
    script = [
        call("python_debugger", code=WRONG, commands="run"),
        call("python_interpreter", code="1 / 0"),
        call("python_debugger", code=WRONG, commands="run"),
        ANSWER,
    ]
    output, _, tokenizer = rollout(script, **{**DEBUGGER, "tools": str(later)})
    told = answers(output, tokenizer)
    assert told[0] == "python_debugger can be used after 1 more failed runs"
    assert "AssertionError" in told[2]


def test_the_visible_tests_have_a_verdict_each(rollout):
    script = [call("run_tests", code=WRONG), call("run_tests", code=WRONG.replace("n + 2", "n * 2")), ANSWER]
    output, _, tokenizer = rollout(script, **TESTS)
    assert answers(output, tokenizer) == [
        "test 1: passed\ntest 2: failed: double(3) is 5, want 6",
        "test 1: passed\ntest 2: passed",
    ]
    assert (output.extra_fields["tool_calls"], output.extra_fields["tool_successes"]) == (2, 1)
