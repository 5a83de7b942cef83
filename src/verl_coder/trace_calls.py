"""The calls of a trace: those that a rollout would find in its turns, answered one by one as a rollout answers them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from verl_coder.agent_loops.tool_calls import CallMistake, call_texts, check_call, read_call, surplus
from verl_coder.protocols import Tags, describes_tools, find_program
from verl_coder.trace_messages import TraceError, answered_with, is_learnt
from verl_coder.words import counted

Mistakes = Callable[[Mapping[str, Any], str], Sequence[str]]
"""(message, text of the turn) -> what is wrong with each call that a rollout finds; empty for one that it runs."""
_ERROR = "Error: "


def check_calls(
    messages: Sequence[Mapping[str, Any]], agent_name: str, texts: Mapping[int, str], mistakes: Mistakes
) -> None:
    """TraceError where a turn's calls are not what a rollout of the agent loop would answer so.

    `texts`: what the policy would have to generate, by the number of the assistant's message.
    """
    _, protocol = answered_with(agent_name)
    if protocol.in_turn and protocol.tags:
        _check_programs(texts, protocol.tags, last=len(messages) - 1)
    elif describes_tools(agent_name):
        for number, text in texts.items():
            _check_turn(messages, number, mistakes(messages[number], text))


def hermes_mistakes(parameters: Mapping[str, Mapping[str, Any]]) -> Mistakes:
    """Of calls in hermes form and in `tool_calls`.

    `parameters`: JSON schema of the arguments by the tool's name; empty where no tool is known.
    """

    def found(message: Mapping[str, Any], text: str) -> list[str]:
        tags = answered_with("")[1].tags
        assert tags is not None
        functions = [call["function"] for call in message.get("tool_calls") or ()]
        mistakes = [_mistake(str(one["name"]), one["arguments"], parameters) for one in functions]
        # The template writes structured calls in a form of its own.
        written = str(message.get("content") or "") if functions else text
        return mistakes + [_mistake_of_text(one, parameters) for one in call_texts(written, tags)]

    return found


def _mistake_of_text(text: str, parameters: Mapping[str, Mapping[str, Any]]) -> str:
    try:
        return _mistake(*read_call(text), parameters)
    except CallMistake as mistake:
        return str(mistake)


def _mistake(name: str, arguments: Mapping[str, Any], parameters: Mapping[str, Mapping[str, Any]]) -> str:
    try:
        if parameters:
            check_call(name, arguments, parameters)
    except CallMistake as mistake:
        return str(mistake)
    return ""


def _check_turn(messages: Sequence[Mapping[str, Any]], number: int, mistakes: Sequence[str]) -> None:
    """TraceError unless the messages behind a turn answer its calls."""
    if number == len(messages) - 1:
        if mistakes:
            raise TraceError(
                f"message {number} ends the conversation with a call that no tool answers: end it with the answer"
            )
        return
    behind = next(
        (n for n in range(number + 1, len(messages)) if messages[n]["role"] != "tool"), len(messages)
    )
    answers = [str(message.get("content") or "") for message in messages[number + 1 : behind]]
    if not mistakes:
        raise TraceError(
            f"a tool answers message {number}, in which the rollout's parser (multi_turn.format) finds no tool call: "
            "write calls in hermes form or as tool_calls; those of another format are for another model"
        )
    if len(answers) < len(mistakes) and answers[-1] == f"{_ERROR}{surplus(len(answers) - 1, len(mistakes))}":
        mistakes = mistakes[: len(answers)]
    if len(answers) != len(mistakes):
        raise TraceError(
            f"message {number} has {counted(len(mistakes), 'call')}, and a tool answers it with "
            f"{counted(len(answers), 'message')}: a rollout answers each call with one"
        )
    for place, (mistake, answer) in enumerate(zip(mistakes, answers, strict=True), start=number + 1):
        if mistake and is_learnt(messages[number]) and not answer.startswith(_ERROR.rstrip()):
            raise TraceError(
                f"message {number} has a call that a rollout answers with `{_ERROR}{mistake}`, and message {place} is "
                "another answer: mend the call, or give its message weight 0"
            )


def _check_programs(texts: Mapping[int, str], tags: Tags, *, last: int) -> None:
    """TraceError unless each turn but the last ends with its program, and none holds another one."""
    for number, text in texts.items():
        if tags.end_call in (text if number == last else text.removesuffix(tags.end_call)):
            raise TraceError(
                f"message {number} has {tags.end_call} "
                f"{'and no answer of a tool behind it' if number == last else 'twice'}: a rollout's turn ends there"
            )
        if number != last and find_program(text, tags) is None:
            raise TraceError(
                f"message {number} ends with {tags.end_call}, and no {tags.call} stands before it"
            )
