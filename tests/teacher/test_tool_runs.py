"""What a teacher's call comes to is what the rollout's own interpreter answers to it."""

from collections.abc import Iterator

import pytest

from verl_coder.paths import repository_root
from verl_coder.problems import AssertTests, Problem
from verl_coder.protocols import find_protocol
from verl_coder.sandbox import SandboxClient
from verl_coder.sandbox.embedded import EmbeddedSandbox
from verl_coder.teacher.dialogues import Call
from verl_coder.teacher.offers import Offers
from verl_coder.teacher.rollout_tools import RolloutTools
from verl_coder.teacher.tasks import TeacherTask
from verl_coder.teacher.tool_runs import ToolRuns

TOOLS = repository_root() / "tool_config" / "python_interpreter.yaml"
NAME = "python_interpreter"


@pytest.fixture(scope="module")
def sandbox_url() -> Iterator[str]:
    with EmbeddedSandbox() as server:
        yield server.url


def task(protocol: str) -> TeacherTask:
    problem = Problem(
        data_source="d",
        problem_id="p",
        prompt=({"role": "user", "content": "Double."},),
        tests=AssertTests(tests=("assert double(1) == 2",)),
        split="train",
        tool_prelude="given = 3",
    )
    return TeacherTask(problem=problem, protocol=find_protocol(protocol), key="", tests_key="", place=0)


@pytest.mark.parametrize("protocol", ["tool", "program"])
@pytest.mark.parametrize(
    "code",
    [
        "print(given)",
        "```python\nprint(given)\n```",
        ">>> print(given)\n3",
        "    print(given)\n    1 / 0",
        "  print(given",
    ],
)
async def test_a_call_comes_to_what_a_rollout_answers(code: str, protocol: str, sandbox_url: str) -> None:
    asked = task(protocol)
    async with SandboxClient([sandbox_url]) as client:
        runs = ToolRuns(Offers(TOOLS), client, [asked], places=1)
        found = await runs.run(Call(NAME, {"code": code}), [], asked)
    tools = RolloutTools(TOOLS, [sandbox_url], places=1)
    async with tools.workspace(asked.problem) as workspace:
        text, succeeded = await workspace.call(NAME, {"code": code})
    await tools.close()
    assert found == (text, not succeeded)
