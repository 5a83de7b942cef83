"""A count agrees with its noun, in every message of the package; a misspelt name finds its neighbour."""

import ast
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from verl_coder.paths import repository_root
from verl_coder.words import choose_one, counted, did_you_mean, nearest

SOURCE = repository_root() / "src" / "verl_coder"
OTHERS = ("evaluation", "sandbox", "grading", "tools", "agent_loops", "chains", "platform")
"""Parts whose texts a model or a program reads, or that count what is never one."""
NOUN = re.compile(
    r" (answer|call|check|epoch|folder|file|problem|process|request|row|run|seed|step|trace|trajector)"
)
LIMIT = re.compile(r"(=|than |over |at most |above |of |to )$")
"""Before a number that is a setting's value, or one of `3 of 4 rows`."""


@pytest.mark.parametrize(
    ("count", "words", "said"),
    [
        (0, ("row",), "0 rows"),
        (1, ("row",), "1 row"),
        (2, ("row",), "2 rows"),
        (12_500, ("row",), "12,500 rows"),
        (1, ("trajectory", "trajectories"), "1 trajectory"),
        (3, ("row has", "rows have"), "3 rows have"),
    ],
)
def test_a_count_agrees_with_its_noun(count: int, words: tuple[str, ...], said: str) -> None:
    assert counted(count, *words) == said


def numbers_before_plurals(path: Path) -> Iterator[str]:
    """`{n} rows` of the f-strings of a module, where it is no limit."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.JoinedStr):
            continue
        parts = node.values
        for place, (value, text) in enumerate(itertools.pairwise(parts)):
            if not isinstance(value, ast.FormattedValue) or not isinstance(text, ast.Constant):
                continue
            before = parts[place - 1] if place else None
            said = before.value if isinstance(before, ast.Constant) else ""
            plural = re.match(rf"{NOUN.pattern}(es|ies|s)\b", str(text.value))
            is_count = isinstance(value.value, ast.Call | ast.Name | ast.Attribute) and not value.format_spec
            if (
                plural
                and is_count
                and not LIMIT.search(str(said))
                and not text.value[plural.end() :].startswith(" of")
            ):
                yield f"{path.relative_to(SOURCE)}:{node.lineno}: {{{ast.unparse(value.value)}}}{text.value[:30]!r}"


NEVER_ONE = {
    "launch/preflight/mode.py",  # "in separate_async trajectories would be trained on": a mode, no number
    "doctor/situation.py",  # "http://... answers with no outcome": a verb
    "report/inputs.py",  # above the most that a page shows
    "teacher/budget.py",  # a limit that was reached
}


def test_no_message_has_a_number_before_a_plural_that_one_would_not_fit() -> None:
    found = [
        line
        for path in sorted(SOURCE.rglob("*.py"))
        if path.relative_to(SOURCE).parts[0] not in OTHERS
        and path.relative_to(SOURCE).as_posix() not in NEVER_ONE
        for line in numbers_before_plurals(path)
    ]
    assert found == [], "words.counted agrees with its number"


@pytest.mark.parametrize(
    ("name", "known", "near"),
    [
        ("--dryrun", ["--dry-run", "--seed"], "--dry-run"),
        ("--dry_run", ["--dry-run", "--seed"], "--dry-run"),
        ("Tiny-CPU", ["tiny_cpu", "tiny_lora"], "tiny_cpu"),
        ("quite another", ["tiny_cpu"], None),
        ("x", [], None),
    ],
)
def test_the_nearest_is_found_whatever_its_capitals_and_dashes(
    name: str, known: list[str], near: str | None
) -> None:
    assert nearest(name, known) == near


def test_a_name_with_no_neighbour_is_answered_with_all_there_are() -> None:
    assert did_you_mean("x", ["sample", "mbpp"]) == "there are sample, mbpp"
    assert did_you_mean("x", []) == "there are none"
    assert did_you_mean("x", ["sample"], "give a path") == "give a path"
    assert choose_one("vlm", ["vllm", "hf"]) == "did you mean vllm?"
    assert choose_one(3, ["vllm", "hf"]) == "choose one of hf, vllm"
