"""What the command's options come to."""

import pytest

from verl_coder.evaluation.request import protocol_for
from verl_coder.paths import repository_root


@pytest.mark.parametrize(
    ("tools", "protocol"),
    [
        ("python_interpreter", None),
        ("python_session", "session"),
        ("run_tests", "session"),
        ("python_debugger", "debugger"),
    ],
)
def test_tools_that_keep_their_state_come_with_their_protocol(tools, protocol):
    assert protocol_for(repository_root() / "tool_config" / f"{tools}.yaml") == protocol
