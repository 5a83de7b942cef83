"""The console of commands that print tables: as wide as the terminal, and in a file or a pipe as wide as the tables."""

import os

from rich.console import Console
from rich.table import Table

_WIDTH = 160


def table_console() -> Console:
    """rich takes 80 columns where there is no terminal, and cuts the names in a table short."""
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(width=_WIDTH)
    return console


def print_whole(console: Console, table: Table) -> None:
    """Print the table; what is wider than its column goes on in the next row, where rich would cut it short."""
    for column in table.columns:
        column.overflow = "fold"
    console.print(table)
