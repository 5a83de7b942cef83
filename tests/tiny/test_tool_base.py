"""What the base for the tools learns from, stage by stage."""

from collections import Counter
from pathlib import Path

import pytest

from verl_coder.errors import ConfigError
from verl_coder.tiny.tool_base import STAGES, ToolBaseSettings, build_tool_base, stage_traces

SETTINGS = ToolBaseSettings(steps=20, batch_size=10)
NUMBER = {stage.name: number for number, stage in enumerate(STAGES)}


def test_the_stages_take_all_steps_and_no_two_draw_the_same() -> None:
    drawn = [list(stage_traces(SETTINGS, number)) for number in range(len(STAGES))]
    assert sum(map(len, drawn)) == SETTINGS.steps * SETTINGS.batch_size
    assert sum(stage.steps for stage in STAGES) == pytest.approx(1)
    first = [[trace.chain.example for trace in traces[:20]] for traces in drawn]
    assert first[0] != first[1] and first[1] != first[2] and first[0] != first[2]


def test_the_debugging_stage_looks_at_bugs_with_the_debugger() -> None:
    traces = list(stage_traces(SETTINGS, NUMBER["debugging"]))
    bugs = [trace for trace in traces if trace.chain.kind == "bug"]
    assert len(bugs) > len(traces) / 2
    tools = Counter(trace.tool for trace in bugs)
    assert tools["debugger"] + tools["debugger_late"] > len(bugs) / 2
    assert {trace.tool for trace in traces} >= {"none", "interpreter", "session", "program"}


def test_the_last_stage_answers_at_once_as_often_as_the_settings_say() -> None:
    for share in (0.0, 1.0):
        settings = ToolBaseSettings(steps=20, batch_size=10, direct_share=share)
        calls = [len(trace.messages) > 3 for trace in stage_traces(settings, NUMBER["mixed"])]
        assert any(calls) == (share == 0.0)


@pytest.mark.parametrize("wrong", [{"steps": 4}, {"direct_share": 1.5}])
def test_wrong_settings_are_refused(wrong: dict, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="use 5 or more, and a share"):
        build_tool_base(tmp_path, ToolBaseSettings(**wrong))
    assert not list(tmp_path.iterdir())
