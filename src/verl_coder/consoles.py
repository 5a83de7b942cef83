"""The console of commands that print tables: as wide as the terminal, and in a file or a pipe as wide as the tables."""

import os

from rich.console import Console

_WIDTH = 160


def table_console() -> Console:
    """rich takes 80 columns where there is no terminal, and cuts the names in a table short."""
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(width=_WIDTH)
    return console
