"""Prompts: what is shown, in each language and protocol."""

from typing import get_args

import pytest

from verl_coder.errors import ConfigError
from verl_coder.prompts import (
    build_prompt,
    system_prompt,
    visible_tests_of,
    without_tool,
    without_visible_tests,
)
from verl_coder.protocols import PROTOCOLS, Language


@pytest.mark.parametrize("language", get_args(Language))
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_system_prompt_asks_for_thought_and_one_code_block(language, protocol) -> None:
    text = system_prompt(language=language, protocol=protocol)
    assert "<think>" in text and "```python" in text
    assert ("python_interpreter" in text) == (protocol == "tool" or protocol.startswith("debugger"))
    assert ("</program>" in text) == protocol.startswith("program")
    assert PROTOCOLS[protocol].agent_name


@pytest.mark.parametrize("language", get_args(Language))
def test_the_one_shot_prompt_is_the_zero_shot_prompt_and_an_example(language) -> None:
    zero = system_prompt(language=language, protocol="program")
    one = system_prompt(language=language, protocol="program_one_shot")
    assert one.startswith(zero)
    assert "<output>\n1\n</output>" in one and one.endswith("```")


def test_the_worked_example_prints_what_it_says() -> None:
    import contextlib
    import io
    import re

    for language in get_args(Language):
        text = system_prompt(language=language, protocol="program_one_shot")
        text = text[text.index("count_vowels") :]
        turns = re.findall(r"<program>\n(.*?)</program>\n<output>\n(.*?)</output>", text, re.DOTALL)
        assert len(turns) == 2
        for program, output in turns:
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(program, {})
            assert printed.getvalue() == output


def test_visible_examples_are_in_the_prompt_as_they_are() -> None:
    _, user = build_prompt("Add.", style="assert", examples=["assert add(1, 2) == 3"], entry_point="add")
    assert user["content"].endswith("assert add(1, 2) == 3")
    assert "Name the function" not in user["content"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_visible_tests_can_be_left_out_again(language) -> None:
    tests = ["t = [1,\n     2]", "assert add(*t) == 3", "assert add(\n  1, 1) == 2"]

    def prompt(examples: list[str]):
        return build_prompt("Add.", style="assert", language=language, examples=examples, entry_point="add")

    assert without_visible_tests(prompt(tests), [tests[1]]) == prompt([tests[0], tests[2]])
    assert without_visible_tests(prompt(tests), ["assert add(1, 1) == 2"]) == prompt(tests)
    assert without_visible_tests(prompt(tests), tests[1:], entry_point="add") == prompt([])
    code = 'def add(a, b):\n    """Add.\n    >>> add(1, 1)\n    3\n    >>> add(1, 2)\n    3\n    """\n'
    docstring = "Add.\n>>> add(1, 1)\n3\n>>> add(1, 2)\n3"
    posed = build_prompt(docstring, style="check", language=language, starter_code=code)
    left = without_visible_tests(posed, ["assert add(1, 1) == 3"])
    assert visible_tests_of(left) == "assert add(1, 2) == 3" and left[0] == posed[0]
    assert "add(1, 1)" not in left[1]["content"] and left[1]["content"].count("add(1, 2)") == 2


def test_the_function_is_named_where_nothing_else_shows_its_name() -> None:
    _, user = build_prompt("Add.", style="function", entry_point="add")
    assert "`add`" in user["content"]


def test_a_program_is_told_where_its_input_comes_from() -> None:
    _, user = build_prompt("加。", style="stdio", language="zh")
    assert "标准输入" in user["content"]


def test_an_unknown_protocol_is_named() -> None:
    with pytest.raises(ConfigError, match=r"'xml'.*program_one_shot"):
        system_prompt(protocol="xml")
    with pytest.raises(ConfigError, match="'fr'"):
        build_prompt("x", style="stdio", language="fr")  # type: ignore[arg-type]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_prompt_without_its_tool_is_that_of_the_protocol_none(language) -> None:
    offered, plain = (
        build_prompt("Add.", style="assert", language=language, protocol=protocol, entry_point="add")
        for protocol in ("tool", "none")
    )
    assert without_tool(offered) == plain
    with pytest.raises(ConfigError, match="not that of a protocol with tools"):
        without_tool(plain)
