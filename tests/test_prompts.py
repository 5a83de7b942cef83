"""Prompts: what is shown, in each language and protocol."""

from typing import get_args

import pytest

from verl_coder.errors import ConfigError
from verl_coder.prompts import build_prompt, system_prompt, without_tool
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
