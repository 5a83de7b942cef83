"""The page of errors: every text that it quotes is one that the program says."""

import ast
import re
from functools import cache

import pytest

from verl_coder.paths import repository_root

ROOT = repository_root()
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text()
QUOTES = re.findall(r"^\| `([^`]+)` \|", PAGE, re.M)


def _text(node: ast.expr) -> str | None:
    """A string's text, with NUL for each value in it; None where it is no string."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "\0" for part in node.values)
    return None


@cache
def said() -> tuple[str, ...]:
    """Every string of the package, and every line of the scripts."""
    found = []
    for path in sorted((ROOT / "src" / "verl_coder").rglob("*.py")):
        found += [
            text
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.expr) and (text := _text(node))
        ]
    for path in sorted((ROOT / "run_scripts").glob("*.sh")):
        found += [re.sub(r"\$\{[^}]*\}|\$\w+", "\0", line) for line in path.read_text().splitlines()]
    return tuple(found)


def pattern(quote: str) -> re.Pattern[str]:
    """The quote with anything for each `...`."""
    return re.compile(".*".join(re.escape(part.strip()) for part in quote.split("...")), re.S)


def test_the_page_quotes_many() -> None:
    assert len(QUOTES) >= 35
    assert len(QUOTES) == len(re.findall(r"^\| (?!it says|---)", PAGE, re.M))


@pytest.mark.parametrize("quote", QUOTES)
def test_the_program_says_it(quote: str) -> None:
    wanted = pattern(quote)
    assert any(wanted.search(text) for text in said()), quote


@pytest.mark.parametrize("quote", QUOTES)
def test_a_quote_says_more_than_values(quote: str) -> None:
    assert len(quote.replace("...", "").strip()) >= 8, quote
