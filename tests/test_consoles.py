"""What commands print is what the data and the users have written."""

import io

import pytest
from rich.table import Table

from verl_coder.consoles import PlainConsole, printable


@pytest.mark.parametrize(
    "text",
    [
        "outputs/eval[draws]/x",
        "[/x]",
        "[red]x",
        "a[1:end:2] :key: /data/x:on:y",
        "p/\x1b[31mred\x1b]0;title\x07",
    ],
)
def test_brackets_and_control_characters_are_text_in_lines_and_tables(text: str) -> None:
    file = io.StringIO()
    console = PlainConsole(file=file, width=100)
    table = Table()
    table.add_column("")
    table.add_row(text)
    console.print(text)
    console.print(table)
    assert file.getvalue().count(printable(text)) == 2


def test_tabs_and_line_ends_stay() -> None:
    assert printable("a\tb\nc\rd\x85") == "a\tb\nc\\x0dd\\x85"
