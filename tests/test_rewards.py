"""What every reward function returns, whatever its formula."""

import json
from typing import get_args

import pytest

from verl_coder import rewards
from verl_coder.grading.report import Outcome, TestReport
from verl_coder.rewards import _suite, _suites, scored


@pytest.mark.parametrize("outcome", get_args(Outcome))
def test_the_keys_are_the_same_for_every_outcome_and_every_value_is_a_float(outcome: Outcome) -> None:
    result = scored(TestReport(outcome=outcome, passed=1, total=2), True, bonus=1)
    assert set(result) == {"score", "acc", "no_code", "timeout", "sandbox_unavailable", "bonus"}
    assert all(type(value) is float for value in result.values())
    said = {name for name in ("no_code", "timeout", "sandbox_unavailable") if result[name]}
    assert said == ({outcome} & {"no_code", "timeout", "sandbox_unavailable"})
    assert result["acc"] == (outcome == "passed")


def test_no_verdict_no_reward() -> None:
    dead = scored(TestReport(outcome="sandbox_unavailable", passed=0, total=2), 0.7, bonus=0.2)
    assert (dead["score"], dead["acc"], dead["sandbox_unavailable"], dead["bonus"]) == (0, 0, 1, 0.2)
    assert scored(TestReport(outcome="failed", passed=1, total=2), 0.7)["score"] == 0.7


def row(name: str, length: int = 0) -> str:
    return json.dumps({"style": "pytest", "test": f"# {name} {'x' * length}"})


def test_suites_are_kept_while_their_rows_are_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewards, "_MOST_KEPT", 10_000)
    monkeypatch.setattr(rewards, "_MOST_SUITES", 20)
    _suites.clear()
    first = _suite(row("first"))
    for number in range(12):
        _suite(row(str(number)))
        assert _suite(row("first")) is first
    _suite(row("large", 9_990))
    assert list(_suites) == [row("large", 9_990)]
    larger = _suite(row("larger", 20_000))
    assert _suite(row("larger", 20_000)) is larger and len(_suites) == 1
    for number in range(30):
        _suite(row(str(number)))
    assert len(_suites) == 20
