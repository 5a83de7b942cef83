"""Control tokens in the text of a tool: broken, so that no output becomes one in a rollout or in a trace."""

from collections.abc import Iterable
from typing import Any


def control_tokens(tokenizer: Any) -> tuple[str, ...]:
    """Texts that the tokenizer reads as one special token, and added ones in the form of a tag, longest first."""
    added = {str(token) for token in tokenizer.added_tokens_decoder.values()}
    tags = {text for text in added if text[:1] in "<[" and text[-1:] in ">]"}
    found = {text for text in {*tokenizer.all_special_tokens, *tags} if len(text) > 1 and not text.isspace()}
    return tuple(sorted(found, key=len, reverse=True))


def break_control_tokens(text: str, control: Iterable[str]) -> str:
    """`text` with a space after the first character of each control token, until none is left.

    Lone surrogates, which no tokenizer takes, become question marks.
    """
    text = text.encode("utf-8", "replace").decode()
    found = True
    while found:
        found = False
        for token in control:
            if token in text:
                text, found = text.replace(token, f"{token[0]} {token[1:]}"), True
    return text
