"""What messages of all parts share: a count with its noun, and what a misspelt name may have meant."""

from collections.abc import Iterable
from difflib import get_close_matches


def counted(count: int, one: str, many: str = "") -> str:
    """`1 row`, `2 rows`, `12,500 rows`; `many` where an s is not enough: `counted(n, "row has", "rows have")`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The one of `known` that a misspelt `name` may have meant: capitals, - and _ make no difference."""
    plain: dict[str, str] = {}
    for word in known:
        plain.setdefault(_plain(word), word)
    found = get_close_matches(_plain(name), plain, n=1)
    return plain[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "") -> str:
    """`did you mean sample?`, else `otherwise`, which is `there are a, b` where it is empty."""
    names = list(known)
    close = nearest(name, names)
    if close:
        return f"did you mean {close}?"
    return otherwise or f"there are {', '.join(names) or 'none'}"


def choose_one(value: object, allowed: Iterable[str]) -> str:
    """What to give in place of a value that is none of `allowed`: the nearest, else all of them."""
    names = sorted(allowed)
    return did_you_mean(str(value), names, f"choose one of {', '.join(names)}")


def _plain(name: str) -> str:
    return name.lower().replace("_", "-")


def one_line(text: str) -> str:
    """A text without line ends."""
    return " ".join(text.splitlines())
