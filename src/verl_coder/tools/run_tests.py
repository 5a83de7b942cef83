"""The `run_tests` tool: the tests that the problem shows, run against a solution, with the verdict of each."""

from typing import Any

from verl_coder.tools.execution import run_program
from verl_coder.tools.sandbox_tool import SandboxTool, ToolAnswer, note_failure, prelude_of
from verl_coder.tools.visible_tests import visible_tests
from verl_coder.tools.workspace import workspace_of


class RunTests(SandboxTool):
    """Each visible test says `passed`, or what it got and what it wants."""

    needs_workspace = True

    async def use(self, parameters: dict[str, Any], agent_data: Any) -> ToolAnswer:
        """Run the visible tests after `parameters["code"]`."""
        code = parameters.get("code")
        if not isinstance(code, str):
            return ToolAnswer('TypeError: the argument "code" must be a string', succeeded=False)
        tests = visible_tests(workspace_of(agent_data, self.name).visible_tests)
        if tests is None:
            return ToolAnswer("this problem shows no assert statement that could be run", succeeded=False)
        run = await run_program(
            f"{code}\n{tests.code}\n",
            prelude=prelude_of(agent_data),
            settings=self.settings,
            sandbox=self.client,
        )
        stdout = run.result.stdout or ""
        if run.succeeded and tests.all_passed(stdout):
            return ToolAnswer(run.text, succeeded=True)
        note_failure(agent_data)
        missing = tests.tests - len(tests.verdicts(stdout))
        ended = f"\n{missing} of {tests.tests} tests did not run: the program ended before them"
        return ToolAnswer(run.text + (ended if run.succeeded and missing else ""), succeeded=False)
