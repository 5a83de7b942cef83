"""One place where our source touches a foreign package."""

from dataclasses import dataclass

KINDS = {
    "import": "a name that is imported",
    "call": "a function or class that is called: its parameters must take what we give",
    "attribute": "a method or value of a foreign class, module or object that is read",
    "inherited": "a method or value that a subclass of ours uses of its foreign base",
    "subclass": "a class that ours is built on",
    "override": "a method that ours overrides: its parameters must stay the same",
    "patch": "a name that is replaced in the foreign module or class",
    "private": "a name with a leading underscore, however it is used",
    "string": "a dotted name in a text or a YAML, resolved at run time",
    "config": "a key of verl's configuration",
    "word": "an environment variable, an entry-point group or a private name of an unknown class",
}
"""How a name is touched. The order is that of the list."""


@dataclass(frozen=True, kw_only=True, order=True)
class Touch:
    """`name` is dotted; `package:env:NAME` and `package:config:a.b` are the two other forms."""

    name: str
    kind: str
    file: str
    line: int
    ours: str = ""
    """What of ours does it: `Class.method`."""
    positional: int = 0
    keywords: tuple[str, ...] = ()
    open_ended: bool = False
    """A call with *args or **kwargs, of which the source does not say what they hold."""
    replaces: bool = False
    """An override that does not call what it overrides: a change of that body concerns us."""

    @property
    def is_private(self) -> bool:
        """Whether a part of the name has a leading underscore."""
        parts = self.name.replace(":", ".").split(".")
        return any(part.startswith("_") and not part.startswith("__") for part in parts)

    @property
    def shown_kind(self) -> str:
        """`private` for an import, a call or a use of a private name; overrides and patches keep their kind."""
        plain = self.kind in ("import", "call", "attribute", "inherited", "word")
        return "private" if plain and self.is_private else self.kind
