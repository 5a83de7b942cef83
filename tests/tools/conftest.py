"""The real tools of `tool_config/` in a real sandbox, called as an agent loop calls them."""

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import OmegaConf
from verl.tools.schemas import OpenAIFunctionToolSchema

from verl_coder.paths import repository_root
from verl_coder.sandbox.embedded import EmbeddedSandbox
from verl_coder.tools.workspace import Workspace


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with EmbeddedSandbox() as sandbox:
        yield sandbox.url


class ToolCalls:
    """Calls of one trajectory."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def __call__(
        self,
        kind: type,
        *calls: dict[str, Any],
        tests: str = "",
        prelude: str = "",
        pause_s: float = 0.0,
        **settings: Any,
    ) -> tuple[list[str], dict[str, Any]]:
        """(what each call says, the counts), `pause_s` after the first call."""
        tool = self._tool(kind, settings)
        agent = SimpleNamespace(
            extra_fields={}, tools_kwargs={"prelude": prelude}, workspace=Workspace(visible_tests=tests)
        )
        said = []
        for call in calls:
            said.append((await tool.execute("", call, agent_data=agent))[0].text)
            if len(said) == 1:
                await asyncio.sleep(pause_s)
        await agent.workspace.close()
        return said, agent.extra_fields

    def _tool(self, kind: type, settings: dict[str, Any]) -> Any:
        name = kind.__module__.rpartition(".")[2]
        file: Any = OmegaConf.to_container(OmegaConf.load(repository_root() / "tool_config" / f"{name}.yaml"))
        entry = next(each for each in file["tools"] if each["class_name"].endswith(kind.__name__))
        schema = OpenAIFunctionToolSchema.model_validate(entry["tool_schema"])
        return kind({**entry["config"], "sandbox_url": self._url, **settings}, schema)


@pytest.fixture
def calls(url: str) -> ToolCalls:
    return ToolCalls(url)
