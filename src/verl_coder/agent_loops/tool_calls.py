"""Tool calls as models really write them: read, mended where the meaning is certain, else told what is wrong."""

import io
import json
import re
import tokenize
from collections.abc import Callable, Mapping
from typing import Any

from verl_coder.protocols import Tags
from verl_coder.syntax import literal_value
from verl_coder.words import did_you_mean, nearest

_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
}


MAX_INVALID_CALLS = 3
"""Turns in a row without a call that can be done, after which a trajectory ends, unless its loop says otherwise."""
_BRACES = ("", "}", "}}")
_ESCAPE = re.compile(r"\\(.)", re.S)
_ONE_TEXT = re.compile(
    r'(\{\s*"name"\s*:\s*"[^"\\]+"\s*,\s*"(?:arguments|parameters)"\s*:\s*\{\s*"\w+"\s*:\s*")(.*)("\s*\}\s*\})',
    re.S,
)
_NEXT_ARGUMENT = re.compile(r'"\s*,\s*"\w+"\s*:')
_JSON_ESCAPES = '"\\/bfnrtu'
_CALL_KEYS = ("name", "function", "arguments", "parameters", "id", "type")
_FORM = 'write {"name": ..., "arguments": {...}}'


class CallMistake(ValueError):
    """A call that cannot be done; its text tells the model what is wrong."""


def call_texts(turn: str, tags: Tags) -> list[str]:
    """What stands between the tags of each call of a turn, after its thinking; its end may cut the last one off."""
    return [text for _, text in placed_calls(turn, tags)]


def placed_calls(turn: str, tags: Tags) -> list[tuple[int, str]]:
    """The same, each with the place of its opening tag in the turn."""
    thought = max(turn.rfind("</think>"), 0)
    before, *parts = turn[thought:].split(tags.call)
    place, found = thought + len(before), []
    for part in parts:
        text, closed, _ = part.partition(tags.end_call)
        # A tag that is only mentioned has no call behind it.
        if closed or text.lstrip().startswith(("{", "```")):
            found.append((place, text.strip()))
        place += len(tags.call) + len(part)
    return found


def read_call(text: str) -> tuple[str, dict[str, Any]]:
    """(name, arguments) of a call in hermes form; CallMistake.

    Mended, since only one reading is possible: raw line ends and tabs in a string; `\\'`, and other escapes that JSON
    does not have (`\\d`); bare quotes in the one text of a call; a Python literal for JSON; `parameters` for
    `arguments`, and arguments encoded twice; a Markdown fence around it; a missing last brace.
    """
    value = _object(text)
    name = value.get("name", value.get("function"))
    if isinstance(name, dict):
        value = name
        name = value.get("name")
    if not isinstance(name, str) or not name:
        raise CallMistake(f'the call has no "name"; {_FORM}')
    beside = [key for key in value if key not in _CALL_KEYS and isinstance(value[key], str | dict)]
    if beside and not value.keys() & {"arguments", "parameters"}:
        named = ", ".join(map(repr, beside))
        raise CallMistake(
            f'the call has {named} and no "arguments", where all that a tool is given stands; {_FORM}'
        )
    arguments = value.get("arguments", value.get("parameters", {}))
    if isinstance(arguments, str):
        arguments = _object(arguments) if arguments.strip() else {}
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, dict):
        raise CallMistake(f'"arguments" is {_kind(arguments)}; it must be an object')
    return name, arguments


def _object(text: str) -> dict[str, Any]:
    stripped = re.sub(r"\A```\w*\n|\n?```\Z", "", text.strip()).strip()
    escaped = _mended_escapes(stripped)
    # A text that ends inside a string stays unreadable: nobody knows what more it would have held.
    written = [text + brace for text in dict.fromkeys((stripped, escaped)) for brace in _BRACES]
    readings: list[tuple[Callable[[str], Any], str]] = [(_json, text) for text in written]
    trouble = ""
    for read, candidate in [*readings, (_literal, stripped), (_json, _mended_quotes(escaped))]:
        try:
            value = read(candidate)
        except (
            ValueError,
            SyntaxError,
            RecursionError,
            MemoryError,
            TypeError,
            tokenize.TokenError,
        ) as error:
            trouble = trouble or str(error)
            continue
        if isinstance(value, dict):
            return value
        if read is _json:
            raise CallMistake(f"the call is {_kind(value)}; {_FORM}")
    raise CallMistake(
        f'the call is no JSON ({trouble}); {_FORM}, line ends in a string as \\n, quotes as \\"'
    )


def _json(text: str) -> Any:
    """Not strict: raw line ends in a string are what models write for code."""
    return json.loads(text, strict=False)


def _literal(text: str) -> Any:
    """A Python literal, ValueError where two texts stand side by side: the quotes between them may be the code's."""
    before = None
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == before == tokenize.STRING:
            raise ValueError("two strings side by side")
        if token.type not in (tokenize.NL, tokenize.NEWLINE, tokenize.COMMENT):
            before = token.type
    return literal_value(text)


def _mended_escapes(text: str) -> str:
    """`'` for `\\'`, and a backslash doubled where JSON has no such escape, as of `\\d`: it is the code's."""
    return _ESCAPE.sub(lambda found: _mended(found[0], found[1]), text)


def _mended(escape: str, character: str) -> str:
    if character == "'":
        return "'"
    return escape if character in _JSON_ESCAPES else f"\\{escape}"


def _mended_quotes(text: str) -> str:
    """A call of one text whose own quotes are bare, with these escaped; any other text as it is.

    The last quote before the braces ends the text, so that there is one reading, unless a further argument may
    begin in it.
    """
    found = _ONE_TEXT.fullmatch(text)
    if found is None or _NEXT_ARGUMENT.search(found[2]):
        return text
    written = re.sub(r'\\.|"', lambda part: '\\"' if part[0] == '"' else part[0], found[2], flags=re.S)
    return f"{found[1]}{written}{found[3]}"


def surplus(most: int, found: int) -> str:
    """With which mistake all calls of a turn above the `most` that it may have are answered."""
    return f"only the first {most} of the {found} calls of this turn were run"


def check_call(name: str, arguments: Mapping[str, Any], schemas: Mapping[str, Mapping[str, Any]]) -> None:
    """CallMistake unless the tool exists and its arguments are those of its schema (JSON schema of `parameters`)."""
    if name not in schemas:
        raise CallMistake(f"no tool {name!r}; {did_you_mean(name, schemas)}")
    properties = schemas[name].get("properties") or {}
    for key in schemas[name].get("required") or []:
        if arguments.get(key) is None:
            raise CallMistake(_lacks(name, key, arguments, properties))
    for key, value in arguments.items():
        if key not in properties:
            hint = did_you_mean(key, properties, f"its arguments are {', '.join(properties)}")
            raise CallMistake(f"{name} has no argument {key!r}; {hint}")
        wanted = properties[key].get("type")
        kinds = [wanted] if isinstance(wanted, str) else list(wanted or [])
        allowed = tuple(kind for each in kinds for kind in _TYPES.get(each, (object,)))
        boolean = isinstance(value, bool) and "boolean" not in kinds
        if value is not None and allowed and (boolean or not isinstance(value, allowed)):
            raise CallMistake(
                f"the argument {key!r} of {name} is {_kind(value)}; it must be {' or '.join(kinds)}"
            )


def _lacks(name: str, key: str, arguments: Mapping[str, Any], properties: Mapping[str, Any]) -> str:
    """That a required argument is missing, and which of those that are there may be meant for it."""
    strange = [each for each in arguments if each not in properties]
    meant = nearest(key, strange)
    return f"{name} lacks the argument {key!r}" + (f"; is {meant!r} meant for it?" if meant else "")


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")
