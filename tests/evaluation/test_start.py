"""What an evaluation starts with: sandboxes that answer, and nothing of it stays in the process."""

import os
from pathlib import Path
from typing import Any

import pytest
from evaluation.conftest import RIGHT

from verl_coder.errors import ConfigError
from verl_coder.evaluation.start import sandboxes_of
from verl_coder.sandbox.embedded import EmbeddedSandbox

NOBODY = "http://127.0.0.1:9"
INTERPRETER = Path("tool_config/python_interpreter.yaml").read_text()


@pytest.mark.parametrize("before", [None, "http://another:1"])
def test_the_next_evaluation_of_a_process_does_not_get_the_sandbox_of_the_last_one(
    before: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SANDBOX_URL", raising=False)
    with EmbeddedSandbox() as given:
        if before:
            monkeypatch.setenv("SANDBOX_URL", before)
        with sandboxes_of(f" {given.url} ,", 1) as urls:
            assert urls == given.url == os.environ["SANDBOX_URL"]
        assert os.environ.get("SANDBOX_URL") == before


def test_a_sandbox_that_is_started_is_no_one_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SANDBOX_URL", raising=False)
    with pytest.raises(KeyboardInterrupt), sandboxes_of(None, 3) as url:
        assert url == os.environ["SANDBOX_URL"]
        raise KeyboardInterrupt
    assert "SANDBOX_URL" not in os.environ


def test_a_sandbox_that_does_not_answer_is_named_before_a_model_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = rf"no sandbox answers at {NOBODY}: start it"
    with pytest.raises(ConfigError, match=rf"^--sandbox-url: {words}"), sandboxes_of(NOBODY, 1):
        pass
    monkeypatch.setenv("SANDBOX_URL", NOBODY)
    with pytest.raises(ConfigError, match=rf"^SANDBOX_URL: {words}"), sandboxes_of(None, 1):
        pass


def test_the_sandbox_of_a_tool_is_asked_before_a_model_is_loaded(evaluate_with: Any, tmp_path: Path) -> None:
    tools = tmp_path / "tools.yaml"
    tools.write_text(INTERPRETER.replace("sandbox_url: null", f"sandbox_url: {NOBODY}"))
    with pytest.raises(ConfigError, match=rf"^--tools {tools}: config.sandbox_url: no sandbox answers"):
        evaluate_with(lambda text, turn: RIGHT)(tools=str(tools))
