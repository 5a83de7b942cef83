"""Tables that go into a file are whole."""

import subprocess
import sys


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
