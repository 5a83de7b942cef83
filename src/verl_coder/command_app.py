"""The application of a command of `verl-coder`."""

from typing import Any

import typer
from typer.core import TyperGroup

_WHOLE = 10_000
"""Characters of a command's line in the list of its group: it goes on in the next row of the terminal."""


class CommandGroup(TyperGroup):
    """A group whose `--help` has the whole line about each command; typer's ends it at the terminal's width."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list of commands."""
        commands = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        shown = {name: command for name, command in commands.items() if command and not command.hidden}
        if shown:
            with formatter.section("Commands"):
                formatter.write_dl(
                    [(name, command.get_short_help_str(_WHOLE)) for name, command in shown.items()]
                )


def command_app(**options: Any) -> typer.Typer:
    """A `typer.Typer` without its completion commands, whose help cuts nothing short.

    The tables that rich would draw end a name such as `--validation-fraction` with an ellipsis at 80 columns.
    """
    ours = {"cls": CommandGroup, "add_completion": False, "pretty_exceptions_enable": False}
    return typer.Typer(**{**ours, "rich_markup_mode": None, **options})
