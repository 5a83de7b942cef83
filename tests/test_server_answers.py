"""What a server says of the end of an answer is read alike for every server that says it."""

import pytest

from verl_coder.server_answers import is_whole, stopped_at

_SAID = {
    "vLLM, at a text": ({"stop_reason": "</program>"}, "</program>"),
    "vLLM, at a token": ({"stop_reason": 151643}, ""),
    "vLLM, by itself": ({"stop_reason": None}, ""),
    "SGLang, at a text": ({"matched_stop": "</program>"}, "</program>"),
    "SGLang, at a token": ({"matched_stop": 151645}, ""),
    "a server that says nothing": ({"finish_reason": "stop"}, None),
}


@pytest.mark.parametrize(("choice", "expected"), _SAID.values(), ids=_SAID.keys())
def test_what_an_answer_was_stopped_at(choice: dict[str, object], expected: str | None) -> None:
    assert stopped_at(choice) == expected


def test_an_answer_is_whole_where_the_model_ended_it() -> None:
    assert all(is_whole(reason) for reason in (None, "", "stop", "tool_calls", "eos"))
    assert not any(is_whole(reason) for reason in ("length", "abort", "error", "content_filter"))
