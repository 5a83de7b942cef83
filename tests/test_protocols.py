"""A protocol is an entry of `PROTOCOLS` and a line of agent_loops.yaml: one is added to a throw-away checkout."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from verl_coder.extraction import extract_code
from verl_coder.paths import repository_root
from verl_coder.protocols import PROTOCOLS, agent_tags, closed_call, find_program

ENTRY = """
        ToolProtocol(
            name="run",
            agent_name="run_agent",
            tags=Tags("<run>", "</run>", "<printed>", "</printed>"),
            instructions={"en": "Programs stand between {call} and {end_call}, then {result} comes."},
        ),
"""
LINE = "- {name: run_agent, _target_: verl_coder.agent_loops.program_agent.ProgramAgentLoop}\n"

TURN = "I try it.\n<run>\ndef wrong():\n    return 1\n\nprint(wrong())\n</run>"
TURNS = f"{TURN}\n<printed>\n1\n</printed>\n"
ANSWER = "```python\ndef right():\n    return 2\n```"

ASK = """
import json, sys
from pathlib import Path
from typing import get_args
import pyarrow as pa, pyarrow.parquet as pq
from verl_coder.launch.preflight.agent_loops import check_agent_loops
from verl_coder.launch.preflight.tools import check_tools
from verl_coder.data.dataset import Draft, LoadOptions
from verl_coder.data.script import ProtocolName
from verl_coder.extraction import extract_code
from verl_coder.problems import StdioCase, StdioTests
from verl_coder.trainer.sample_masks import is_void_turn

root, turn, turns, answer = sys.argv[1:]
draft = Draft(problem_id="1", statement="Double.", tests=(StdioTests(tests=(StdioCase(input="1", output="2"),)),))
options = LoadOptions(variant="", protocol="run")
[problem] = draft.problems(data_source="mine", split="train", options=options)
rows = Path(root, "rows.parquet")
pq.write_table(pa.table({"agent_name": [problem.agent_name]}), rows)
tools = str(Path(root, "tool_config/python_interpreter.yaml"))
check_agent_loops(str(Path(root, "config/agent_loops.yaml")), check_tools(tools), [rows])
json.dump({
    "prompt": problem.prompt[0]["content"], "agent": problem.agent_name, "choices": get_args(ProtocolName),
    "code": [extract_code(turn), extract_code(turns), extract_code(turns + answer)],
    "void": [is_void_turn(turn), is_void_turn(turn.partition("</run>")[0])],
}, sys.stdout)
"""


@pytest.fixture(scope="module")
def added(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process says that imports a checkout in which two files have one piece more."""
    root = tmp_path_factory.mktemp("checkout")
    protocols, loops = "src/verl_coder/protocols.py", "config/agent_loops.yaml"
    text = (repository_root() / protocols).read_text()
    neighbour = '        ToolProtocol(name="none", agent_name="single_turn_agent"),'
    assert text.count(neighbour) == 1
    changed = {
        protocols: text.replace(neighbour, neighbour + ENTRY),
        loops: (repository_root() / loops).read_text() + LINE,
    }
    for path, new in changed.items():
        (root / path).parent.mkdir(parents=True)
        (root / path).write_text(new)
    for folder in (".", "config", "src/verl_coder"):
        for path in (repository_root() / folder).iterdir():
            if not (root / folder / path.name).exists() and not path.name.startswith("."):
                (root / folder / path.name).symlink_to(path)
    done = subprocess.run(
        [sys.executable, "-c", ASK, str(root), TURN, TURNS, ANSWER],
        env={**os.environ, "PYTHONPATH": str(root / "src"), "VERL_CODER_ROOT": str(root)},
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_the_prompt_of_an_added_protocol_names_its_tags(added: dict[str, Any]) -> None:
    assert "between <run> and </run>, then <printed> comes." in added["prompt"]


def test_data_prepare_offers_it(added: dict[str, Any]) -> None:
    assert added["choices"] == ["none", "run", *(name for name in PROTOCOLS if name != "none")]


def test_the_preflight_check_takes_its_rows(added: dict[str, Any]) -> None:
    assert added["agent"] == "run_agent"


def test_its_program_is_not_taken_for_the_answer(added: dict[str, Any]) -> None:
    assert added["code"] == [None, None, "def right():\n    return 2\n"]
    assert extract_code(TURNS) is not None, "the tags mean something without the entry, too"


def test_its_whole_call_is_no_void_turn(added: dict[str, Any]) -> None:
    assert added["void"] == [False, True]


def test_protocols_of_one_agent_loop_have_the_same_tags() -> None:
    for protocol in PROTOCOLS.values():
        assert agent_tags(protocol.agent_name) == protocol.tags


def test_what_knows_the_protocols_in_every_process_imports_neither_torch_nor_verl() -> None:
    code = (
        "import sys, verl_coder.protocols, verl_coder.prompts, verl_coder.extraction, verl_coder.rewards\n"
        "sys.exit(str({'torch', 'verl', 'ray'} & set(sys.modules) or ''))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stderr.strip() == ""


def test_a_call_is_closed_once_and_nothing_else_is_changed() -> None:
    tags = PROTOCOLS["program"].tags
    assert tags is not None
    for stop in ("</program>", None):
        assert find_program(closed_call("I try.\n<program>\nprint(1)\n", tags, stop), tags) == "print(1)\n"
        assert closed_call("<program>\nprint(1)", tags, stop) == "<program>\nprint(1)\n</program>"
        for text in ("", "An answer.", "<program>\n1\n</program>", "<program>\n1\n</program> and <program>"):
            assert closed_call(text, tags, stop) == text


def test_a_call_that_the_model_itself_left_open_stays_open() -> None:
    tags = PROTOCOLS["program"].tags
    assert tags is not None
    assert closed_call("<program>\nprint(1)", tags, "") == "<program>\nprint(1)", (
        "the server says that it ended"
    )
    told = "Programs stand between <program> and its end."
    assert closed_call(told, tags, None) == told, (
        "no call begins or ends a line where the server says nothing"
    )
    assert closed_call("I run it: <program>\n1", tags, None) == "I run it: <program>\n1\n</program>"
