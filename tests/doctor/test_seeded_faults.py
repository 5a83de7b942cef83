"""Every fault is found by its check, with the fix, and the other checks of its component keep what they said."""

import re

import pytest
from doctor.conftest import Ward, check_named, find
from doctor.faults import CHEAP, DATA, Fault, write_data
from doctor.sandbox_faults import SANDBOXES
from doctor.teacher_faults import TEACHER, good_teacher

from verl_coder.doctor.examine import CHECKS
from verl_coder.paths import repository_root

FAULTS = (*CHEAP, *SANDBOXES, *TEACHER)
NOT_SEEDED = {"recipe", "wandb", "weight-sync"}
"""Their faults are in test_examine.py, test_services.py and test_sync.py: they take another way to be made."""
ILL = ("WARN", "FAIL")


def _others(fault: Fault) -> list[str]:
    """The other checks of the component; a sandbox's are few seconds each, so that its named check is enough."""
    component = check_named(fault.check).component
    if component in ("sandbox", "grader"):
        return []
    return [
        check.name
        for check in CHECKS
        if check.component == component and check.name not in (fault.check, *fault.also)
    ]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.what.replace(" ", "_"))
def test_it_is_found_and_named(ward: Ward, fault: Fault) -> None:
    if fault in DATA:
        write_data(ward)
    fault.break_it(ward)
    with ward.situation() as situation:
        result = find(fault.check, situation)
        assert (result.status, fault.says in result.text, fault.fix in result.fix) == (
            fault.status,
            True,
            True,
        ), result
        ill = {name: found for name in _others(fault) if (found := find(name, situation)).status in ILL}
        assert ill == {}


def test_a_healthy_one_has_no_fault(ward: Ward) -> None:
    write_data(ward)
    good_teacher(ward)
    with ward.situation() as situation:
        found = {check.name: find(check.name, situation) for check in CHECKS if not check.only_when_named}
    # How long a call takes is the machine's business, and how a container is limited, too.
    own = {
        "sandbox-latency",
        "sandbox-many",
        "sandbox-mode",
        "cores",
        "memory",
        "shared-memory",
        "open-files",
    }
    assert {name: result for name, result in found.items() if result.status in ILL and name not in own} == {}
    assert sum(result.status == "PASS" for result in found.values()) >= 25


def test_the_table_of_the_readme_is_that_of_the_faults() -> None:
    readme = (repository_root() / "src" / "verl_coder" / "doctor" / "README.md").read_text()
    table = readme.partition("| fault | check | it says |")[2]
    rows = re.findall(r"^\| (.+?) \| `([a-z-]+)` ([A-Z]+) \|", table, re.M)
    assert sorted(rows) == sorted((fault.what, fault.check, fault.status) for fault in FAULTS)


def test_the_list_of_the_readme_is_that_of_the_checks() -> None:
    readme = (repository_root() / "src" / "verl_coder" / "doctor" / "README.md").read_text()
    listed = readme.partition("| component | checks |")[2].partition("\n\n")[0]
    for check in CHECKS:
        row = re.search(rf"^\| {check.component} \|(.*)$", listed, re.M)
        assert row and re.search(rf"(^|[ (]){check.name}\b(?!-)", row[1]), check.name


def test_every_check_has_a_fault() -> None:
    assert {check.name for check in CHECKS} - {fault.check for fault in FAULTS} == NOT_SEEDED
