"""Tables that go into a file are whole."""

import io
import subprocess
import sys

from rich.console import Console
from rich.table import Table

from verl_coder.consoles import print_whole


def test_a_table_in_a_file_keeps_its_names() -> None:
    name = "a-name-of-an-evaluation-that-is-longer-than-a-column-of-eighty-would-take"
    code = (
        "from rich.table import Table\nfrom verl_coder.consoles import table_console\n"
        f"table = Table('', 'x', 'y', 'z')\ntable.add_row('{name}', *'abc' * 1)\n"
        "table_console().print(table)\n"
    )
    environment = {"PYTHONPATH": ":".join(sys.path), "PYTHONUTF8": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert name in done.stdout


def test_a_table_that_is_wider_than_the_terminal_loses_nothing() -> None:
    table = Table("", "difference", "p (Holm)")
    table.add_row("eval-trained-a", "+0.260 [+0.193, +0.328]", "0.00000125")
    console = Console(width=26, record=True, file=io.StringIO())
    print_whole(console, table)
    said = console.export_text()
    assert "…" not in said
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in said.splitlines() if "│" in line]
    assert ["".join(column) for column in zip(*rows, strict=True)] == [
        "eval-trained-a",
        "+0.260[+0.193,+0.328]",
        "0.00000125",
    ]
