"""What is wrong with the three-source update is found before Ray starts, in one line."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from verl_coder.errors import ConfigError, DataError
from verl_coder.tiny.traces import tool_call
from verl_coder.trainer import preflight_composite, preflight_lora
from verl_coder.trainer.composite_settings import parse_composite
from verl_coder.trainer.plan import Plan, TrainRequest, make_plan


def _plan(tmp_path: Path, *overrides: str) -> Plan:
    return make_plan(TrainRequest(recipe="tiny_teacher", out=str(tmp_path / "run"), overrides=overrides))


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"losses": {"beta": -0.1}}, r"losses\.beta is -0\.1"),
        ({"losses": {"alpha": 0, "beta": 0, "gamma": 0}}, "all 0"),
        ({"losses": {"beta": 0.3}}, r"beta is above 0 and verl_coder\.teacher\.traces names no file"),
        ({"losses": {"delta": 1}}, r"losses\.delta: no such setting"),
        ({"teacher": {"rows": 0}}, r"teacher\.rows is 0"),
        ({"teacher": {"max_group_pass_rate": 1.0}}, "max_group_pass_rate is 1.0"),
        ({"self_sft": {"top_k": 1.5}}, r"self_sft\.top_k is 1\.5"),
        ({"self_sft": {"only_mixed": "sometimes"}}, "only_mixed"),
    ],
)
def test_a_wrong_value_is_named(section: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_composite(section)


def test_a_schedule_can_be_given_on_the_command_line(tmp_path: Path) -> None:
    plan = _plan(tmp_path, "verl_coder.losses.beta={schedule:cosine,start:1.0,end:0.1,steps:10}")
    assert plan.settings.composite.losses.beta.value(11) == pytest.approx(0.1)


def test_grpo_alone_leaves_verls_update_in_place(tmp_path: Path) -> None:
    plan = make_plan(TrainRequest(recipe="tiny_cpu", out=str(tmp_path)))
    assert not plan.settings.composite.active


def test_teacher_rows_must_fill_the_micro_batches(tmp_path: Path) -> None:
    plan = _plan(tmp_path, "verl_coder.teacher.rows=30")
    with pytest.raises(ConfigError, match=r"teacher\.rows is 30.*multiple of 32"):
        preflight_composite.check_composite(plan.config, plan.settings.composite)


def test_a_missing_traces_file_is_named(tmp_path: Path) -> None:
    plan = _plan(tmp_path, f"verl_coder.teacher.traces={tmp_path / 'nowhere.parquet'}")
    with pytest.raises(DataError, match=r"nowhere\.parquet: no such file"):
        preflight_composite.check_composite(plan.config, plan.settings.composite)


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
    tmp_path: Path, messages: list[dict[str, str]], message: str
) -> None:
    path = tmp_path / "traces.parquet"
    pq.write_table(pa.table({"problem_id": ["a"], "messages": [messages]}), path)
    plan = _plan(tmp_path, f"verl_coder.teacher.traces={path}")
    with pytest.raises(DataError) as error:
        preflight_composite.check_composite(plan.config, plan.settings.composite)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_traces_that_fit_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "traces.parquet"
    call = {"role": "assistant", "content": tool_call("print(1)")}
    messages = [_QUESTION, call, {"role": "tool", "content": "1"}, _ANSWER]
    pq.write_table(pa.table({"problem_id": ["a"], "messages": [messages]}), path)
    plan = _plan(tmp_path, f"verl_coder.teacher.traces={path}")
    preflight_composite.check_composite(plan.config, plan.settings.composite)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("actor_rollout_ref.model.target_modules=[q_proj,w_proj]",), "'w_proj'.*it has .*q_proj"),
        (("actor_rollout_ref.model.target_modules='.*query.*'",), "query"),
        (("actor_rollout_ref.model.target_modules=[]",), "is empty"),
        (("actor_rollout_ref.model.lora_alpha=0",), "lora_alpha=0"),
    ],
)
def test_lora_targets_that_the_model_lacks_are_named(
    tmp_path: Path, overrides: tuple[str, ...], message: str
) -> None:
    plan = _plan(tmp_path, "actor_rollout_ref.model.lora_rank=4", *overrides)
    with pytest.raises(ConfigError, match=message):
        preflight_lora.check_lora(plan.config)


@pytest.mark.parametrize("targets", ["all-linear", "[q_proj,down_proj]", "'.*mlp.*'"])
def test_lora_targets_of_the_model_are_accepted(tmp_path: Path, targets: str) -> None:
    plan = _plan(
        tmp_path,
        "actor_rollout_ref.model.lora_rank=4",
        f"actor_rollout_ref.model.target_modules={targets}",
    )
    preflight_lora.check_lora(plan.config)
