"""What two steps tell about the weights of the rollout."""

from verl_coder.doctor.sync import DIFFERENCE, MOVED, judge

FIRST = {DIFFERENCE: 4e-7, MOVED: 0.0}


def test_a_rollout_that_follows_passes() -> None:
    assert judge([FIRST, {DIFFERENCE: 4e-7, MOVED: 2e-3}]).status == "PASS"


def test_a_rollout_with_the_old_weights_fails() -> None:
    found = judge([FIRST, {DIFFERENCE: 2e-2, MOVED: 2e-3}])
    assert found.status == "FAIL" and "old weights" in found.text and "vllm_extension" in found.fix


def test_half_precision_differs_before_the_update_too() -> None:
    assert judge([{DIFFERENCE: 8e-3, MOVED: 0.0}, {DIFFERENCE: 9e-3, MOVED: 2e-3}]).status == "PASS"


def test_an_update_that_moves_nothing_tells_nothing() -> None:
    assert judge([FIRST, {DIFFERENCE: 4e-7, MOVED: 1e-7}]).status == "WARN"


def test_a_run_that_ended_early_fails() -> None:
    assert judge([FIRST]).status == "FAIL"
