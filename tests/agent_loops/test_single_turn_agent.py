"""An answer of one turn may end with its code: a scripted model that stops where a server would."""

from collections.abc import Callable
from typing import Any

import pytest

Rollout = Callable[..., tuple[Any, Any, Any]]

CODE = "<think>Twice.</think>\n```python\ndef double(n):\n    return 2 * n\n```\n"
STOPS = {"stop_after_code": True}


def test_what_would_follow_the_code_is_not_written(rollout: Rollout) -> None:
    output, _, tokenizer = rollout([CODE + "It doubles.<|im_end|>"], protocol="none", ours=STOPS)
    assert tokenizer.decode(output.response_ids) == CODE
    assert all(output.response_mask) and len(output.response_mask) == len(output.response_ids)
    assert output.extra_fields["end_reason"] == "answer"


def test_an_end_of_code_that_a_sync_of_the_weights_cut_in_two_ends_the_answer(rollout: Rollout) -> None:
    script = [CODE + "It doubles.<|im_end|>"]
    output, _, tokenizer = rollout(script, protocol="none", ours=STOPS, sees_stops=False)
    assert tokenizer.decode(output.response_ids) == CODE
    assert len(output.response_mask) == len(output.response_logprobs) == len(output.response_ids)
    assert output.extra_fields["end_reason"] == "answer"


def test_an_answer_that_is_cut_off_before_its_code_ends_says_so(rollout: Rollout) -> None:
    output, _, _ = rollout([CODE], protocol="none", ours=STOPS, changes={"response_length": 10})
    assert len(output.response_ids) == 10 and output.extra_fields["end_reason"] == "length"


@pytest.mark.parametrize("ours", [{}, STOPS])
def test_an_answer_that_ends_by_itself_is_as_it_was(rollout: Rollout, ours: dict[str, bool]) -> None:
    text = CODE.rstrip() + "<|im_end|>"
    output, _, tokenizer = rollout([text], protocol="none", ours=ours)
    assert tokenizer.decode(output.response_ids) == text


def test_without_the_setting_a_model_ends_where_it_likes(rollout: Rollout) -> None:
    text = CODE + "It doubles.<|im_end|>"
    output, _, tokenizer = rollout([text], protocol="none")
    assert tokenizer.decode(output.response_ids) == text
    assert "end_reason" not in output.extra_fields
