"""The application of a command of `verl-coder`."""

from typing import Any

import typer


def command_app(**options: Any) -> typer.Typer:
    """A `typer.Typer` without its completion commands, whose help never cuts a name short.

    The tables that rich would draw end a name such as `--validation-fraction` with an ellipsis at 80 columns.
    """
    return typer.Typer(
        **{"add_completion": False, "pretty_exceptions_enable": False, "rich_markup_mode": None, **options}
    )
