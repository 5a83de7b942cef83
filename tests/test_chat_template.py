"""The chat template's options: one run, one text of a conversation, whoever renders it."""

import ast

from omegaconf import OmegaConf

from verl_coder.chat_template import options_of_run
from verl_coder.paths import repository_root

WITHOUT_OPTIONS = {"tiny/measure.py"}
"""The tiny model's own template, which has none."""


def test_whoever_renders_a_conversation_hands_on_the_options() -> None:
    source = repository_root() / "src" / "verl_coder"
    found = {
        f"{path.relative_to(source)}"
        for path in source.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "apply_chat_template"
        and all(keyword.arg for keyword in node.keywords)
    }
    assert found == WITHOUT_OPTIONS


def test_the_options_of_a_run_are_plain_values() -> None:
    options = {"enable_thinking": False, "documents": [{"title": "a"}]}
    config = OmegaConf.create({"data": {"apply_chat_template_kwargs": options}})
    assert options_of_run(config) == options
    assert type(options_of_run(config)["documents"][0]) is dict
    assert options_of_run(OmegaConf.create({"data": {}})) == {}
