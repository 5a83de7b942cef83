"""What the doctor says of a sandbox that is on another machine, and of data of which a part is to come."""

import sys
from dataclasses import replace

import pytest
from doctor.conftest import Ward, find
from doctor.faults import write_data

from verl_coder.doctor import sandbox
from verl_coder.doctor.machine import _wanted_here
from verl_coder.doctor.sandbox import is_this_machine
from verl_coder.doctor.situation import Situation
from verl_coder.files import locked


@pytest.mark.parametrize(
    ("url", "here"),
    [("http://127.0.0.1:1", True), ("http://localhost:8080", True), ("http://192.0.2.1:8080", False)],
)
def test_the_host_of_an_address_is_this_machine_or_not(url: str, here: bool) -> None:
    assert is_this_machine(url) is here


def test_an_isolated_sandbox_elsewhere_passes_for_what_was_tried(
    ward: Ward, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing_of_this_machine(*_: object) -> list[str]:
        raise AssertionError("files of this machine tell nothing about another one")

    monkeypatch.setattr(sandbox, "is_this_machine", lambda url: False)
    monkeypatch.setattr(sandbox, "_reached_here", nothing_of_this_machine)
    with ward.situation() as situation:
        found = find("sandbox-hostile", situation)
    assert found.status == "PASS" and "another machine" in found.text and "files were not tried" in found.text


def test_what_is_there_is_looked_at_and_what_the_start_makes_is_named(ward: Ward) -> None:
    write_data(ward)
    ward.config.data.val_files = [str(ward.tmp / "to_come.parquet")]
    ward.set(prepare=f"verl-coder data prepare mbpp --out {ward.tmp}")
    with ward.situation() as situation:
        files, rows = find("data-files", situation), find("data-rows", situation)
    assert files.status == "PASS" and "1 file has" in files.text
    assert "to_come.parquet: not made yet (the start runs" in files.text
    assert rows.status == "PASS" and "data.train_files" in rows.text and "val" not in rows.text


def test_a_file_that_the_user_names_and_nothing_makes_is_no_file_to_come(ward: Ward) -> None:
    """Although it would lie where the start makes others."""
    write_data(ward)
    nope = ward.tmp / "nope.parquet"
    ward.config.data.val_files = [str(nope)]
    ward.set(prepare=f"verl-coder data prepare mbpp --out {ward.tmp}")
    ward.plan = replace(ward.plan, named=frozenset({nope}))
    with ward.situation() as situation:
        found = find("data-files", situation)
    assert found.status == "FAIL" and "nope.parquet" in found.text


def test_traces_are_tried_with_the_model_that_is_here(ward: Ward) -> None:
    """They are not fetched for a model that is not."""
    from doctor.faults import _traces_nowhere

    _traces_nowhere(ward)
    ward.config.actor_rollout_ref.model.path = "nobody/nothing"
    with ward.situation() as situation:
        found = find("traces", situation)
    assert found.status == "FAIL" and "no such file" in found.text


def test_in_a_python_of_others_what_this_package_declares_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    pins = {"peft": "1", "wandb": "1", "xxhash": "1"}
    monkeypatch.setattr(sys, "prefix", "/an/environment")
    assert _wanted_here(pins, "gpu") == [*pins]
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    wanted = _wanted_here(pins, "gpu")
    assert {"peft", "wandb", "typer", "verl"} <= set(wanted) and not {"xxhash", "vllm", "pytest"} & set(
        wanted
    )


def test_nothing_is_made_yet_of_data_that_lies_elsewhere(ward: Ward) -> None:
    ward.config.data.train_files = ["/nope.parquet"]
    situation: Situation
    with ward.situation() as situation:
        assert situation.not_made_yet == ""


def test_a_run_that_is_at_work_does_not_go_on_but_is_at_work(ward: Ward) -> None:
    with ward.situation() as situation:
        run_dir = situation.plan.run_dir
        run_dir.path.mkdir(parents=True, exist_ok=True)
        with locked(run_dir.lock, "held"):
            found = find("resume", situation)
        assert found.status == "WARN" and "at work: another start there is refused" in found.text
        assert f"verl-coder status {run_dir.path}" in found.fix
        assert find("resume", situation).status == "SKIP"


def test_a_run_that_was_started_and_has_no_checkpoint_is_no_empty_folder(ward: Ward) -> None:
    with ward.situation() as situation:
        assert "no run stands there" in find("resume", situation).text
    ward.write("run/config.yaml", "{}")
    with ward.situation() as situation:
        for name in ("resume", "out"):
            assert "was started and has no checkpoint yet" in find(name, situation).text
