"""What an error of the Hugging Face hub's client says, in one line."""

import textwrap
from collections.abc import Iterator

_MOST = 200
_NOT_REACHED = ("ConnectError", "ConnectTimeout", "ConnectionError", "OfflineModeIsEnabled", "ReadTimeout")
"""Names of the errors of httpx, requests and the hub's own for a hub that does not answer."""


def hub_reason(error: BaseException) -> str:
    """Why the hub gave nothing: it cannot be reached from here, or its own first words, cut between two of them."""
    if cause := next((one for one in _chain(error) if type(one).__name__ in _NOT_REACHED), None):
        words = f"it cannot be reached from here ({str(cause).strip() or type(cause).__name__})"
    else:
        words = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    return textwrap.shorten(words, _MOST, placeholder=" ...")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
