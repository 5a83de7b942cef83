from pathlib import Path

import pytest

from verl_coder.errors import ConfigError
from verl_coder.launch.preflight.tools import check_tools
from verl_coder.paths import repository_root

TOOL_FILES = sorted((repository_root() / "tool_config").glob("*.yaml"))
INTERPRETER = (repository_root() / "tool_config" / "python_interpreter.yaml").read_text()
DEBUGGER = (repository_root() / "tool_config" / "python_debugger.yaml").read_text()


@pytest.mark.parametrize("path", TOOL_FILES, ids=lambda p: p.stem)
def test_every_tool_file_makes_its_tools_and_begins_with_its_command(path: Path) -> None:
    check_tools(str(path))
    assert path.name in path.read_text().splitlines()[0]


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("tools:", "tool:", "lacks 'tools'"),
        ("PythonInterpreter", "PythonInterpretter", "no class .*PythonInterpretter"),
        ("timeout_s:", "timeoutt_s:", "config.timeoutt_s: no such setting; did you mean timeout_s"),
        ("    config:", "    konfig:", "unknown key 'konfig' in a tool; its keys are class_name, config"),
        ("description: Run", "descripton: Run", "unknown key 'descripton' in tool_schema.function"),
        ("type: native", "type: mcp", "config.type='mcp': verl has 'native' only"),
        (
            "type: object",
            "kind: object",
            "unknown key 'kind' in tool_schema.function.parameters; its keys are type",
        ),
        ("timeout_s: ", "timeout_s: -3 # ", r"config.timeout_s=-3: use a number in \(0, 3600\]"),
        ("timeout_s: ", "timeout_s: 1e9 # ", r"config.timeout_s=1e9: use a number in \(0, 3600\]"),
        (
            "memory_mb: ",
            "memory_mb: 999999999 # ",
            r"config.memory_mb=999999999: use a whole number in \[1, 4194304\]",
        ),
        ("  code:", "  source:", "required names 'code'"),
        ("timeout_s: ", "timeout_s: .nan # ", r"config.timeout_s=nan: use a number in \(0, 3600\]"),
        (
            "traceback_lines: ",
            "traceback_lines: 0 # ",
            "config.traceback_lines=0: use a whole number of 1 or",
        ),
        ("timeout_s: ", "timeout_s: soon # ", r"config.timeout_s=soon: use a number in \(0, 3600\]"),
        ("timeout_s: ", "timeout_s: null # ", r"config.timeout_s=None: use a number in \(0, 3600\]"),
        ("timeout_s: ", "timeout_s: 0 # ", r"config.timeout_s=0: use a number in \(0, 3600\]"),
        (
            "description: The",
            "descripton: The",
            "unknown key 'descripton' in tool_schema.function.parameters.prop",
        ),
        ("type: string", "type: strin", "properties.code.type=strin: did you mean string?"),
        (r"required: [code]", "required: [cod]", "required names 'cod', and properties has code"),
        (
            "verl_coder.tools.python_interpreter.PythonInterpreter",
            "collections.OrderedDict",
            "class_name: collections.OrderedDict is no tool",
        ),
    ],
)
def test_what_is_wrong_in_a_tool_file_is_named(right: str, wrong: str, message: str, tmp_path: Path) -> None:
    assert right in INTERPRETER
    path = tmp_path / "tools.yaml"
    path.write_text(INTERPRETER.replace(right, wrong))
    with pytest.raises(ConfigError, match=rf"TOOLS: .*tools.yaml: .*{message}") as caught:
        check_tools(str(path))
    assert "\n" not in str(caught.value)


def test_a_tool_without_schema_is_named(tmp_path: Path) -> None:
    path = tmp_path / "tools.yaml"
    path.write_text("tools:\n  - class_name: a.b.C\n    config: {type: native}\n")
    with pytest.raises(ConfigError, match="lacks 'tool_schema'"):
        check_tools(str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hello", "the file is no mapping: give a list of tools"),
        ("", "the file is no mapping"),
        ("- a", "the file is no mapping"),
        ("tools: [null]", "a tool is null: give a mapping with class_name"),
        (
            "tools: [{class_name: a.B, config: null, tool_schema: {}}]",
            "config of a tool is null: give a mapping",
        ),
        ("tools: [{class_name: a.B, config: {}, tool_schema: null}]", "tool_schema of a tool is null"),
        (
            "tools: [{class_name: a.B, config: {}, tool_schema: {function: null}}]",
            "function of tool_schema is null",
        ),
        ("tools: []\nmore: 1", "unknown key 'more' in the file"),
        (INTERPRETER.replace("name: python_interpreter", "name: null"), "function.name is null: give a text"),
        (INTERPRETER.replace("class_name: verl_coder", "class_name: null # "), "class_name is null"),
        (INTERPRETER.replace("required: [code]", "required: code"), "required is 'code': give a list"),
        (INTERPRETER.replace("timeout_s:", "timeout_s: 1\n      timeout_s:"), "'timeout_s' is there twice"),
        (INTERPRETER.replace("    config:", "\tconfig:"), "line 5, column 1: it is no YAML, .*a tab"),
    ],
)
def test_a_file_of_another_form_is_named(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "tools.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=rf"TOOLS: .*tools.yaml: .*{message}") as caught:
        check_tools(str(path))
    assert "\n" not in str(caught.value)


def test_properties_that_are_a_list_are_named(tmp_path: Path) -> None:
    start, rest = INTERPRETER.split("          properties:\n")
    path = tmp_path / "tools.yaml"
    path.write_text(f"{start}          properties: [code]\n          required: {rest.split('required: ')[1]}")
    with pytest.raises(ConfigError, match=r"properties is \['code'\]: give a mapping"):
        check_tools(str(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            INTERPRETER.replace("  code:", "  source:").replace("[code]", "[source]"),
            "unknown key 'source' in .*code",
        ),
        (
            DEBUGGER.replace("  commands:", "  command:").replace("[commands]", "[command]"),
            "unknown key 'command' in",
        ),
        (DEBUGGER.split("            commands:")[0] + "          required: []\n", "lacks 'commands'"),
    ],
)
def test_an_argument_that_the_tool_does_not_know_is_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "tools.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        check_tools(str(path))


def test_what_is_wrong_with_one_of_several_tools_begins_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "tools.yaml"
    path.write_text(DEBUGGER.replace("window: 3", "window: 0"))
    with pytest.raises(ConfigError, match=r"tools.yaml: python_debugger: config.window=0: use"):
        check_tools(str(path))


def test_a_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"TOOLS: .* is a folder: name a file"):
        check_tools(str(tmp_path))


def test_two_tools_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "tools.yaml"
    path.write_text(INTERPRETER + INTERPRETER.split("tools:\n")[1])
    with pytest.raises(ConfigError, match="two tools are named 'python_interpreter'"):
        check_tools(str(path))


def test_the_check_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    check_tools(str(TOOL_FILES[0]))
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("text", ["tools: []", "tools:", "tools: {}"])
def test_a_file_without_a_tool_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "tools.yaml"
    path.write_text(text + "\n")
    with pytest.raises(ConfigError, match="tools has no entry"):
        check_tools(str(path))


def test_an_output_longer_than_verls_own_cut_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tools.yaml"
    path.write_text(INTERPRETER)
    check_tools(str(path), 4096)
    with pytest.raises(ConfigError, match=r"config.max_output_chars=4096: .*max_tool_response_length=1000"):
        check_tools(str(path), 1000)
