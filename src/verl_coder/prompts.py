"""Every prompt of the project: the unified prompt in two languages, and what each tool protocol adds to it.

A protocol says how the model may run code before it answers:
`none` (it may not), `tool` (an OpenAI function call, whose schema the chat template renders), `program`
(text between <program> tags), `program_one_shot` (the same, with one worked example).
"""

from collections.abc import Sequence
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

_SYSTEM: dict[Language, str] = {
    "en": (
        "You are an expert Python programmer. First think about the problem between <think> and </think>. "
        "Then give your final answer: one complete Python program or function in a single ```python code "
        "block, and no other code block after it."
    ),
    "zh": (
        "你是一名 Python 编程专家。请先在 <think> 和 </think> 之间思考问题，"
        "然后给出最终答案：把完整的 Python 程序或函数放在唯一的一个 ```python 代码块中，其后不要再有其他代码块。"
    ),
}

_TOOL: dict[Language, str] = {
    "en": (
        "Before you answer you may call the function python_interpreter with a program in `code`; you get "
        "back what it prints. Every call starts afresh, so include all the code that it needs. Use it to try "
        "your solution on the examples, and mend it where it fails."
    ),
    "zh": (
        "在回答之前，你可以调用函数 python_interpreter，参数 `code` 是一段程序，返回值是它打印的内容。"
        "每次调用都从头开始，因此要包含所需的全部代码。请用它在示例上试运行你的解法，出错就修正。"
    ),
}

_PROGRAM: dict[Language, str] = {
    "en": (
        "Before you answer you may run Python programs. Write a program between <program> and </program> and "
        "stop; what it prints comes back between <output> and </output>. Every program starts afresh, so "
        "include all the code that it needs. Use it to try your solution on the examples, and mend it where "
        "it fails. A <program> is not the answer: the answer is the final ```python code block."
    ),
    "zh": (
        "在回答之前，你可以运行 Python 程序。把程序写在 <program> 和 </program> 之间，然后停下；"
        "它打印的内容会放在 <output> 和 </output> 之间返回。每个程序都从头开始，因此要包含所需的全部代码。"
        "请用它在示例上试运行你的解法，出错就修正。<program> 不是答案：答案是最后的 ```python 代码块。"
    ),
}

_ONE_SHOT: dict[Language, str] = {
    "en": """An example.

Problem: Write a function to count the vowels in a string, in either case.
assert count_vowels("Apple") == 2

<think>I count the letters that are in "aeiou" and try it on the example.</think>
<program>
def count_vowels(text):
    return sum(c in "aeiou" for c in text)

print(count_vowels("Apple"))
</program>
<output>
1
</output>
<think>The capital A was missed, so I compare in lower case.</think>
<program>
def count_vowels(text):
    return sum(c in "aeiou" for c in text.lower())

print(count_vowels("Apple"))
</program>
<output>
2
</output>
```python
def count_vowels(text):
    return sum(c in "aeiou" for c in text.lower())
```""",
    "zh": """示例：

题目：编写一个函数，统计字符串中元音字母的个数，不区分大小写。
assert count_vowels("Apple") == 2

<think>统计属于 "aeiou" 的字母，并在示例上试一试。</think>
<program>
def count_vowels(text):
    return sum(c in "aeiou" for c in text)

print(count_vowels("Apple"))
</program>
<output>
1
</output>
<think>漏掉了大写的 A，所以应按小写比较。</think>
<program>
def count_vowels(text):
    return sum(c in "aeiou" for c in text.lower())

print(count_vowels("Apple"))
</program>
<output>
2
</output>
```python
def count_vowels(text):
    return sum(c in "aeiou" for c in text.lower())
```""",
}

_STDIO: dict[Language, str] = {
    "en": "Write a program that reads from standard input and prints to standard output.",
    "zh": "请编写一个从标准输入读取、向标准输出打印的程序。",
}
_EXAMPLES: dict[Language, str] = {
    "en": "Your code should satisfy these tests:",
    "zh": "你的代码应当通过以下测试：",
}
_NAME: dict[Language, str] = {
    "en": "Name the function `{}`.",
    "zh": "函数名应为 `{}`。",
}
_STARTER: dict[Language, str] = {
    "en": "Complete this code:",
    "zh": "请补全以下代码：",
}


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
    parts = [statement.strip()]
    if style == "stdio":
        parts.append(_STDIO[_language(language)])
    if starter_code.strip():
        parts.append(f"{_STARTER[language]}\n```python\n{starter_code.rstrip()}\n```")
    elif entry_point and not any(entry_point in example for example in examples):
        parts.append(_NAME[language].format(entry_point))
    if examples:
        parts.append(_EXAMPLES[language] + "\n" + "\n".join(examples))
    return (
        {"role": "system", "content": system_prompt(language=language, protocol=protocol)},
        {"role": "user", "content": "\n\n".join(parts)},
    )


def system_prompt(*, language: Language = "en", protocol: Protocol = "tool") -> str:
    """The system message alone: the unified prompt and the protocol's part of it."""
    _language(language)
    if protocol not in get_args(Protocol):
        raise ConfigError(f"protocol is {protocol!r}; it must be one of {', '.join(get_args(Protocol))}")
    parts = [_SYSTEM[language]]
    if protocol == "tool":
        parts.append(_TOOL[language])
    elif protocol in ("program", "program_one_shot"):
        parts.append(_PROGRAM[language])
    if protocol == "program_one_shot":
        parts.append(_ONE_SHOT[language])
    return "\n\n".join(parts)


def _language(language: Language) -> Language:
    if language not in get_args(Language):
        raise ConfigError(f"language is {language!r}; it must be one of {', '.join(get_args(Language))}")
    return language


def statement_of(prompt: Sequence[Message]) -> str:
    """The statement in a prompt that `build_prompt` made: the user message up to what the template adds."""
    text = next((message["content"] for message in prompt if message["role"] == "user"), "")
    added = [
        *_STDIO.values(),
        *(f"{value}\n" for value in (*_EXAMPLES.values(), *_STARTER.values())),
        *(value.partition("{}")[0] for value in _NAME.values()),
    ]
    ends = [at for start in added if (at := text.find(f"\n\n{start}")) >= 0]
    return text[: min(ends)] if ends else text
