"""Every prompt of the project: the unified prompt in two languages, and what each tool protocol adds to it.

A protocol says how the model may run code before it answers:
`none` (it may not), `tool` (an OpenAI function call, whose schema the chat template renders), `program`
(text between <program> tags), `program_one_shot` (the same, with one worked example).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from verl_coder.errors import ConfigError
from verl_coder.problems import Message, Style

Language = Literal["en", "zh"]
Protocol = Literal["none", "tool", "program", "program_one_shot"]

AGENT_NAMES: dict[Protocol, str] = {
    "none": "single_turn_agent",
    "tool": "tool_agent",
    "program": "program_agent",
    "program_one_shot": "program_agent",
}
"""Agent loop that speaks each protocol."""


@dataclass(frozen=True, kw_only=True)
class _Texts:
    """All that is said to the model in one language; the worked example's words stand around one program."""

    system: str
    tool: str
    program: str
    example: str
    """Heading and statement of the worked example."""
    example_thoughts: tuple[str, str]
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
        tool=(
            "Before you answer you may call the function python_interpreter with a program in `code`; you get "
            "back what it prints. Every call starts afresh, so include all the code that it needs. Use it to try "
            "your solution on the examples, and mend it where it fails."
        ),
        program=(
            "Before you answer you may run Python programs. Write a program between <program> and </program> and "
            "stop; what it prints comes back between <output> and </output>. Every program starts afresh, so "
            "include all the code that it needs. Use it to try your solution on the examples, and mend it where "
            "it fails. A <program> is not the answer: the answer is the final ```python code block."
        ),
        example=("An example.\n\nProblem: Write a function to count the vowels in a string, in either case."),
        example_thoughts=(
            'I count the letters that are in "aeiou" and try it on the example.',
            "The capital A was missed, so I compare in lower case.",
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
        tool=(
            "在回答之前，你可以调用函数 python_interpreter，参数 `code` 是一段程序，返回值是它打印的内容。"
            "每次调用都从头开始，因此要包含所需的全部代码。请用它在示例上试运行你的解法，出错就修正。"
        ),
        program=(
            "在回答之前，你可以运行 Python 程序。把程序写在 <program> 和 </program> 之间，然后停下；"
            "它打印的内容会放在 <output> 和 </output> 之间返回。每个程序都从头开始，因此要包含所需的全部代码。"
            "请用它在示例上试运行你的解法，出错就修正。<program> 不是答案：答案是最后的 ```python 代码块。"
        ),
        example="示例：\n\n题目：编写一个函数，统计字符串中元音字母的个数，不区分大小写。",
        example_thoughts=(
            '统计属于 "aeiou" 的字母，并在示例上试一试。',
            "漏掉了大写的 A，所以应按小写比较。",
        ),
        stdio="请编写一个从标准输入读取、向标准输出打印的程序。",
        tests="你的代码应当通过以下测试：",
        name="函数名应为 `{}`。",
        starter="请补全以下代码：",
    ),
}


def _worked_example(texts: _Texts) -> str:
    """A wrong program, its output, the right one, its output, the answer."""
    wrong, right = (
        f'def count_vowels(text):\n    return sum(c in "aeiou" for c in {letters})'
        for letters in ("text", "text.lower()")
    )
    turns = (
        f'<think>{thought}</think>\n<program>\n{code}\n\nprint(count_vowels("Apple"))\n</program>\n'
        f"<output>\n{printed}\n</output>\n"
        for thought, code, printed in zip(texts.example_thoughts, (wrong, right), (1, 2), strict=True)
    )
    test = 'assert count_vowels("Apple") == 2'
    return f"{texts.example}\n{test}\n\n{''.join(turns)}```python\n{right}\n```"


def build_prompt(
    statement: str,
    *,
    style: Style,
    language: Language = "en",
    protocol: Protocol = "tool",
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


def system_prompt(*, language: Language = "en", protocol: Protocol = "tool") -> str:
    """The system message alone: the unified prompt and the protocol's part of it."""
    texts = _texts(language)
    if protocol not in get_args(Protocol):
        raise ConfigError(f"protocol is {protocol!r}; it must be one of {', '.join(get_args(Protocol))}")
    parts = [texts.system]
    if protocol == "tool":
        parts.append(texts.tool)
    elif protocol in ("program", "program_one_shot"):
        parts.append(texts.program)
    if protocol == "program_one_shot":
        parts.append(_worked_example(texts))
    return "\n\n".join(parts)


def _texts(language: Language) -> _Texts:
    if language not in _TEXTS:
        raise ConfigError(f"language is {language!r}; it must be one of {', '.join(_TEXTS)}")
    return _TEXTS[language]


def statement_of(prompt: Sequence[Message]) -> str:
    """The statement in a prompt that `build_prompt` made: the user message up to what the template adds."""
    text = next((message["content"] for message in prompt if message["role"] == "user"), "")
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
