"""Tool protocols: how a model may run code before it answers. An entry of `PROTOCOLS` owns one whole.

Prompts, extraction, the agent loops and the masks read it from here, in every process of a run. A new protocol is
an entry of `PROTOCOLS` and, for its agent loop, a line of `config/agent_loops.yaml`.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from verl_coder.errors import ConfigError
from verl_coder.words import did_you_mean

Language = Literal["en", "zh"]


class Tags(NamedTuple):
    """How a turn stands in decoded text: around what the model asks to run, and around what comes back."""

    call: str
    """Empty, as the next, where nothing is called: what comes back answers a whole turn."""
    end_call: str
    result: str
    end_result: str


@dataclass(frozen=True, kw_only=True)
class ToolProtocol:
    """One way to run code: what the model is told, which agent loop listens, which tags its turns carry."""

    name: str
    """As `--protocol` and `build_prompt` take it."""
    agent_name: str
    """The agent loop of its rows: verl's own, or a name in `config/agent_loops.yaml` (which gives the class)."""
    tags: Tags | None = None
    """None where the model has one turn. Protocols of one agent loop have the same tags."""
    tools: str | None = None
    """Its YAML of `tool_config/`, where none is named; None where it has no tools."""
    in_turn: bool = False
    """What comes back is appended to the model's own turn; else the chat template makes a turn of it."""
    instructions: Mapping[Language, str] = field(default_factory=dict)
    """Added to the system prompt; `{call}`, `{end_call}`, `{result}` and `{end_result}` are its tags."""
    example: Mapping[Language, tuple[str, str, str]] = field(default_factory=dict)
    """Words of the worked example: its problem, the thought before the wrong program, and before the right one."""

    def prompt(self, language: Language) -> list[str]:
        """Paragraphs for the system prompt; ConfigError where the protocol has none in `language`."""
        if not self.instructions:
            return []
        if language not in self.instructions:
            raise ConfigError(f"protocol {self.name!r} has no instructions in language {language!r}")
        paragraphs = [self.instructions[language].format(**self.tags._asdict() if self.tags else {})]
        if self.tags and language in self.example:
            paragraphs.append(_worked_example(*self.example[language], self.tags))
        return paragraphs

    def has_call(self, turn: str) -> bool:
        """Whether a turn of the model holds a whole call, which makes it no void turn."""
        opened = turn.rfind(self.tags.call) if self.tags and self.tags.call else -1
        return self.tags is not None and opened >= 0 and self.tags.end_call in turn[opened:]


def _worked_example(problem: str, first_thought: str, second_thought: str, tags: Tags) -> str:
    """A wrong program, its output, the right one, its output, the answer."""
    wrong, right = (
        f'def count_vowels(text):\n    return sum(c in "aeiou" for c in {letters})'
        for letters in ("text", "text.lower()")
    )
    turns = (
        f'<think>{thought}</think>\n{tags.call}\n{code}\n\nprint(count_vowels("Apple"))\n{tags.end_call}\n'
        f"{tags.result}\n{printed}\n{tags.end_result}\n"
        for thought, code, printed in ((first_thought, wrong, 1), (second_thought, right, 2))
    )
    test = 'assert count_vowels("Apple") == 2'
    return f"{problem}\n{test}\n\n{''.join(turns)}```python\n{right}\n```"


_HERMES = Tags("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>")
"""The form which the chat template renders from an OpenAI function call."""
_PROGRAM = ToolProtocol(
    name="program",
    agent_name="program_agent",
    tools="python_interpreter.yaml",
    tags=Tags("<program>", "</program>", "<output>", "</output>"),
    in_turn=True,
    instructions={
        "en": (
            "Before you answer you may run Python programs. Write a program between {call} and {end_call} "
            "and stop; what it prints comes back between {result} and {end_result}. Every program starts "
            "afresh, so include all the code that it needs. Use it to try your solution on the examples, and mend "
            "it where it fails. A {call} is not the answer: the answer is the final ```python code block."
        ),
        "zh": (
            "在回答之前，你可以运行 Python 程序。把程序写在 {call} 和 {end_call} 之间，然后停下；"
            "它打印的内容会放在 {result} 和 {end_result} 之间返回。"
            "每个程序都从头开始，因此要包含所需的全部代码。"
            "请用它在示例上试运行你的解法，出错就修正。{call} 不是答案：答案是最后的 ```python 代码块。"
        ),
    },
)

_FEEDBACK = ToolProtocol(
    name="feedback",
    agent_name="feedback_agent",
    tools="feedback.yaml",
    tags=Tags("", "", "<feedback>", "</feedback>"),
    instructions={
        "en": (
            "Your answer is run on the tests of the problem. Where one fails, you are told between {result} and "
            "{end_result} what it gave: find the mistake, and answer again with the whole corrected code."
        ),
        "zh": (
            "你的答案会在题目给出的测试上运行。如有测试失败，{result} 和 {end_result} 之间会给出实际结果："
            "请找出错误，并再次给出完整的、修正后的代码。"
        ),
    },
)
_DEBUGGER = ToolProtocol(
    name="debugger",
    agent_name="debugger_agent",
    tools="python_debugger.yaml",
    tags=_HERMES,
    instructions={
        "en": (
            "Before you answer you may call functions. python_interpreter runs a program in `code` and gives "
            "back what it prints. python_debugger runs your solution in `code` under a debugger, with the "
            "examples behind it: `commands` are those of gdb, one a line (break LINE if CONDITION, run, next, "
            "step, continue, print EXPRESSION, where, up). It stops where an example fails, and stays there "
            "until the next call. Use them to find out why your solution fails, and mend it."
        ),
        "zh": (
            "在回答之前，你可以调用函数。python_interpreter 运行 `code` 中的程序并返回它打印的内容。"
            "python_debugger 在调试器中运行 `code` 中的解法，后面接着示例：`commands` 是 gdb 的命令，每行一条"
            "（break 行号 if 条件、run、next、step、continue、print 表达式、where、up）。"
            "它会停在示例出错的地方，并保持到下一次调用。请用它们找出解法出错的原因并修正。"
        ),
    },
)
PROTOCOLS: Mapping[str, ToolProtocol] = {
    protocol.name: protocol
    for protocol in (
        ToolProtocol(name="none", agent_name="single_turn_agent"),
        ToolProtocol(
            name="tool",
            agent_name="tool_agent",
            tools="python_interpreter.yaml",
            tags=_HERMES,
            instructions={
                "en": (
                    "Before you answer you may call the function python_interpreter with a program in `code`; you "
                    "get back what it prints. Every call starts afresh, so include all the code that it needs. Use "
                    "it to try your solution on the examples, and mend it where it fails."
                ),
                "zh": (
                    "在回答之前，你可以调用函数 python_interpreter，参数 `code` 是一段程序，返回值是它打印的内容。"
                    "每次调用都从头开始，因此要包含所需的全部代码。请用它在示例上试运行你的解法，出错就修正。"
                ),
            },
        ),
        ToolProtocol(
            name="session",
            agent_name="session_agent",
            tools="python_session.yaml",
            tags=_HERMES,
            instructions={
                "en": (
                    "Before you answer you may call the function python_session with Python code in `code`; you get "
                    "back what it prints and the value of a last expression. It is one live interpreter: variables, "
                    "functions and open files of earlier calls are still there, so send only what is new. Use it to "
                    "try your solution on the examples, and mend it where it fails."
                ),
                "zh": (
                    "在回答之前，你可以调用函数 python_session，参数 `code` 是一段 Python 代码，返回值是它打印的"
                    "内容和最后一个表达式的值。它是同一个持续运行的解释器：之前调用中的变量、函数和打开的文件都还在，"
                    "因此只需发送新的代码。请用它在示例上试运行你的解法，出错就修正。"
                ),
            },
        ),
        _DEBUGGER,
        replace(
            _DEBUGGER,
            name="debugger_late",
            tools="python_debugger_late.yaml",
            instructions={
                "en": _DEBUGGER.instructions["en"] + " python_debugger can be used once a run has failed.",
                "zh": _DEBUGGER.instructions["zh"] + "只有在一次运行失败之后才能使用 python_debugger。",
            },
        ),
        _PROGRAM,
        replace(
            _PROGRAM,
            name="program_one_shot",
            example={
                "en": (
                    "An example.\n\nProblem: Write a function to count the vowels in a string, in either case.",
                    'I count the letters that are in "aeiou" and try it on the example.',
                    "The capital A was missed, so I compare in lower case.",
                ),
                "zh": (
                    "示例：\n\n题目：编写一个函数，统计字符串中元音字母的个数，不区分大小写。",
                    '统计属于 "aeiou" 的字母，并在示例上试一试。',
                    "漏掉了大写的 A，所以应按小写比较。",
                ),
            },
        ),
        _FEEDBACK,
    )
}
"""By name. A completion need not say which protocol it is in, so extraction and masks know the tags of all."""
EVALPLUS = "evalplus"
"""What an evaluation takes beside them: the problem asked for as EvalPlus does."""


def tool_call(name: str, code: str, **arguments: str) -> str:
    """An assistant's call of a tool with `code`, and what else it takes, as `hermes_call` writes it."""
    return hermes_call(name, {"code": code, **arguments})


def hermes_call(name: str, arguments: Mapping[str, object]) -> str:
    """An assistant's call in hermes form, the protocol `tool`'s."""
    tags = PROTOCOLS["tool"].tags
    assert tags is not None
    call = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return f"{tags.call}\n{call}\n{tags.end_call}"


def find_program(text: str, tags: Tags) -> str | None:
    """What stands between the first closing tag and the opening one before it; None where either is missing.

    A Markdown fence right inside the tags is taken off: models put one there by habit.
    """
    before, closed, _ = text.partition(tags.end_call)
    _, opened, program = before.rpartition(tags.call)
    if not (closed and opened):
        return None
    program = inside_fence(program.strip("\n").rstrip())
    return program if program.endswith("\n") else program + "\n"


def inside_fence(code: str) -> str:
    """`code` without the Markdown fence that is its first and its last line; any other as it is."""
    lines = code.strip("\n").rstrip().split("\n")
    fenced = len(lines) > 1 and lines[0].lstrip().startswith("```") and lines[-1].strip() == "```"
    return "".join(f"{line}\n" for line in lines[1:-1]) if fenced else code


def closed_call(text: str, tags: Tags, stop: str | None) -> str:
    """The text with the tag that ends its call: a server that stops at the tag may leave it out of what it answers.

    `stop`: what it says that it stopped at (server_answers.stopped_at); where it says nothing, a call's tag stands at
    the beginning or the end of a line.
    """
    if stop is None:
        lines = [line.strip() for line in text.splitlines()]
        stopped = any(line.startswith(tags.call) or line.endswith(tags.call) for line in lines)
    else:
        stopped = stop == tags.end_call
    if not stopped or tags.call not in text or tags.end_call in text:
        return text
    line_end = "" if text.endswith("\n") else "\n"
    return f"{text}{line_end}{tags.end_call}"


def appended_result(turn: str, output: str, tags: Tags) -> str:
    """What an agent loop with tags appends to a model's turn: the output between the tags of a result."""
    # The token that completes the tag may bring a line end with it.
    line_end = "" if turn.endswith("\n") else "\n"
    return f"{line_end}{tags.result}\n{output}\n{tags.end_result}\n"


def feedback_message(said: str, tags: Tags) -> str:
    """What an agent loop without calls answers a turn with, as a message of the user."""
    return f"{tags.result}\n{said}\n{tags.end_result}"


def answered_turn(tags: Tags) -> re.Pattern[str]:
    """Where such a message begins in decoded text, with what a chat template writes before it.

    Templates differ: a line that ends in a role, a special token, or nothing at all where special tokens were left out.
    """
    header = r"(?:user|### Instruction:)[ \t]*\n\s*|(?:<\|\w+\|>|<｜[^｜\n<>]{1,40}｜>)\s*|(?<=[^\s\"'`(])"
    return re.compile(rf"(?:{header}|(?<=```)|(?<=~~~)){re.escape(tags.result)}(?=\n)")


def quote_closing_tags(text: str) -> str:
    """Text of a tool in which no line begins with a result's closing tag: a program must not end its own result."""
    closing = "|".join(sorted({re.escape(p.tags.end_result) for p in PROTOCOLS.values() if p.tags}))
    # A carriage return ends a line, too, for who reads the answer.
    return re.sub(rf"(?:^|(?<=\r))([ \t]*)(?={closing})", r"\1\\", text, flags=re.M)


def find_protocol(name: str) -> ToolProtocol:
    """The protocol of that name; ConfigError names the nearest, else those there are."""
    if name not in PROTOCOLS:
        raise ConfigError(f"no protocol {name!r}; {did_you_mean(name, PROTOCOLS)}")
    return PROTOCOLS[name]


def appended_tags(agent_name: str) -> Tags | None:
    """The tags of an agent loop that appends results to the model's own turn; None for any other name."""
    for protocol in PROTOCOLS.values():
        if protocol.agent_name == agent_name and protocol.in_turn:
            return protocol.tags
    return None


def describes_tools(agent_name: str) -> bool:
    """Whether the chat template describes the run's tools in this agent loop's prompts; True for an unknown name."""
    spoken = [protocol for protocol in PROTOCOLS.values() if protocol.agent_name == agent_name]
    return not spoken or any(p.tags and p.tags.call and not p.in_turn for p in spoken)


def agent_tags(agent_name: str) -> Tags | None:
    """The tags that an agent loop speaks, None where it has one turn; ConfigError unless its protocols say which."""
    found = {protocol.tags for protocol in PROTOCOLS.values() if protocol.agent_name == agent_name}
    if not found:
        raise ConfigError(
            f"no protocol has the agent loop {agent_name!r}: give it an entry of PROTOCOLS in "
            "src/verl_coder/protocols.py, so that the grader tells its programs from the answer"
        )
    if len(found) > 1:
        raise ConfigError(
            f"protocols with different tags have the agent loop {agent_name!r}: name one for each"
        )
    return found.pop()
