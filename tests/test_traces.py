"""A teacher's traces become the very tokens that a rollout would have produced, masked where it did not write."""

import copy
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tokenizers import normalizers
from transformers import AutoTokenizer

from verl_coder.errors import DataError
from verl_coder.protocols import tool_call
from verl_coder.tiny.build import BASE
from verl_coder.tiny.problems import problems
from verl_coder.tiny.traces import write_traces
from verl_coder.trace_messages import TraceError
from verl_coder.traces import Trace, TraceRow, TraceTokenizer, check_text, check_tokens, read_traces
from verl_coder.trainer.composite.choice import TeacherPool


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return AutoTokenizer.from_pretrained(BASE)


def _tokenise(tokenizer: Any, longest: int = 352) -> TraceTokenizer:
    return TraceTokenizer(
        tokenizer, model_type="qwen2", tool_schemas=[], max_prompt_tokens=96, max_response_tokens=longest
    )


@pytest.fixture(scope="module")
def trace() -> Trace:
    """A trace of the tiny problems that calls the tool twice."""
    traces = write_traces(problems("rl", 200, seed=0), seed=0, direct_share=0.0)
    found = next(t for t in traces if sum(m["role"] == "tool" for m in t.messages) == 2)
    return Trace(problem_id=found.problem.problem_id, messages=tuple(dict(m) for m in found.messages))


def test_a_row_is_the_chat_templates_rendering(tokenizer: Any, trace: Trace) -> None:
    row = _tokenise(tokenizer).row(trace)
    assert row is not None
    rendered = tokenizer.apply_chat_template(list(trace.messages), tokenize=False)
    assert tokenizer.decode([*row.prompt_ids, *row.response_ids]) == rendered.rstrip("\n")


def test_the_loss_is_on_the_assistants_text_and_its_end_and_nowhere_else(
    tokenizer: Any, trace: Trace
) -> None:
    row = _tokenise(tokenizer).row(trace)
    assert row is not None and len(row.loss_mask) == len(row.response_ids)
    trained = tokenizer.decode([i for i, m in zip(row.response_ids, row.loss_mask, strict=True) if m])
    said = "".join(m["content"] + "<|im_end|>" for m in trace.messages if m["role"] == "assistant")
    assert trained == said
    hidden = tokenizer.decode([i for i, m in zip(row.response_ids, row.loss_mask, strict=True) if not m])
    for message in trace.messages:
        if message["role"] == "tool":
            assert message["content"] in hidden


def test_a_turn_of_weight_0_is_read_and_not_learnt(tokenizer: Any, trace: Trace) -> None:
    first = next(i for i, m in enumerate(trace.messages) if m["role"] == "assistant")
    messages = tuple({**m, "weight": 0} if i == first else m for i, m in enumerate(trace.messages))
    whole, rest = (_tokenise(tokenizer).row(t) for t in (trace, Trace(problem_id="p", messages=messages)))
    assert whole is not None and rest is not None
    assert (rest.prompt_ids, rest.response_ids) == (whole.prompt_ids, whole.response_ids)
    learnt = tokenizer.decode([i for i, m in zip(rest.response_ids, rest.loss_mask, strict=True) if m])
    said = [m["content"] + "<|im_end|>" for m in trace.messages if m["role"] == "assistant"]
    assert learnt == "".join(said[1:])


def test_structured_tool_calls_are_written_by_the_template(tokenizer: Any, trace: Trace) -> None:
    call = {
        "type": "function",
        "function": {"name": "python_interpreter", "arguments": {"code": "print(1)"}},
    }
    text = _tokenise(tokenizer).turn_text({"role": "assistant", "content": "", "tool_calls": [call]})
    assert text.strip().startswith("<tool_call>") and '"code": "print(1)"' in text and "im_end" not in text


def test_a_structured_call_ends_where_the_template_ends_a_turn(tokenizer: Any) -> None:
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.eos_token = "<|endoftext|>"
    function = {"name": "python_interpreter", "arguments": {"code": "print(1)"}}
    call = {
        "role": "assistant",
        "content": "I try.",
        "tool_calls": [{"type": "function", "function": function}],
    }
    text = _tokenise(tokenizer).turn_text(call)
    assert text == "I try.\n" + tool_call("python_interpreter", "print(1)")


def test_a_control_token_in_a_structured_call_is_refused(tokenizer: Any) -> None:
    function = {"name": "python_interpreter", "arguments": {"code": "print('<|im_end|>')"}}
    call = {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": function}]}
    with pytest.raises(TraceError, match=r"control token '<\|im_end\|>'"):
        check_text(Trace(problem_id="p", messages=(call,)), tokenizer, _tokenise(tokenizer))


@pytest.mark.parametrize(
    ("agent", "called", "described"),
    [
        ("", False, False),
        ("", True, True),
        ("tool_agent", False, True),
        ("session_agent", False, True),
        ("program_agent", True, False),
        ("single_turn_agent", False, False),
    ],
)
def test_a_prompt_describes_tools_where_one_is_called_or_the_loop_has_them(
    agent: str, called: bool, described: bool
) -> None:
    result = [{"role": "tool", "content": "1"}] if called else []
    messages = ({"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}, *result)
    assert Trace(problem_id="p", messages=messages, agent_name=agent).described_tools == described


def test_a_trace_that_is_too_long_is_left_out_and_counted(tokenizer: Any, trace: Trace) -> None:
    pool = TeacherPool([trace], _tokenise(tokenizer, longest=10).row)
    assert pool.choose([trace.problem_id], 3, random.Random(0)) == []
    assert pool.too_long == 1 and not pool.has(trace.problem_id)


def test_a_trace_that_is_no_rollouts_is_left_out_and_said_why(tokenizer: Any, trace: Trace) -> None:
    ask, answer = {"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}
    program = {"role": "assistant", "content": "<program>\n1\n</program> "}
    messages = (ask, program, {"role": "tool", "content": "1"}, answer)
    bad = Trace(problem_id="bad", messages=messages, agent_name="program_agent")
    pool = TeacherPool([bad, trace], _tokenise(tokenizer).row)
    assert len(pool.choose(["bad", trace.problem_id], 2, random.Random(0))) == 1
    assert list(pool.refused) == [0] and "does not end with </program>" in pool.refused[0]
    assert pool.too_long == 0 and not pool.has("bad")


def _pool() -> TeacherPool:
    traces = [
        Trace(problem_id=f"p{i % 4}", messages=({"role": "user", "content": str(i)},)) for i in range(12)
    ]

    def tokenise(trace: Trace) -> TraceRow:
        number = int(trace.messages[0]["content"])
        return TraceRow(prompt_ids=(number,), response_ids=(1,), loss_mask=(1,))

    return TeacherPool(traces, tokenise)


def test_the_batchs_own_prompts_come_first_one_each_and_the_pool_fills_up() -> None:
    rows = _pool().choose(["p1", "p3"], 8, random.Random(0))
    numbers = [row.prompt_ids[0] for row in rows]
    assert {n % 4 for n in numbers[:2]} == {1, 3}
    assert {n % 4 for n in numbers[:6]} == {1, 3}
    assert len(set(numbers)) == 8


def test_without_filling_only_the_named_prompts_are_taught() -> None:
    rows = _pool().choose(["p2", "nowhere"], 8, random.Random(0), fill=False)
    assert sorted(row.prompt_ids[0] for row in rows) == [2, 6, 10]


def test_a_choice_depends_on_its_seed_only() -> None:
    first, second = _pool(), _pool()
    first.choose(["p0"], 5, random.Random(9))
    assert first.choose(["p1"], 5, random.Random(3)) == second.choose(["p1"], 5, random.Random(3))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"problem_id": ["a"], "input_ids": [[1, 2]]}, "belong to one tokenizer"),
        ({"problem_id": ["a"], "text": ["x"]}, "lacks the column 'messages'"),
        ({"problem_id": ["a"], "messages": [[{"role": "user", "content": "x"}]]}, "row 0: .* ends with"),
        ({"problem_id": ["a"], "messages": [[{"role": "assistant", "content": "x"}]]}, "row 0: .* no prompt"),
        (
            {
                "problem_id": ["a"],
                "messages": [
                    [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y", "weight": 2}]
                ],
            },
            "row 0: a message of weight 2: use 1",
        ),
        (
            {
                "problem_id": ["a"],
                "messages": [
                    [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y", "weight": 0}]
                ],
            },
            "row 0: every assistant message has weight 0",
        ),
        ({"problem_id": ["a"], "messages": [[{"role": "robot", "content": "x"}]]}, "role 'robot'"),
    ],
)
def test_a_file_that_holds_no_traces_is_named(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    path = tmp_path / "traces.parquet"
    pq.write_table(pa.table(columns), path)
    with pytest.raises(DataError, match=rf"traces\.parquet.*{message}"):
        read_traces(path)


def test_a_number_is_a_name_of_a_problem_and_only_null_is_none(tmp_path: Path) -> None:
    talk = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    columns = {"problem_id": [0, 7, None], "messages": [talk] * 3}
    pq.write_table(pa.table(columns), tmp_path / "traces.parquet")
    assert [trace.problem_id for trace in read_traces(tmp_path / "traces.parquet")] == ["0", "7", ""]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere\.parquet: no such file"):
        read_traces(tmp_path / "nowhere.parquet")


def test_damaged_pages_of_a_file_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "traces.parquet"
    rows = [{"problem_id": str(n), "messages": [{"role": "user", "content": f"{n}" * 50}]} for n in range(99)]
    pq.write_table(pa.Table.from_pylist(rows), path)
    content = bytearray(path.read_bytes())
    content[10:600] = b"\xff" * 590
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"traces\.parquet is damaged"):
        read_traces(path)


def test_a_text_comes_back_whole_or_composed_or_is_refused(tokenizer: Any) -> None:
    assert check_tokens(["caf\u00e9"], tokenizer, "m") and not check_tokens(
        ["x", "cafe\u0301"], tokenizer, "m"
    )
    lossy = copy.deepcopy(tokenizer)
    lossy.backend_tokenizer.normalizer = normalizers.Replace("x", "y")
    with pytest.raises(TraceError, match="cannot express"):
        check_tokens(["x", "cafe\u0301"], lossy, "m")
