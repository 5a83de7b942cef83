"""docs/settings.md is what the models say, and every setting has a meaning."""

import re
from pathlib import Path

import pytest

from verl_coder.errors import ConfigError
from verl_coder.paths import repository_root
from verl_coder.run.settings import Settings
from verl_coder.settings_reference import field_texts, main, reference


@pytest.fixture(scope="module")
def page() -> str:
    return reference()


def test_the_page_is_up_to_date(page: str) -> None:
    written = (repository_root() / "docs" / "settings.md").read_text()
    assert written == page, "out of date: python -m verl_coder.settings_reference"


def test_every_setting_has_a_meaning(page: str) -> None:
    assert [line for line in page.splitlines() if re.search(r"\|\s*\|$", line)] == []


def test_the_text_below_a_field_is_its_meaning() -> None:
    texts = field_texts(Settings)
    assert texts["seed"] == "Seeds the data order, the actor and the sampler."


def test_kinds_limits_and_defaults_are_those_of_the_models(page: str) -> None:
    assert "| `sandbox_port` | whole number from 0, up to 65535 | `0` |" in page
    assert '| `wandb` | one of `auto`, `online`, `offline`, `disabled` | `"auto"` |' in page
    assert "| `--from (date_from:)` | text | null |" in page


def test_a_page_out_of_date_is_said_with_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    monkeypatch.setattr("verl_coder.settings_reference.repository_root", lambda: tmp_path)
    monkeypatch.setattr("verl_coder.settings_reference.reference", lambda: page)
    main([])
    main(["--check"])
    (tmp_path / "docs" / "settings.md").write_text("older")
    with pytest.raises(ConfigError, match=r"out of date: python -m verl_coder\.settings_reference"):
        main(["--check"])
