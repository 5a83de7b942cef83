"""The consoles of the commands: texts are shown as they are, tables as wide as the terminal or as they need."""

import os
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

_WIDTH = 160


class PlainConsole(Console):
    """A console for texts of data and users: `[bold]` or `:key:` are part of a path, no text moves the cursor.

    What is no plain text (`Text`, the words of a spinner) is printed as it is given: see `plain_text`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"markup": False, "emoji": False, **options})

    def render_str(self, text: str, **options: Any) -> Text:
        """As rich does, cells of tables included; what a terminal would act upon is spelt out."""
        return super().render_str(printable(text), **options)


def printable(text: str) -> str:
    """The text, its control characters but for tabs and line ends as `\\x1b`."""
    return "".join(
        char if (char >= " " and not "\x7f" <= char <= "\x9f") or char in "\t\n" else f"\\x{ord(char):02x}"
        for char in text
    )


def plain_text(text: str) -> Text:
    """The text for a spinner, or a part of a coloured one."""
    return Text(printable(text))


def table_console() -> Console:
    """rich takes 80 columns where there is no terminal, and cuts the names in a table short."""
    console = PlainConsole()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = PlainConsole(width=_WIDTH)
    return console


def print_whole(console: Console, table: Table) -> None:
    """Print the table; what is wider than its column goes on in the next row, where rich would cut it short."""
    for column in table.columns:
        column.overflow = "fold"
    console.print(table)
