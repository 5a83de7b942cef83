"""Ctrl-C in the first seconds of a command, which are imports."""

import subprocess
import sys
from pathlib import Path

SWALLOWS = """
import os, signal
try:
    os.kill(os.getpid(), signal.SIGINT)
    signal.sigtimedwait([], 1)
except BaseException:
    pass
"""


def ended(folder: Path, program: str) -> tuple[int, str, str]:
    (folder / "swallows.py").write_text(SWALLOWS)
    # A shell may have started the tests with SIGINT ignored.
    head = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    head += "from verl_coder.interrupts import ended_by_ctrl_c\n"
    result = subprocess.run(
        [sys.executable, "-c", head + program],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return result.returncode, result.stdout, result.stderr


def test_an_import_that_swallows_the_interrupt_ends_in_one_line(tmp_path: Path) -> None:
    program = "with ended_by_ctrl_c():\n    import swallows\nprint('went on')"
    assert ended(tmp_path, program) == (130, "", "stopped by SIGINT\n")


def test_apart_from_imports_it_is_a_keyboard_interrupt_that_can_clean_up(tmp_path: Path) -> None:
    program = (
        "try:\n    with ended_by_ctrl_c():\n        signal.raise_signal(signal.SIGINT)\n"
        "except KeyboardInterrupt:\n    print('cleaned')"
    )
    assert ended(tmp_path, program) == (0, "cleaned\n", "stopped by SIGINT\n")


def test_where_it_is_ignored_it_stays_ignored_and_the_handler_comes_back(tmp_path: Path) -> None:
    program = (
        "with ended_by_ctrl_c():\n    pass\n"
        "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "with ended_by_ctrl_c():\n    import swallows\nprint('went on')"
    )
    assert ended(tmp_path, program) == (0, "went on\n", "")
