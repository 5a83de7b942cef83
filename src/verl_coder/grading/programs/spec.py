"""What the judge gets: the tests of a suite, and what earlier requests have settled of them."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple


class Spec(NamedTuple):
    """The judge's specification; it travels as the JSON array of its fields.

    Items: `{args, expected}` is a call, `{source}` or `{source, left, right}` a statement (`setup`: not a
    test), `{stdin, expected}` the run of a program.
    """

    style: Literal["calls", "module", "program"]
    items: Sequence[dict[str, Any]] = ()
    total: int = 0
    prelude: str = ""
    setup: str = ""
    entry_name: str = ""
    """What the tests call the function under test; empty where it has no name of its own."""
    names: Sequence[str] = ()
    """Global names of the solution that the tests use; in style `module` those that a library has, too."""
    libraries: Mapping[str, str] = {}
    """Names of the judge's own that the tests use: `np` -> `numpy`, `isclose` -> `math.isclose`."""
    used_as_classes: Sequence[str] = ()
    """Names of the solution that the tests use as classes: what they make by calling these is theirs."""
    source: str = ""
    needs_pytest: bool = False
    skipped: Sequence[str] = ()
    """Tests that their own text skips or expects to fail, or may by what it knows of the machine."""
    asks_types: bool = False
    """Whether the tests call `type`."""
    with_numpy: bool = False
    compare: Literal["exact", "json", "json_wrapped"] = "exact"
    live: bool = False
    """Whether the tests could see that one side changes what it got from the other."""
    says_what_it_expects: bool = False
    """Whether the tests compare an answer with what they make of their own data (reading.py)."""
    timeout_s: float = 0.0
    load_timeout_s: float = 0.0
    budget_s: float = 0.0
    stop_early: bool = False
    nonce: str = ""
    direct: bool = True
    """Whether the solution is loaded in the harness itself, as it is in the first request."""
    known: str = ""
    """Letters of the tests that earlier requests ran."""
    provisional: Mapping[str, str] = {}
    """Index -> letter of a test in a shared process, to be confirmed in one of its own."""
    timeouts: int = 0
