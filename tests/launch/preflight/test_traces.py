"""A teacher's traces that this run cannot use, or must not, are found in every row of their file before Ray starts."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import DictConfig, OmegaConf
from transformers import AutoTokenizer

from verl_coder.errors import ConfigError, DataError
from verl_coder.launch.plan import Plan, TrainRequest, make_plan
from verl_coder.launch.preflight.composite import check_composite
from verl_coder.launch.preflight.traces import TOKENISED_TRACES, check_problems
from verl_coder.problems import ROW_SCHEMA, AssertTests, Problem
from verl_coder.protocols import tool_call
from verl_coder.run.settings import CompositeSettings
from verl_coder.sections import read_section
from verl_coder.tiny.build import BASE
from verl_coder.tiny.traces import TOOL_NAME
from verl_coder.traces import Trace


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """The smallest recipe with a teacher, composed once."""
    return make_plan(TrainRequest(recipe="tiny_teacher", out=str(tmp_path_factory.mktemp("out") / "run")))


def _check_traces(plan: Plan, path: Path) -> tuple[str, ...]:
    settings = read_section(
        CompositeSettings,
        {"losses": {"beta": 0.3}, "teacher": {"traces": str(path), "rows": 32}},
        "verl_coder",
    )
    return check_composite(plan.config, settings, data_is_there=False)


_QUESTION = {"role": "user", "content": "Write f(xs).\nassert f([1]) == 1"}
_ANSWER = {"role": "assistant", "content": "```python\ndef f(xs): return 1\n```"}


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([_QUESTION, {"role": "assistant", "content": "f<|eot_id|>"}], "control token '<|eot_id|>'"),
        ([_QUESTION, {"role": "assistant", "content": "f<|im_end|>"}], "control token '<|im_end|>'"),
        (
            [
                _QUESTION,
                {"role": "assistant", "content": "[TOOL_CALLS] python_interpreter(...)"},
                {"role": "tool", "content": "ok"},
                _ANSWER,
            ],
            "finds no tool call",
        ),
        ([_QUESTION, {"role": "assistant", "content": "x = " + "1 + " * 400 + "1"}], "no trace fits"),
    ],
)
def test_traces_of_another_model_are_refused(
    plan: Plan, tmp_path: Path, messages: list[dict[str, str]], message: str
) -> None:
    path = tmp_path / "traces.parquet"
    pq.write_table(pa.table({"problem_id": ["a"], "messages": [messages]}), path)
    with pytest.raises(DataError) as error:
        _check_traces(plan, path)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_traces_that_fit_are_accepted(plan: Plan, tmp_path: Path) -> None:
    path = tmp_path / "traces.parquet"
    call = {"role": "assistant", "content": tool_call(TOOL_NAME, "print(1)")}
    messages = [_QUESTION, call, {"role": "tool", "content": "1"}, _ANSWER]
    pq.write_table(pa.table({"problem_id": ["a"], "messages": [messages]}), path)
    _check_traces(plan, path)


def _write(path: Path, *conversations: list[dict[str, Any]], agent: str = "") -> Path:
    names = [f"p{number}" for number in range(len(conversations))]
    columns = {"problem_id": names, "messages": list(conversations), "agent_name": [agent] * len(names)}
    pq.write_table(pa.table(columns), path)
    return path


BAD_CALLS = (
    '{"name": "python_interpreter", "arguments": {"code": "print(1)',
    'python_interpreter(code="x")',
    '{"arguments": {"code": "1"}}',
    '{"name": "py", "arguments": {}}',
)


@pytest.mark.parametrize("call", BAD_CALLS)
def test_a_bad_call_that_a_rollout_answers_is_a_call(plan: Plan, tmp_path: Path, call: str) -> None:
    bad = {"role": "assistant", "content": f"Hm.\n<tool_call>\n{call}\n</tool_call>", "weight": 0}
    answered = [bad, {"role": "tool", "content": "Error: mend it"}, _ANSWER]
    _check_traces(plan, _write(tmp_path / "traces.parquet", [_QUESTION, *answered]))


def test_what_the_rollout_would_answer_otherwise_is_refused(plan: Plan, tmp_path: Path) -> None:
    called = {"role": "assistant", "content": tool_call("code_interpreter", "print(1)")}
    messages = [_QUESTION, called, {"role": "tool", "content": "1"}, _ANSWER]
    with pytest.raises(
        DataError, match=r"row 0: message 1 .* answers with `Error: no tool 'code_interpreter'"
    ):
        _check_traces(plan, _write(tmp_path / "traces.parquet", messages))


def test_of_a_turns_calls_the_rollout_answers_as_many_as_it_takes(plan: Plan, tmp_path: Path) -> None:
    two = "\n".join(tool_call(TOOL_NAME, f"print({number})") for number in range(2))
    answers = [{"role": "tool", "content": f"{number}"} for number in range(2)]
    messages = [_QUESTION, {"role": "assistant", "content": two}, *answers, _ANSWER]
    with pytest.raises(DataError, match="Error: only the first 1 of the 2 calls"):
        _check_traces(plan, _write(tmp_path / "traces.parquet", messages))


def test_every_row_of_a_large_file_is_looked_at(plan: Plan, tmp_path: Path) -> None:
    rows = [[_QUESTION, _ANSWER]] * (2 * TOKENISED_TRACES)
    rows[1] = [_QUESTION, {"role": "assistant", "content": "f<|im_end|>"}]
    with pytest.raises(DataError, match="row 1: the control token"):
        _check_traces(plan, _write(tmp_path / "traces.parquet", *rows))


def test_a_program_that_does_not_end_its_turn_is_found_in_every_row(plan: Plan, tmp_path: Path) -> None:
    def talk(end: str) -> list[dict[str, Any]]:
        program = {"role": "assistant", "content": f"<program>\nprint(1)\n</program>{end}"}
        return [_QUESTION, program, {"role": "tool", "content": "1"}, _ANSWER]

    rows = [talk("")] * (2 * TOKENISED_TRACES)
    rows[3] = talk(" ")
    path = _write(tmp_path / "traces.parquet", *rows, agent="program_agent")
    with pytest.raises(DataError, match="row 3: a turn before a tool's result does not end with </program>"):
        _check_traces(plan, path)


def test_a_template_of_the_runs_own_is_what_the_traces_must_fit(plan: Plan, tmp_path: Path) -> None:
    own = replace(plan, config=copy.deepcopy(plan.config))
    template = AutoTokenizer.from_pretrained(BASE).chat_template
    opening = template.replace("assistant\\n' }}\n{%- endif %}\n", "assistant\\n<think>' }}\n{%- endif %}\n")
    assert opening != template
    own.config.actor_rollout_ref.model.custom_chat_template = opening
    path = _write(tmp_path / "traces.parquet", [_QUESTION, _ANSWER])
    _check_traces(plan, path)
    with pytest.raises(
        DataError, match="row 0: a turn has no thinking, and the chat template's prompt opens it"
    ):
        _check_traces(own, path)


def test_a_template_that_ends_turns_otherwise_than_the_tokenizer_is_refused(
    plan: Plan, tmp_path: Path
) -> None:
    own = replace(plan, config=copy.deepcopy(plan.config))
    template = AutoTokenizer.from_pretrained(BASE).chat_template
    own.config.actor_rollout_ref.model.custom_chat_template = template.replace("<|im_end|>", "<|im_start|>")
    path = _write(tmp_path / "traces.parquet", [_QUESTION, _ANSWER])
    with pytest.raises(ConfigError, match=r"ends a turn with <\|im_start\|>, and eos_token is <\|im_end\|>"):
        _check_traces(own, path)


def _data(folder: Path, **sets: list[str]) -> DictConfig:
    """A configuration whose files hold problems of these names."""
    files = {}
    for name, problems in sets.items():
        rows = [
            Problem(
                data_source="toy",
                problem_id=one,
                prompt=({"role": "user", "content": one},),
                tests=AssertTests(tests=("assert f() == 1",)),
                split=name,
            ).to_row()
            for one in problems
        ]
        files[f"{name}_files"] = str(folder / f"{name}.parquet")
        pq.write_table(pa.Table.from_pylist(rows, schema=ROW_SCHEMA), folder / f"{name}.parquet")
    return OmegaConf.create({"data": files})


def _of(*names: str, agent: str = "") -> list[Trace]:
    return [Trace(problem_id=name, messages=(_QUESTION, _ANSWER), agent_name=agent) for name in names]


def test_traces_of_held_out_problems_are_refused(tmp_path: Path) -> None:
    config = _data(tmp_path, train=["a", "b"], val=["c", "d"])
    with pytest.raises(
        DataError, match=r"of problems of data\.val_files: 2 of 3 traces, the first in row 1, of 'd'"
    ):
        check_problems(config, tmp_path / "x.parquet", _of("a", "d", "c"))


@pytest.mark.parametrize("name", ["", "named otherwise"])
def test_a_trace_of_a_held_out_prompt_is_refused_whatever_its_name(tmp_path: Path, name: str) -> None:
    config = _data(tmp_path, train=["a", "both"], val=["d", "both"])
    traces = [
        Trace(problem_id=name, messages=({"role": "user", "content": asked}, _ANSWER), agent_name="")
        for asked in ("a", "both", "d")
    ]
    with pytest.raises(DataError, match=r"val_files: 1 of 3 traces, the first in row 2, by its prompt: what"):
        check_problems(config, tmp_path / "x.parquet", traces)


def test_a_problem_on_both_sides_is_the_datas_matter(tmp_path: Path) -> None:
    config = _data(tmp_path, train=["a", "b"], val=["b"])
    assert check_problems(config, tmp_path / "x.parquet", _of("a", "b", "")) == ()


def test_traces_of_no_problem_of_the_run_are_told(tmp_path: Path) -> None:
    config = _data(tmp_path, train=["a"], val=["b"])
    [note] = check_problems(config, tmp_path / "x.parquet", _of("a", "z", "", "y"))
    assert (
        note.startswith("warning: ")
        and "of no problem of data.train_files: 2 of 4 traces, the first of 'z'" in note
    )


def test_traces_of_another_agent_loop_are_told(tmp_path: Path) -> None:
    config = _data(tmp_path, train=["a"], val=["b"])
    assert check_problems(config, tmp_path / "x.parquet", _of("a", agent="tool_agent")) == ()
    [note] = check_problems(config, tmp_path / "x.parquet", _of("a", agent="program_agent"))
    assert note.endswith(
        "of another agent loop (program_agent) than the rows of data.train_files (tool_agent): 1 of 1 trace"
    )


@pytest.mark.parametrize(("max_calls", "told"), [(2, 1), (0, 0)])
def test_results_that_do_not_tell_the_calls_left_as_the_rollout_does_are_told(
    tmp_path: Path, max_calls: int, told: int
) -> None:
    lines = [
        {"name": "session_agent", "_target_": "x", "max_calls": max_calls, "tell_calls_left": True},
        {"name": "debugger_agent", "_target_": "x", "max_calls": 2, "tell_calls_left": False},
    ]
    OmegaConf.save(OmegaConf.create(lines), tmp_path / "loops.yaml")
    config = _data(tmp_path, train=["a"], val=["b"])
    config.actor_rollout_ref = {
        "rollout": {"agent": {"agent_loop_config_path": str(tmp_path / "loops.yaml")}}
    }
    call = {"role": "assistant", "content": tool_call("python_session", "1")}
    traces = [
        Trace(
            problem_id="a",
            messages=(_QUESTION, call, {"role": "tool", "content": result}, _ANSWER),
            agent_name=agent,
        )
        for agent in ("session_agent", "debugger_agent")
        for result in ("1", "1\n(1 calls left)")
    ]
    notes = [note for note in check_problems(config, tmp_path / "x.parquet", traces) if "calls left" in note]
    assert len(notes) == told
    assert all("1 of 4 traces, the first of session_agent" in note for note in notes)
