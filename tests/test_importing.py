"""A class that a YAML names is loaded, or what its module does instead is said in one line."""

import os
import sys
from pathlib import Path

import pytest

from verl_coder.errors import ConfigError
from verl_coder.importing import load_class


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no attribute 'Mine'"),
        ("import nothing_of_this_name", "No module named 'nothing_of_this_name'"),
        ("import sys\nsys.exit()", "its module ends the process when it is imported"),
        ("import os\nos._exit(0)", "its module ends the process when it is imported"),
        ("1 / 0", r"its module raises ZeroDivisionError \(division by zero\)"),
    ],
)
def test_a_module_that_gives_no_class_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str
) -> None:
    (tmp_path / "a_users_module.py").write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = os._exit
    with pytest.raises(ConfigError, match=f"^no class a_users_module.Mine.*{words}") as caught:
        load_class("a_users_module.Mine")
    sys.modules.pop("a_users_module", None)
    assert "\n" not in str(caught.value) and os._exit is before
