"""A YAML of tools or a reward that is not there is answered with the nearest of those that are."""

from pathlib import Path

import pytest

from verl_coder.errors import ConfigError
from verl_coder.paths import check_reward_file, check_tools_file, repository_root


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            "tool_config/python_interpreter_brif.yaml",
            "did you mean tool_config/python_interpreter_brief.yaml?",
        ),
        ("python_session", "did you mean tool_config/python_session.yaml?"),
        ("Python-Session.yml", "did you mean tool_config/python_session.yaml?"),
        ("non", "did you mean none?"),
    ],
)
def test_tools_that_are_not_there_have_a_neighbour(given: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        check_tools_file(Path(given), f"--tools {given}", or_none=True)
    assert str(error.value) == f"--tools {given}: no such file; {said}"


def test_a_file_that_is_not_there_is_not_taken_for_the_word_none() -> None:
    with pytest.raises(ConfigError, match=r"; or none$"):
        check_tools_file(Path("nofile.yaml"), "--tools nofile.yaml", or_none=True)


def test_what_is_near_to_none_is_answered_with_all(tmp_path: Path) -> None:
    names = {file.name for file in (repository_root() / "tool_config").glob("*.yaml")}
    for or_none in (True, False):
        with pytest.raises(ConfigError) as error:
            check_tools_file(Path("qq"), "TOOLS: qq", or_none=or_none)
        assert all(name in str(error.value) for name in names)
        assert str(error.value).endswith("; or none") == or_none
    with pytest.raises(ConfigError, match=r"^TOOLS: x is a folder: name a file$"):
        check_tools_file(tmp_path, "TOOLS: x")


@pytest.mark.parametrize(
    ("name", "said"), [("a" * 300, "no such file"), ("/dev/null", "is no file: name a file")]
)
def test_what_can_be_no_file_of_tools_is_said_in_a_line(name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        check_tools_file(Path(name), f"--tools {name}")


def test_a_reward_that_is_not_there_has_a_neighbour() -> None:
    with pytest.raises(ConfigError, match=r"did you mean rewards/pass_rate\.py\?"):
        check_reward_file(Path("rewards/pasrate.py"), "REWARD: rewards/pasrate.py")
    check_reward_file(repository_root() / "rewards" / "pass_rate.py", "REWARD")


def test_every_command_that_takes_tools_says_so(tmp_path: Path) -> None:
    from verl_coder.data.statistics import token_counter
    from verl_coder.evaluation.tool_choice import protocol_and_tools
    from verl_coder.launch.preflight.tools import check_tools
    from verl_coder.tools.execution import read_tools_text

    name = "feedbak.yaml"
    model = str(repository_root() / "src" / "verl_coder" / "tiny" / "base")
    for call in (
        lambda: protocol_and_tools(None, name, None, ()),
        lambda: check_tools(name),
        lambda: read_tools_text(Path(name)),
        lambda: token_counter(model, Path(name)),
    ):
        with pytest.raises(ConfigError, match=r"did you mean tool_config/feedback\.yaml\?"):
            call()
