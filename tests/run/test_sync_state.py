"""Which W&B run a folder belongs to, and what of it the server lacks."""

import json
import shutil
from pathlib import Path

import pytest

from verl_coder.errors import ConfigError, DataError
from verl_coder.run.backup import StepBackup
from verl_coder.run.sync_state import (
    SyncState,
    begin,
    check_wandb_key,
    choose_mode,
    copied_from,
    has_wandb_key,
)


def start(path: Path, resumes_after: int | None = None, *, new_run: bool = False) -> SyncState:
    return begin(path, mode="online", project="p", name="r", resumes_after=resumes_after, new_run=new_run)


def test_a_resume_goes_on_in_the_same_wandb_run(tmp_path: Path) -> None:
    first = start(tmp_path / "s.json")
    second = start(tmp_path / "s.json", 4)
    assert second.run_id == first.run_id and second.first_step == 0 and second.linked_from == []


def test_new_runs_are_linked_to_all_before_them(tmp_path: Path) -> None:
    ids = [start(tmp_path / "s.json").run_id]
    ids += [start(tmp_path / "s.json", step, new_run=True).run_id for step in (4, 9)]
    state = SyncState.load(tmp_path / "s.json")
    assert state is not None and len(set(ids)) == 3
    assert state.linked_from == ids[:2] and state.first_step == 10


def test_a_copy_of_a_folder_begins_a_run_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    state = start(tmp_path / "first" / "s.json")
    shutil.copytree(tmp_path / "first", tmp_path / "copy")
    copy = tmp_path / "copy" / "s.json"
    assert copied_from(copy) == tmp_path / "first" and copied_from(tmp_path / "first" / "s.json") is None
    found = start(copy, 3)
    assert found.run_id != state.run_id and (found.linked_from, found.first_step) == ([state.run_id], 4)
    assert copied_from(copy) is None and start(copy, 5).run_id == found.run_id


def test_a_folder_that_was_moved_or_is_seen_at_another_place_goes_on(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    state = start(tmp_path / "first" / "s.json")
    (tmp_path / "link").symlink_to(tmp_path / "first")
    assert start(tmp_path / "link" / "s.json", 3).run_id == state.run_id
    (tmp_path / "first").rename(tmp_path / "moved")
    assert start(tmp_path / "moved" / "s.json", 3).run_id == state.run_id


@pytest.mark.parametrize(
    ("key", "value"),
    [("confirmed_step", None), ("sent_step", "x"), ("linked_from", "abc"), ("linked_from", [1]), ("run_id", 5),
     ("first_step", 1.5), ("first_step", True), ("mode", "x")],
)  # fmt: skip
def test_a_value_of_another_kind_is_named(tmp_path: Path, key: str, value: object) -> None:
    start(tmp_path / "s.json")
    values = json.loads((tmp_path / "s.json").read_text())
    (tmp_path / "s.json").write_text(json.dumps(values | {key: value}))
    with pytest.raises(ConfigError, match=rf"s\.json: not a sync state \({key} is .*remove it"):
        SyncState.load(tmp_path / "s.json")


def test_a_start_forgets_the_error_of_the_one_before(tmp_path: Path) -> None:
    state = start(tmp_path / "s.json")
    state.error = "down"
    state.save(tmp_path / "s.json")
    assert start(tmp_path / "s.json").error is None


@pytest.mark.parametrize(
    ("confirmed", "first_step", "pending"), [(-1, 0, [0, 1, 2, 3]), (1, 0, [2, 3]), (-1, 3, [3]), (3, 0, [])]
)
def test_what_is_pending(tmp_path: Path, confirmed: int, first_step: int, pending: list[int]) -> None:
    backup = StepBackup(tmp_path / "wandb_backup")
    for step in (3, 0, 2, 1):
        backup.write(step, {})
    state = SyncState(
        mode="online", run_id="i", project="p", name="r", first_step=first_step, confirmed_step=confirmed
    )
    assert state.pending(backup) == pending


@pytest.mark.parametrize("text", ["{", "[]", json.dumps({"mode": "online", "unknown": 1})])
def test_a_broken_state_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(ConfigError, match=r"s\.json: not a sync state") as caught:
        SyncState.load(tmp_path / "s.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "environment", "has_key", "mode"),
    [
        ("auto", {}, True, "online"),
        ("auto", {}, False, "offline"),
        ("auto", {"WANDB_MODE": "disabled"}, True, "disabled"),
        ("offline", {"WANDB_MODE": "online"}, True, "offline"),
    ],
)
def test_how_the_mode_is_chosen(setting: str, environment: dict[str, str], has_key: bool, mode: str) -> None:
    assert choose_mode(setting, environment, has_key=has_key) == mode


@pytest.mark.parametrize(
    ("setting", "environment", "place"),
    [("on", {}, "verl_coder.wandb=on"), ("auto", {"WANDB_MODE": "on"}, "WANDB_MODE=on")],
)
def test_an_unknown_mode_is_named_by_its_place(setting: str, environment: dict[str, str], place: str) -> None:
    with pytest.raises(ConfigError, match=place):
        choose_mode(setting, environment, has_key=False)


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o666])
def test_a_key_in_netrc_counts_for_its_host_only(tmp_path: Path, mode: int) -> None:
    (tmp_path / "netrc").write_text(f"machine wandb.example login user password {'a' * 40}\n")
    (tmp_path / "netrc").chmod(mode)
    environment = {"NETRC": str(tmp_path / "netrc")}
    assert has_wandb_key(environment | {"WANDB_BASE_URL": "https://wandb.example"})
    assert not has_wandb_key(environment)


def test_a_host_of_ones_own_is_known_from_wandbs_own_settings(tmp_path: Path) -> None:
    (tmp_path / "settings").write_text("[default]\nbase_url = http://wandb.example:8080\n")
    (tmp_path / "netrc").write_text(f"machine wandb.example:8080 login user password {'a' * 40}\n")
    environment = {"NETRC": str(tmp_path / "netrc"), "WANDB_CONFIG_DIR": str(tmp_path)}
    assert has_wandb_key(environment)
    assert not has_wandb_key({**environment, "WANDB_BASE_URL": "https://elsewhere.example"})


def test_a_key_in_wandbs_settings_and_an_identity_token_are_found_without_a_netrc(tmp_path: Path) -> None:
    environment = {"NETRC": str(tmp_path / "none"), "WANDB_CONFIG_DIR": str(tmp_path)}
    assert not has_wandb_key(environment)
    (tmp_path / "settings").write_text(f"[default]\napi_key = {'a' * 40}\n")
    assert has_wandb_key(environment)
    assert has_wandb_key({"WANDB_IDENTITY_TOKEN_FILE": "token", "NETRC": str(tmp_path / "none")})


def test_a_key_that_the_client_refuses_is_none(tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine wandb.example login user password short\n")
    assert not has_wandb_key({"NETRC": str(tmp_path / "netrc"), "WANDB_BASE_URL": "https://wandb.example"})


@pytest.mark.parametrize("sent", [0, 9])
def test_training_that_starts_anew_is_another_wandb_run(tmp_path: Path, sent: int) -> None:
    """Of a run whose checkpoints were removed: its steps are not those that W&B has."""
    first = start(tmp_path / "s.json")
    first.sent_step = first.confirmed_step = sent
    first.save(tmp_path / "s.json")
    second = start(tmp_path / "s.json")
    assert second.run_id != first.run_id and second.linked_from == [first.run_id]


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "[" * 100_000,
        '{"step": 3}',
        '{"step": 4, "data": {}, "tables": {}}',
        '{"step": 3, "data": null, "tables": {}}',
        '{"step": 3, "data": {}, "tables": [1]}',
        '{"step": 3, "data": {}, "tables": {"a": 5}}',
    ],
)
def test_a_broken_step_file_is_named(tmp_path: Path, text: str) -> None:
    backup = StepBackup(tmp_path)
    backup.write(3, {})
    backup.path(3).write_text(text)
    with pytest.raises(DataError, match=r"step_000003\.json is broken"):
        backup.read(3)


def test_forgotten_steps_leave_the_backup(tmp_path: Path) -> None:
    backup = StepBackup(tmp_path)
    for step in range(5):
        backup.write(step, {"x": step})
    backup.drop_after(2)
    assert backup.steps() == [0, 1, 2] and backup.path(2).name == "step_000002.json"


def test_a_key_that_is_none_is_told_before_a_run_waits_for_it() -> None:
    with pytest.raises(
        ConfigError, match=r"WANDB_API_KEY: API key must have 40\+ characters, has 3: .*offline"
    ):
        check_wandb_key({"WANDB_API_KEY": "abc"})
    for good in ("0" * 40, "local-" + "a" * 40, "head.body.signature"):
        check_wandb_key({"WANDB_API_KEY": good})
    check_wandb_key({})
