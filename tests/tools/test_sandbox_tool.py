"""What a call does where every session that a sandbox has is taken."""

import json
import os
import subprocess
import sys
import time

import pytest

from verl_coder.errors import SandboxFullError
from verl_coder.sandbox import SandboxClient
from verl_coder.sandbox.embedded import EmbeddedSandbox

ROOM_FOR_ONE = ["--workers", "2", "--max-sessions", "1"]


async def test_a_server_that_is_full_says_so_at_once_and_holds_up_nobody() -> None:
    with EmbeddedSandbox(extra=ROOM_FOR_ONE) as sandbox:
        async with SandboxClient(sandbox.url, max_concurrency=1) as client:
            session = await client.open_session()
            began = time.monotonic()
            with pytest.raises(SandboxFullError, match="1 sessions are open"):
                await client.open_session()
            assert time.monotonic() - began < 2
            await session.close()
            await (await client.open_session()).close()


_TWO_TRAJECTORIES = """
import asyncio, json, sys
from types import SimpleNamespace
from omegaconf import OmegaConf
from verl.tools.schemas import OpenAIFunctionToolSchema
from verl_coder.tools.python_session import PythonSession
from verl_coder.tools.workspace import Workspace

tool = OmegaConf.to_container(OmegaConf.load("tool_config/python_session_brief.yaml"))["tools"][0]
schema = OpenAIFunctionToolSchema.model_validate(tool["tool_schema"])
session = PythonSession({**tool["config"], "num_workers": 1}, schema)

async def trajectory(number, turns):
    workspace = Workspace()
    agent = SimpleNamespace(extra_fields={}, tools_kwargs={}, workspace=workspace)
    said = []
    for turn in range(turns):
        code = f"n = {number}" if turn == 0 else "print(n)"
        answer, _, _ = await session.execute("", {"code": code}, agent_data=agent)
        said.append(answer.text)
        await asyncio.sleep(0.2)
    await workspace.close()
    return said, agent.extra_fields

async def main():
    print(json.dumps(await asyncio.gather(*(trajectory(n, 3) for n in range(4)))))

asyncio.run(main())
"""


def test_trajectories_wait_for_each_others_sessions_and_none_is_masked() -> None:
    """One session and one place for four trajectories: who waits holds neither."""
    with EmbeddedSandbox(extra=ROOM_FOR_ONE) as sandbox:
        environment = {**os.environ, "SANDBOX_URL": sandbox.url}
        done = subprocess.run(
            [sys.executable, "-c", _TWO_TRAJECTORIES],
            env=environment,
            capture_output=True,
            text=True,
            timeout=90,
        )
    assert done.returncode == 0, done.stderr
    for number, (said, counts) in enumerate(json.loads(done.stdout.splitlines()[-1])):
        assert said[1:] == [str(number)] * 2
        assert counts == {"tool_calls": 3, "tool_successes": 3}
