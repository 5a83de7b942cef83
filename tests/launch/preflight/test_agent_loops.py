"""A row that names an agent loop which is not there is found before Ray starts."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf

from verl_coder.errors import ConfigError, DataError
from verl_coder.launch.preflight.agent_loops import (
    agent_names,
    check_agent_loops,
    check_template,
    fit_tools_to_rows,
    renamed_tools,
)
from verl_coder.launch.preflight.checked_tools import CheckedTools
from verl_coder.launch.preflight.places import check_tools_sandboxes
from verl_coder.launch.preflight.tools import check_tools
from verl_coder.paths import repository_root
from verl_coder.prompts import build_prompt
from verl_coder.protocols import PROTOCOLS

LOOPS = str(repository_root() / "config" / "agent_loops.yaml")
TOOLS = str(repository_root() / "tool_config" / "python_interpreter.yaml")


def rows(folder: Path, *names: str) -> Path:
    path = folder / "train.parquet"
    pq.write_table(pa.table({"agent_name": list(names)}), path)
    return path


def test_every_protocol_has_its_agent_loop(tmp_path: Path) -> None:
    own = {"session_agent": "python_session", "debugger_agent": "python_debugger"}
    own["feedback_agent"] = "feedback"
    for name in {protocol.agent_name for protocol in PROTOCOLS.values()}:
        tools = Path(TOOLS).with_name(f"{own.get(name, 'python_interpreter')}.yaml")
        check_agent_loops(LOOPS, check_tools(str(tools)), [rows(tmp_path, name)])


def test_the_default_loop_is_one_that_there_is() -> None:
    for name in ("tool_agent", "program_agent"):
        check_agent_loops(LOOPS, check_tools(TOOLS), [], default=name)
    with pytest.raises(ConfigError, match=r"default_agent_loop=tool_agnt: did you mean tool_agent"):
        check_agent_loops(LOOPS, check_tools(TOOLS), [], default="tool_agnt")


def test_a_tool_that_keeps_its_state_needs_a_loop_that_does(tmp_path: Path) -> None:
    tools = str(Path(TOOLS).with_name("python_session.yaml"))
    with pytest.raises(ConfigError, match=r"python_session keeps its state .* rows of tool_agent"):
        check_agent_loops(LOOPS, check_tools(tools), [rows(tmp_path, "tool_agent")])


def test_a_checked_tools_file_is_not_read_again(tmp_path: Path) -> None:
    path = tmp_path / "tools.yaml"
    path.write_text(Path(TOOLS).read_text())
    tools = check_tools(str(path))
    path.unlink()
    check_agent_loops(LOOPS, tools, [rows(tmp_path, "tool_agent", "program_agent")])
    check_tools_sandboxes(tools)


def test_a_tool_under_another_name_than_the_prompts_say_is_told(tmp_path: Path) -> None:
    other = tmp_path / "tools.yaml"
    other.write_text(Path(TOOLS).read_text().replace("name: python_interpreter", "name: shout"))
    path = tmp_path / "train.parquet"
    for prompt, told in (
        (build_prompt("Add.", style="assert", protocol="tool"), True),
        (build_prompt("Add.", style="assert", protocol="tool", language="zh"), True),
        (build_prompt("Add.", style="assert", protocol="program"), False),
        (build_prompt("Add.", style="assert", protocol="none"), False),
        (({"role": "user", "content": "Call python_interpreter."},), False),
    ):
        pq.write_table(pa.table({"prompt": [list(prompt)]}), path)
        words = renamed_tools(check_tools(str(other)), [path])
        assert [("speak of python_interpreter" in line, "has shout" in line) for line in words] == [
            (True, True)
        ] * told
        assert renamed_tools(check_tools(TOOLS), [path]) == []


def test_an_unknown_agent_loop_is_named_with_those_there_are(tmp_path: Path) -> None:
    path = rows(tmp_path, "tool_agent", "program_agnt")
    with pytest.raises(DataError, match=r"names the agent loop 'program_agnt'; did you mean program_agent"):
        check_agent_loops(LOOPS, check_tools(TOOLS), [path])


def test_program_rows_need_the_interpreter_among_the_tools(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"needs the tool python_interpreter, and TOOLS: nothing"):
        check_agent_loops(LOOPS, CheckedTools(), [rows(tmp_path, "program_agent")])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- name: mine\n  _target_: no.such.Loop\n", "no class no.such.Loop for 'mine'"),
        ("- name: mine\n", "lacks '_target_'"),
        (
            "- name: mine\n  _target_: verl_coder.agent_loops.program_agent.ProgramAgentLoop\n",
            "no protocol has the agent loop 'mine'",
        ),
        ("- name: [", "agent_loop_config_path: "),
        ("3", "give a list"),
    ],
)
def test_a_broken_list_of_loops_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "loops.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        check_agent_loops(str(path), check_tools(TOOLS), [])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("names", "counted"),
    [
        (("tool_agent", "feedback_agent"), True),
        (("session_agent",), True),
        (("single_turn_agent", "program_agent"), False),
        (("feedback_agent",), False),
    ],
)
def test_prompts_are_counted_with_tools_where_a_row_has_them(
    tmp_path: Path, names: tuple[str, ...], counted: bool
) -> None:
    config = OmegaConf.create({"turns": TOOLS, "data": {"tool_config_path": "${turns}"}})
    fit_tools_to_rows(config, agent_names(rows(tmp_path, *names)))
    assert config.data.tool_config_path == (TOOLS if counted else None)


def test_a_template_that_insists_on_turns_in_turn_is_refused_for_feedback() -> None:
    class Tokenizer:
        def apply_chat_template(self, messages: list[dict[str, str]], **_: object) -> str:
            if [m["role"] for m in messages[-2:]] == ["user", "user"]:
                raise ValueError("Conversation roles must alternate user/assistant")
            return ""

    check_template(Tokenizer(), {"tool_agent", "single_turn_agent"}, {})
    with pytest.raises(ConfigError, match=r"roles must alternate.*feedback_agent needs"):
        check_template(Tokenizer(), {"feedback_agent"}, {"documents": []})
