"""What is wrong with a command line, in one line that names the nearest of what there is."""

import os
import re
from collections.abc import Iterator, Sequence
from typing import Any

from verl_coder.sections import allowed
from verl_coder.words import choose_one, did_you_mean

_NO_COMMAND = re.compile(r"No such command '(.*?)'")
_NO_CHOICE = re.compile(r"is not one of ('.*')")


def explain(error: Any, words: Sequence[str]) -> str:
    """The parser's error of the command line `words`, where the answer is not the help (`help_instead`)."""
    context = getattr(error, "ctx", None)
    message = " ".join(str(getattr(error, "message", "")).split()) or " ".join(error.format_message().split())
    if context is None:
        return message
    command: str = context.command_path
    help_line = f"`{command} --help` shows all"
    if "No such option" in message:
        name = _as_written(error.option_name, words)
        is_group = hasattr(context.command, "list_commands")
        place = f"name one of its commands before options: {help_line}" if is_group else help_line
        hint = did_you_mean(f"--{name.lstrip('-')}", _options(context.command), place)
        return f"{command} has no option {name}; {hint}"
    if found := _NO_COMMAND.search(message):
        return f"{command} has no command {found[1]}; {did_you_mean(found[1], context.command.commands, help_line)}"
    if (written := _value_of(getattr(error, "param", None), words)) is not None:
        return f"{_as_given(*written)}: {_cure(error.param, written[1], message)} ({help_line})"
    return f"{' '.join(error.format_message().split()).rstrip('.')} ({help_line})"


def help_instead(error: Any) -> str:
    """The help, which answers a group that was called without a command; empty for any other error."""
    return str(error.format_message()) if type(error).__name__ == "NoArgsIsHelpError" else ""


def _as_written(name: str, words: Sequence[str]) -> str:
    """The word of the command line that the parser read as `-n` and more letters."""
    return next((word for word in words if not name.startswith("--") and word.startswith(name)), name)


def name_variables(message: str, words: Sequence[str]) -> str:
    """An error that begins with an option; with the variable of run_scripts/ that gave its value, where one did."""
    found = re.match(r"--[a-z][a-z-]*(?![\w=])", message)
    for option, value, _ in _pairs(words) if found else ():
        if found and option == found[0] and os.environ.get(variable := _variable(option)) == value:
            return f"{variable}= ({option}){message[found.end() :]}"
    return message


def _variable(option: str) -> str:
    """`--val-share` -> VAL_SHARE, the name that a script of run_scripts/ has for it."""
    return option.lstrip("-").upper().replace("-", "_")


def _as_given(option: str, value: str, written: str) -> str:
    """`--seed abc` as it was written, or `SEED=abc (--seed)` where that is a variable of the environment."""
    variable = _variable(option)
    return f"{variable}={value} ({option})" if os.environ.get(variable) == value else written


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """Options with their values, and both as they stand on the command line."""
    for word, after in zip(words, (*words[1:], ""), strict=True):
        option, equals, value = word.partition("=")
        if word.startswith("-") and (equals or after):
            yield (option, value, word) if equals else (word, after, f"{word} {after}")


def _value_of(parameter: Any, words: Sequence[str]) -> tuple[str, str, str] | None:
    """The pair on the command line of an option whose value is wrong."""
    names = (*getattr(parameter, "opts", ()), *getattr(parameter, "secondary_opts", ()))
    return next((pair for pair in _pairs(words) if pair[0] in names), None)


def _cure(parameter: Any, value: str, message: str) -> str:
    """What to give in its place, where the kind of the option says that; else the parser's own words."""
    if found := _NO_CHOICE.search(message):
        return choose_one(value, re.findall(r"'([^']*)'", found[1]))
    kind = getattr(getattr(parameter, "get_runtime_param", lambda: None)(), "adapter", None)
    spec = kind.json_schema() if kind is not None else {}
    return f"use {allowed(spec)}" if spec.get("type") in ("integer", "number") else message.rstrip(".")


def _options(command: Any) -> Iterator[str]:
    for parameter in command.params:
        for name in (*parameter.opts, *parameter.secondary_opts):
            if name.startswith("--"):
                yield name
    yield "--help"
