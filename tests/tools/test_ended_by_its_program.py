"""What a program does to its own session is the program's end: the next call begins another, nothing is masked."""

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import OmegaConf
from verl.tools.schemas import OpenAIFunctionToolSchema

from verl_coder.paths import repository_root
from verl_coder.sandbox.embedded import EmbeddedSandbox
from verl_coder.tools.python_debugger import PythonDebugger
from verl_coder.tools.python_session import PythonSession
from verl_coder.tools.workspace import Workspace

LATER = """import os, socket, threading, time
def end():
    time.sleep(0.3)
    {act}
threading.Thread(target=end).start()
"""
ACTS = {
    "kills its parent": "os.kill(os.getppid(), 9); os._exit(0)",
    "kills all": "os.kill(-1, 9)",
    "leaves": "os._exit(0)",
    "shuts the channel": "[socket.socket(fileno=n).shutdown(2) for n in (3,)]",
    "forges a reply": "os.write(3, b'{\"error\": 7}\\n'); time.sleep(60)",
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with EmbeddedSandbox() as sandbox:
        yield sandbox.url


def _tool(kind: type, name: str, url: str) -> Any:
    file = OmegaConf.load(repository_root() / "tool_config" / f"{name}.yaml")
    tool: Any = OmegaConf.to_container(file)
    entry = next(each for each in tool["tools"] if each["class_name"].endswith(kind.__name__))
    schema = OpenAIFunctionToolSchema.model_validate(entry["tool_schema"])
    return kind({**entry["config"], "sandbox_url": url}, schema)


async def _calls(tool: Any, *calls: dict[str, Any]) -> tuple[list[str], dict[str, Any]]:
    agent = SimpleNamespace(extra_fields={}, tools_kwargs={}, workspace=Workspace())
    said = []
    for call in calls:
        said.append((await tool.execute("", call, agent_data=agent))[0].text)
        if len(said) == 1:
            await asyncio.sleep(0.8)  # the first call's code ends its program meanwhile
    await agent.workspace.close()
    return said, agent.extra_fields


@pytest.mark.parametrize("act", ACTS)
async def test_new_code_for_a_debugger_that_its_program_ended(url: str, act: str) -> None:
    program = LATER.format(act=ACTS[act]) + "x = 1\ny = 2\n"
    said, counts = await _calls(
        _tool(PythonDebugger, "python_debugger", url),
        {"code": program, "commands": "next\nnext\nnext\nnext"},
        {"code": "z = 7\nw = 8", "commands": "next\nnext\np z"},
    )
    assert said[1].splitlines()[-1] == "7" and "tool_sandbox_unavailable" not in counts


@pytest.mark.parametrize("act", ACTS)
async def test_new_code_for_an_interpreter_that_its_code_ended(url: str, act: str) -> None:
    said, counts = await _calls(
        _tool(PythonSession, "python_session", url),
        {"code": LATER.format(act=ACTS[act])},
        {"code": "1 + 1"},
        {"code": "2 + 2"},
    )
    assert said[2] == "4" and "tool_sandbox_unavailable" not in counts
