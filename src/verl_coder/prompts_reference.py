"""docs/prompts.md: what the model is told, word for word, from the texts of the prompts, the protocols and the tools.

python -m verl_coder.prompts_reference                # write docs/prompts.md
python -m verl_coder.prompts_reference --check        # say whether it is up to date
"""

import sys
from collections.abc import Iterator, Sequence

import yaml

from verl_coder.errors import ConfigError
from verl_coder.files import write_generated
from verl_coder.paths import repository_root
from verl_coder.prompts import build_prompt, system_prompt
from verl_coder.protocols import PROTOCOLS, Language

_INTRO = """# Prompts

What a model is told, word for word: made from the code by `python -m verl_coder.prompts_reference`; a test says when
it is out of date. The texts stand in [prompts.py](../src/verl_coder/prompts.py) and, for what a protocol adds, in
[protocols.py](../src/verl_coder/protocols.py). `verl-coder data prepare mbpp --language zh --out data/mbpp_zh` writes
them into the rows; a changed text needs the rows prepared anew. The chat template of the model adds the descriptions of
the tools (below), and its own marks around the turns.
"""
_LANGUAGES: dict[Language, str] = {"en": "English", "zh": "Chinese"}
_STATEMENT = {"en": "Write a function to add two numbers.", "zh": "编写一个函数，求两数之和。"}


def reference() -> str:
    """The whole page."""
    parts = [_INTRO, *_protocols()]
    for language, word in _LANGUAGES.items():
        parts.append(f"## {word}\n")
        plain = system_prompt(language=language, protocol="none")
        parts += ["### The system message\n", "Of every protocol, and all of it of `none`:\n", _quoted(plain)]
        for name in PROTOCOLS:
            added = system_prompt(language=language, protocol=name).removeprefix(plain).strip()
            if added:
                parts += [f"### `{name}` adds\n", _quoted(added)]
        parts += ["### The user's message\n", *_examples(language)]
    parts += ["## Tools\n", *_tools()]
    return "\n".join(parts)


def _protocols() -> Iterator[str]:
    yield "## Protocols\n"
    yield "| `--protocol` | agent loop | a call stands between | its result between |\n| --- | --- | --- | --- |"
    for name, protocol in PROTOCOLS.items():
        tags = protocol.tags
        call = f"`{tags.call}` `{tags.end_call}`" if tags and tags.call else "-"
        result = f"`{tags.result}` `{tags.end_result}`" if tags else "-"
        yield f"| `{name}` | `{protocol.agent_name}` | {call} | {result} |"
    yield ""


def _examples(language: Language) -> Iterator[str]:
    """A user's message of each form of hidden tests that its wording depends on."""
    statement = _STATEMENT[language]
    yield "With visible tests (MBPP):\n"
    tests = build_prompt(statement, style="assert", language=language, examples=["assert add(1, 2) == 3"])
    yield _quoted(tests[1]["content"])
    yield "A program that reads standard input (APPS, LiveCodeBench):\n"
    yield _quoted(build_prompt(statement, style="stdio", language=language)[1]["content"])
    yield "With code to begin from (LeetCode):\n"
    code = "class Solution:\n    def add(self, a, b):"
    yield _quoted(build_prompt(statement, style="check", language=language, starter_code=code)[1]["content"])
    yield "With nothing that shows the function's name:\n"
    named = build_prompt(statement, style="function", language=language, entry_point="add")
    yield _quoted(named[1]["content"])


def _tools() -> Iterator[str]:
    yield "The descriptions that the YAML files of tool_config/ give.\n"
    for path in sorted((repository_root() / "tool_config").glob("*.yaml")):
        for tool in yaml.safe_load(path.read_text(encoding="utf-8"))["tools"]:
            function = tool["tool_schema"]["function"]
            yield f"### `{path.stem}`: `{function['name']}`\n"
            lines = [str(function["description"]).strip()]
            for name, argument in function["parameters"]["properties"].items():
                lines.append(f"{name} ({argument['type']}): {str(argument.get('description', '')).strip()}")
            yield _quoted("\n".join(lines))


def _quoted(text: str) -> str:
    """A block of text that may hold fences of three backticks itself."""
    return f"````text\n{text}\n````\n"


def main(arguments: Sequence[str]) -> None:
    """Write docs/prompts.md, or with --check say whether it is what would be written."""
    page = repository_root() / "docs" / "prompts.md"
    write_generated(page, reference(), "python -m verl_coder.prompts_reference", arguments)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ConfigError as error:
        sys.exit(f"error: {error}")
