"""The `run_tests` tool: the tests that the problem shows, run against a solution, with the verdict of each."""

from typing import Any

from verl_coder.tools.execution import run_program
from verl_coder.tools.given_code import given_program
from verl_coder.tools.sandbox_tool import SandboxTool, ToolAnswer, note_failure, prelude_of
from verl_coder.tools.visible_tests import visible_tests
from verl_coder.tools.workspace import workspace_of


class RunTests(SandboxTool):
    """Each visible test says `passed`, or what it got and what it wants."""

    needs_workspace = True
    needed_arguments = ("code",)

    async def use(self, parameters: dict[str, Any], agent_data: Any) -> ToolAnswer:
        """Run the visible tests after `parameters["code"]`."""
        code = parameters.get("code")
        if not isinstance(code, str):
            return ToolAnswer('TypeError: the argument "code" must be a string', succeeded=False)
        tests = visible_tests(workspace_of(agent_data, self.name).visible_tests)
        if tests is None:
            return ToolAnswer("this problem shows no assert statement that could be run", succeeded=False)
        run = await run_program(
            tests.program(given_program(code)),
            prelude=prelude_of(agent_data),
            settings=self.settings,
            sandbox=self.client,
        )
        answer = ToolAnswer(*tests.told(run))
        if not answer.succeeded:
            note_failure(agent_data)
        return answer
