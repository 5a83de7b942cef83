"""A folder that a command is given and that is not there is named, in one line, before anything else is tried."""

from collections.abc import Callable
from pathlib import Path

import pytest

from verl_coder.cli import app
from verl_coder.errors import VerlCoderError
from verl_coder.evaluation.model_source import find_model
from verl_coder.launch.preflight.model import check_model
from verl_coder.paths import is_hub_name, repository_root
from verl_coder.sft.model_folder import resolve_model

COMMANDS = (
    ("status", "FOLDER"),
    ("report", "FOLDER"),
    ("compare", "FOLDER", "FOLDER"),
    ("export", "FOLDER", "--out", "new"),
    ("evaluate", "--model", "FOLDER"),
    ("evaluate", "--model", "FOLDER@8"),
    ("evaluate", "--model", str(repository_root() / "src/verl_coder/tiny/base"), "--like", "FOLDER"),
    ("wandb", "push", "FOLDER"),
)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A path is no name to ask a hub for."""

    def asked(*_: object, **__: object) -> None:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr("huggingface_hub.snapshot_download", asked)
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", asked)


@pytest.mark.parametrize("folder", ["outputs/nope", "./nope", "/nope/at/all", "a/b/c", "nope"])
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_such_folder_is_said(
    command: tuple[str, ...],
    folder: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    no_network: None,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    words = [word.replace("FOLDER", folder) for word in command]
    with pytest.raises(VerlCoderError) as told:
        app(words, standalone_mode=False)
    assert "no such folder" in str(told.value) and Path(folder).name in str(told.value)
    assert len(str(told.value).splitlines()) == 1


@pytest.mark.parametrize("find", [find_model, resolve_model, check_model])
def test_a_path_is_not_asked_of_the_hub(find: Callable[[str], object], no_network: None) -> None:
    for path in ("outputs/nope", "data/nope", "../nope", "a/b/c", "~/nope"):
        with pytest.raises(VerlCoderError, match=r"no such folder|no folder"):
            find(path)


def test_a_name_that_no_hub_gives_is_said_to_be_neither(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreached(*_: object, **__: object) -> None:
        raise OSError("the hub is\nnot reached")

    monkeypatch.setattr("huggingface_hub.snapshot_download", unreached)
    for find in (find_model, resolve_model):
        with pytest.raises(
            VerlCoderError, match="owner/name: no such folder, and the hub gives none"
        ) as told:
            find("owner/name")
        assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("value", "is_name"),
    [
        ("Qwen/Qwen3-1.7B", True),
        ("outputs/mine", False),
        ("src/verl_coder", False),
        ("./a", False),
        ("a", False),
    ],
)
def test_the_name_of_a_model_on_the_hub_has_an_owner(value: str, is_name: bool) -> None:
    assert is_hub_name(value) is is_name
