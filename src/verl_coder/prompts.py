"""The unified prompt, in two languages; what a tool protocol adds to it stands in protocols.py."""

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from verl_coder.docstring_examples import asserts_in, without_asserts, without_examples
from verl_coder.errors import ConfigError
from verl_coder.problems import Message, Style
from verl_coder.protocols import PROTOCOLS, Language, ToolProtocol, find_protocol
from verl_coder.syntax import statements


@dataclass(frozen=True, kw_only=True)
class _Texts:
    """What is said to the model in one language, whatever the protocol."""

    system: str
    stdio: str
    tests: str
    name: str
    starter: str


_TEXTS: dict[Language, _Texts] = {
    "en": _Texts(
        system=(
            "You are an expert Python programmer. First think about the problem between <think> and </think>. "
            "Then give your final answer: one complete Python program or function in a single ```python code "
            "block, and no other code block after it."
        ),
        stdio="Write a program that reads from standard input and prints to standard output.",
        tests="Your code should satisfy these tests:",
        name="Name the function `{}`.",
        starter="Complete this code:",
    ),
    "zh": _Texts(
        system=(
            "你是一名 Python 编程专家。请先在 <think> 和 </think> 之间思考问题，"
            "然后给出最终答案：把完整的 Python 程序或函数放在唯一的一个 ```python 代码块中，其后不要再有其他代码块。"
        ),
        stdio="请编写一个从标准输入读取、向标准输出打印的程序。",
        tests="你的代码应当通过以下测试：",
        name="函数名应为 `{}`。",
        starter="请补全以下代码：",
    ),
}


def build_prompt(
    statement: str,
    *,
    style: Style,
    language: Language = "en",
    protocol: str = "tool",
    examples: Sequence[str] = (),
    starter_code: str = "",
    entry_point: str = "",
) -> tuple[Message, ...]:
    """System and user message of a problem; `examples` are the visible tests, shown as they are.

    `entry_point` is named only where neither an example nor the starter code shows it. ConfigError for an
    unknown language or protocol.
    """
    texts = _texts(language)
    parts = [statement.strip()]
    if style == "stdio":
        parts.append(texts.stdio)
    if starter_code.strip():
        parts.append(f"{texts.starter}\n```python\n{starter_code.rstrip()}\n```")
    elif entry_point and not any(entry_point in example for example in examples):
        parts.append(texts.name.format(entry_point))
    if examples:
        parts.append(texts.tests + "\n" + "\n".join(examples))
    return (
        {"role": "system", "content": system_prompt(language=language, protocol=protocol)},
        {"role": "user", "content": "\n\n".join(parts)},
    )


def system_prompt(*, language: Language = "en", protocol: str = "tool") -> str:
    """The system message alone: the unified prompt and the protocol's part of it."""
    texts = _texts(language)
    return "\n\n".join([texts.system, *find_protocol(protocol).prompt(language)])


def without_tool(prompt: Sequence[Message]) -> tuple[Message, ...]:
    """A prompt that `build_prompt` made for any protocol, as it makes it where no tool is on offer.

    ConfigError where the prompt has another system message.
    """
    first, *rest = prompt
    known = known_system(prompt)
    if known is None or find_protocol(known[0]).tags is None:
        raise ConfigError(f"its prompt is not that of a protocol with tools: {first['content'][:60]!r}...")
    return ({**first, "content": system_prompt(language=known[1], protocol="none")}, *rest)


def known_system(prompt: Sequence[Message]) -> tuple[str, Language] | None:
    """(protocol, language) whose system message a prompt begins with; None where that is none of ours."""
    first = prompt[0] if prompt else {}
    return _systems().get(str(first.get("content"))) if first.get("role") == "system" else None


def protocol_of(agent_name: str, prompt: Sequence[Message]) -> ToolProtocol | None:
    """The protocol of a row: its prompt says which where several have its agent loop; None for an unknown loop."""
    spoken = [protocol for protocol in PROTOCOLS.values() if protocol.agent_name == agent_name]
    known = known_system(prompt)
    return next((one for one in spoken if known and one.name == known[0]), spoken[0] if spoken else None)


@cache
def _systems() -> dict[str, tuple[str, Language]]:
    found: dict[str, tuple[str, Language]] = {}
    for language in _TEXTS:
        for name, protocol in PROTOCOLS.items():
            if not protocol.instructions or language in protocol.instructions:
                found.setdefault(system_prompt(language=language, protocol=name), (name, language))
    return found


def _texts(language: Language) -> _Texts:
    if language not in _TEXTS:
        raise ConfigError(f"language is {language!r}; it must be one of {', '.join(_TEXTS)}")
    return _TEXTS[language]


def _user_text(prompt: Sequence[Message]) -> str:
    return next((message["content"] for message in prompt if message["role"] == "user"), "")


def statement_of(prompt: Sequence[Message]) -> str:
    """The statement in a prompt that `build_prompt` made: the user message up to what the template adds."""
    text = _user_text(prompt)
    added = [
        start
        for texts in _TEXTS.values()
        for start in (
            texts.stdio,
            f"{texts.tests}\n",
            f"{texts.starter}\n",
            texts.name.partition("{}")[0],
        )
    ]
    ends = [at for start in added if (at := text.find(f"\n\n{start}")) >= 0]
    return text[: min(ends)] if ends else text


def question_of(prompt: Sequence[Message]) -> str:
    """The statement in a prompt without the examples that stand in its starter code's docstring, too."""
    statement = statement_of(prompt)
    return without_examples(statement) if ">>>" in _user_text(prompt)[len(statement) :] else statement


def visible_tests_of(prompt: Sequence[Message]) -> str:
    """The visible tests in a prompt that `build_prompt` made, as asserts; empty where it shows none.

    Where the prompt has no tests apart, they are the examples in the docstring of its starter code (HumanEval).
    """
    text = _user_text(prompt)
    # The tests come last, and a statement may quote the same words.
    if tests := _after_last(text, [f"\n\n{texts.tests}\n" for texts in _TEXTS.values()]):
        return tests
    starter = _after_last(text, [f"\n\n{texts.starter}\n```python\n" for texts in _TEXTS.values()])
    return "\n".join(asserts_in(starter.removesuffix("\n```")))


def without_visible_tests(
    prompt: Sequence[Message], tests: Sequence[str], *, entry_point: str = ""
) -> tuple[Message, ...]:
    """A prompt that `build_prompt` made, without these of its visible tests: what `visible_tests_of` says of it.

    The last of them takes the sentence about tests along, and the function is named as where none is shown. An example
    of a docstring goes wherever the message quotes it.
    """
    text = _user_text(prompt)
    shown = visible_tests_of(prompt)
    for texts in _TEXTS.values():
        start = f"\n\n{texts.tests}\n"
        if shown and text.endswith(f"{start}{shown}"):
            before, left = text[: -len(start + shown)], _without_statements(shown, tests)
            name = f"\n\n{texts.name.format(entry_point)}" if entry_point else ""
            text = f"{before}{start}{left}" if left else f"{before}{name}"
            break
    else:
        text = without_asserts(text, tests)
    return tuple({**message, "content": text} if message["role"] == "user" else message for message in prompt)


def _without_statements(shown: str, tests: Sequence[str]) -> str:
    """Tests without these; empty where no assert is left."""
    left = [(node, source) for node, source in statements(shown) if source not in tests]
    return (
        "\n".join(source for _, source in left)
        if any(isinstance(node, ast.Assert) for node, _ in left)
        else ""
    )


def _after_last(text: str, starts: Sequence[str]) -> str:
    """What stands behind the last of these; empty where there is none."""
    end = max(at + len(start) if (at := text.rfind(start)) >= 0 else -1 for start in starts)
    return text[end:] if end >= 0 else ""
