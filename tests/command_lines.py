"""Command lines of `verl-coder` through its real argument parser, without running them."""

from collections.abc import Iterator, Sequence
from typing import Any

from typer.main import get_command

from verl_coder.cli import app


def parse(arguments: Sequence[str]) -> dict[str, Any]:
    """The options of the command that the arguments call; ValueError in the parser's words where it refuses them."""
    command: Any = get_command(app)
    name, rest, context = "verl-coder", list(arguments), None
    while hasattr(command, "resolve_command"):
        context = command.make_context(name, [], parent=context, resilient_parsing=True)
        if not rest or rest[0].startswith("-"):
            return _parsed(command, name, rest, context.parent)
        try:
            name, command, rest = command.resolve_command(context, rest)
        except Exception as error:
            raise ValueError(_words(error)) from error
    return _parsed(command, name, rest, context)


def _parsed(command: Any, name: str, rest: list[str], parent: Any) -> dict[str, Any]:
    if "--help" in rest:
        return {}
    try:
        context = command.make_context(name, rest, parent=parent)
    except Exception as error:
        if type(error).__name__ in ("Exit", "NoArgsIsHelpError"):
            return {}
        raise ValueError(_words(error)) from error
    return {**context.params, "overrides": tuple(context.args)}


def _words(error: Exception) -> str:
    return str(error.format_message()) if hasattr(error, "format_message") else str(error)


def commands() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command and group of `verl-coder`, with the words that call it."""
    yield from _below((), get_command(app))


def _below(words: tuple[str, ...], command: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield words, command
    for name in names_below(command):
        context = command.make_context("verl-coder", [], resilient_parsing=True)
        yield from _below((*words, name), command.resolve_command(context, [name])[1])


def names_below(command: Any) -> list[str]:
    """The commands of a group; none of a command."""
    if not hasattr(command, "list_commands"):
        return []
    return list(command.list_commands(command.make_context("verl-coder", [], resilient_parsing=True)))


def help_of(words: Sequence[str], command: Any) -> str:
    """What `--help` of the command prints."""
    context = command.make_context(" ".join(("verl-coder", *words)), [], resilient_parsing=True)
    return str(command.get_help(context))
