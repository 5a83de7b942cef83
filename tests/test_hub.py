"""An error of the hub's client is one line of whole words that says whether the hub was there at all."""

import pytest

from verl_coder.hub import hub_reason


class ConnectError(Exception):
    """As httpx names it."""


def behind(cause: Exception, error: Exception) -> Exception:
    try:
        raise error from cause
    except Exception as raised:
        return raised


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            behind(ConnectError("[Errno -2] Name or service not known"), OSError("An error happened " * 20)),
            "it cannot be reached from here ([Errno -2] Name or service not known)",
        ),
        (behind(ConnectError(""), OSError("x")), "it cannot be reached from here (ConnectError)"),
        (ValueError("401 Client Error.\nRepository not found"), "401 Client Error."),
        (ValueError(), "ValueError"),
    ],
)
def test_the_reason_is_that_the_hub_is_out_of_reach_or_its_first_words(error: Exception, said: str) -> None:
    assert hub_reason(error) == said


def test_a_long_reason_ends_between_two_words() -> None:
    reason = hub_reason(ValueError("snapshot " * 100))
    assert len(reason) <= 200 and reason.endswith("snapshot ...")
