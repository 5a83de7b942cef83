"""`verl-coder teacher show` marks the very tokens that are learnt."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from verl_coder.errors import ConfigError, DataError
from verl_coder.prompts import build_prompt
from verl_coder.protocols import tool_call
from verl_coder.teacher.show import ShowOptions, show_traces
from verl_coder.teacher.trace_file import write_traces
from verl_coder.tiny.build import BASE

TOOLS = str(Path(__file__).parents[2] / "tool_config" / "python_interpreter.yaml")
CALL = tool_call("python_interpreter", "print(1)")


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    prompt = list(build_prompt("Add one.", style="function", entry_point="add"))
    rows: list[dict[str, Any]] = [
        {
            "problem_id": name,
            "messages": [
                *prompt,
                {"role": "assistant", "content": CALL, "weight": weight},
                {"role": "tool", "content": "1"},
                {"role": "assistant", "content": f"I add one: {name}."},
            ],
            "source": "x",
        }
        for name, weight in (("learnt", 1), ("read", 0))
    ]
    write_traces(rows, tmp_path / "traces.parquet")
    return tmp_path / "traces.parquet"


def show(traces: Path, *, colours: bool = False, **changes: Any) -> str:
    system: Any = "standard" if colours else None
    console = Console(file=io.StringIO(), force_terminal=colours, width=10_000, color_system=system)
    options = {"model": str(BASE), "tools": TOOLS, "max_prompt_length": 4096, **changes}
    show_traces(ShowOptions(traces=traces, **options), console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert isinstance(text, str)
    return text


def test_what_is_learnt_stands_between_marks_and_nothing_else(traces: Path) -> None:
    text = show(traces, count=2)
    first, second = text.split("--- row 1")
    assert f"⟦{CALL}<|im_end|>⟧" in first and "⟦I add one: learnt.<|im_end|>⟧" in first
    assert first.count("⟦") == 2 and "<tool_response>\n1\n</tool_response>" in first.split("⟧")[1]
    assert second.count("⟦") == 1 and "⟦I add one: read.<|im_end|>⟧" in second


def test_on_a_terminal_it_is_coloured_instead(traces: Path) -> None:
    text = show(traces, colours=True)
    assert "⟦" not in text and "\x1b[1;32m" in text and "\x1b[33m" in text


def test_one_problem_or_one_place_can_be_asked_for(traces: Path) -> None:
    assert "read." in show(traces, problem="read") and "learnt." not in show(traces, first=1)


def test_a_trace_that_would_be_dropped_is_said_to_be(traces: Path) -> None:
    assert "dropped, longer than 4096 tokens of prompt or 5 of response" in show(
        traces, max_response_length=5
    )


def test_what_is_not_there_is_named(traces: Path) -> None:
    for changes, message in (
        ({"problem": "x"}, "no trace of 'x'"),
        ({"first": 2}, "--first 2 is behind them"),
    ):
        with pytest.raises(DataError, match=message):
            show(traces, **changes)
    with pytest.raises(ConfigError, match="--tools"):
        show(traces, tools=None)
