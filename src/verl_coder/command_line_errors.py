"""What is wrong with a command line, in one line that names the nearest of what there is."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

from verl_coder.words import did_you_mean

_NO_COMMAND = re.compile(r"No such command '(.*?)'")


def explain(error: Any, words: Sequence[str]) -> str:
    """The parser's error of the command line `words`; empty where it was answered with the help."""
    if type(error).__name__ == "NoArgsIsHelpError":
        return ""
    context = getattr(error, "ctx", None)
    message = " ".join(str(getattr(error, "message", "")).split()) or " ".join(error.format_message().split())
    if context is None:
        return message
    command: str = context.command_path
    help_line = f"`{command} --help` shows all"
    if "No such option" in message:
        name = _as_written(error.option_name, words)
        hint = did_you_mean(f"--{name.lstrip('-')}", _options(context.command), help_line)
        return f"{command} has no option {name}; {hint}"
    if found := _NO_COMMAND.search(message):
        return f"{command} has no command {found[1]}; {did_you_mean(found[1], context.command.commands, help_line)}"
    if (written := _value_of(getattr(error, "param", None), words)) is not None:
        return f"{written}: {message.rstrip('.')} ({help_line})"
    return f"{' '.join(error.format_message().split()).rstrip('.')} ({help_line})"


def _as_written(name: str, words: Sequence[str]) -> str:
    """The word of the command line that the parser read as `-n` and more letters."""
    return next((word for word in words if not name.startswith("--") and word.startswith(name)), name)


def _value_of(parameter: Any, words: Sequence[str]) -> str | None:
    """`--name value`, as it stands on the command line, of an option whose value is wrong."""
    for name in (*getattr(parameter, "opts", ()), *getattr(parameter, "secondary_opts", ())):
        for word, after in zip(words, (*words[1:], ""), strict=True):
            if word == name and after:
                return f"{name} {after}"
            if word.startswith(f"{name}="):
                return word
    return None


def _options(command: Any) -> Iterator[str]:
    for parameter in command.params:
        for name in (*parameter.opts, *parameter.secondary_opts):
            if name.startswith("--"):
                yield name
    yield "--help"
