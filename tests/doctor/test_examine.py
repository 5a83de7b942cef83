"""The command: what is chosen, what is printed, and the exit status."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from verl_coder.cli import app
from verl_coder.doctor import examine as examination
from verl_coder.doctor.check import DoctorCheck, passed, warned
from verl_coder.doctor.components import COMPONENTS
from verl_coder.doctor.examine import CHECKS, choose
from verl_coder.doctor.situation import DoctorOptions
from verl_coder.errors import ConfigError


def breaks(situation: object) -> None:
    raise RuntimeError("torn\nat the second line")


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["doctor", *arguments])
    return result.exit_code, result.output


@pytest.fixture
def two_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that warns and one that breaks."""
    checks = (
        DoctorCheck(name="thin", component="machine", look=lambda _: warned("little", "take more"), fix=""),
        DoctorCheck(name="torn", component="places", look=breaks, fix="mend it"),  # type: ignore[arg-type]
        DoctorCheck(
            name="slow", component="sync", look=lambda _: passed("well"), fix="", only_when_named=True
        ),
    )
    monkeypatch.setattr(examination, "CHECKS", checks)


def test_names_are_unique_and_there_are_enough() -> None:
    names = [check.name for check in CHECKS]
    assert len(names) == len(set(names)) >= 25
    assert not set(names) & {check.component for check in CHECKS if check.component != check.name} - {
        "recipe",
        "sandbox",
    }


def test_a_check_that_breaks_is_a_finding_and_the_exit_status_is_1(two_checks: None) -> None:
    status, text = run()
    assert status == 1
    assert "FAIL  torn" in text and "RuntimeError: torn" in text and "fix: mend it" in text
    assert "WARN  thin" in text and "fix: take more" in text
    assert "2 checks: 0 PASS, 1 WARN, 1 FAIL, 0 SKIP" in text


def test_a_warning_alone_is_no_failure(two_checks: None) -> None:
    assert run("--component", "thin")[0] == 0


def test_a_slow_check_is_made_where_it_is_named(two_checks: None) -> None:
    assert "slow" not in run()[1]
    assert "PASS  slow" in run("--component", "sync")[1]


def test_json_has_every_finding(two_checks: None) -> None:
    status, text = run("--json")
    found = json.loads(text)
    assert status == 1 and found["ok"] is False
    assert [check["status"] for check in found["checks"]] == ["WARN", "FAIL"]
    assert set(found["checks"][0]) == {"name", "component", "status", "text", "fix", "seconds"}


def test_the_report_has_every_component_in_its_order() -> None:
    assert tuple(dict.fromkeys(check.component for check in CHECKS)) == COMPONENTS


def test_a_component_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(ConfigError, match="--component sandbx: did you mean sandbox"):
        choose(["sandbx"])


def test_a_recipe_that_does_not_compose_is_one_failure(tmp_path: Path) -> None:
    """The checks that need it are skipped, and the others are made."""
    lines = examination.examine(DoctorOptions(recipe="tiny_cup", components=("recipe", "places", "data")))
    assert [line.name for line in lines if line.result.status == "FAIL"] == ["recipe"]
    assert lines[0].name == "recipe" and "no recipe 'tiny_cup'" in lines[0].result.text
    assert next(line for line in lines if line.name == "settings").result.status == "SKIP"
