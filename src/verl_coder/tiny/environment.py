"""What a measured model acts in: the sandbox runs its tool calls, the grader runs the hidden tests."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias, TypeVar

from verl_coder.errors import SandboxUnavailableError
from verl_coder.grading import answer_code, grade
from verl_coder.problems import Problem
from verl_coder.sandbox import RunRequest, SandboxClient
from verl_coder.sandbox.embedded import EmbeddedSandbox
from verl_coder.tools.output import format_output

_T = TypeVar("_T")
Work: TypeAlias = Callable[[SandboxClient], Awaitable[list[_T]]]

# As tool_config/python_interpreter_brief.yaml, which the recipe of the tiny model uses.
TIMEOUT_S = 5.0
MAX_CHARS = 120


class Environment:
    """The sandbox at `url`; one that does not answer is an error, never a wrong answer."""

    def __init__(self, url: str) -> None:
        self._url = url

    @classmethod
    @contextmanager
    def embedded(cls) -> Iterator["Environment"]:
        """An environment with a sandbox of its own, which stops with it."""
        with EmbeddedSandbox() as sandbox:
            yield cls(sandbox.url)

    def run_tools(self, calls: Sequence[tuple[str, Problem]]) -> list[str]:
        """The interpreter's text for each program, as the tool formats it."""

        async def run_all(client: SandboxClient) -> list[str]:
            return await asyncio.gather(*(self._run(client, code, problem) for code, problem in calls))

        return self._with_client(run_all)

    def passed(self, completions: Sequence[tuple[str, Problem]]) -> list[bool]:
        """Whether each completion's last program passes every hidden test."""

        async def grade_all(client: SandboxClient) -> list[bool]:
            return await asyncio.gather(
                *(self._grade(client, text, problem) for text, problem in completions)
            )

        return self._with_client(grade_all)

    def _with_client(self, work: Work[_T]) -> list[_T]:
        async def main() -> list[_T]:
            async with SandboxClient(self._url) as client:
                return await work(client)

        return asyncio.run(main())

    @staticmethod
    async def _run(client: SandboxClient, code: str, problem: Problem) -> str:
        program = f"{problem.tool_prelude}\n{code}"
        response = await client.run_code(RunRequest(code=program, run_timeout=TIMEOUT_S, memory_limit_MB=512))
        assert response.run_result is not None
        return format_output(response.run_result, timeout_s=TIMEOUT_S, traceback_lines=1, max_chars=MAX_CHARS)

    @staticmethod
    async def _grade(client: SandboxClient, completion: str, problem: Problem) -> bool:
        code = answer_code(completion, problem.tests)
        if code is None:
            return False
        report = await grade(code, problem.tests, client, stop_early=True)
        if report.outcome == "sandbox_unavailable":
            raise SandboxUnavailableError(f"{problem.problem_id}: {report.message}")
        return report.outcome == "passed"
