"""Samples of a model: the code of its answers, by problem."""

import ast
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from verl_coder import json_text
from verl_coder.errors import DataError
from verl_coder.grading import answer_code
from verl_coder.problems import Problem
from verl_coder.protocols import PROTOCOLS
from verl_coder.syntax import parse_python, parsed
from verl_coder.words import counted

_MARKS = (
    "<think>",
    "</think>",
    "<|",
    *(mark for p in PROTOCOLS.values() if p.tags for mark in p.tags if mark),
)
"""What takes a conversation apart."""


@dataclass(kw_only=True)
class Samples:
    """Distinct codes of each problem in the order of the files, and the counts of the lines."""

    codes: dict[str, list[str]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    """`read` (of known problems), `unknown_problem`, `without_code`, `repeated`."""


def read_samples(paths: Sequence[Path], problems: Mapping[str, Problem]) -> Samples:
    """Samples of the problems asked for; DataError names the file, the line and what is wrong with it.

    Samples of other problems are counted; DataError where all of them are.
    """
    samples = Samples()
    seen: set[tuple[str, str]] = set()
    for path in paths:
        found = list(_from_parquet(path) if path.suffix == ".parquet" else _from_lines(path))
        if not found:
            raise DataError(f"--samples {path} holds no samples: name another file, or leave the option out")
        for problem_id, output in found:
            if problem_id not in problems:
                samples.counts["unknown_problem"] += 1
                continue
            samples.counts["read"] += 1
            code = without_demonstration(usable_code(answer_code(output, problems[problem_id].tests) or ""))
            if not code:
                samples.counts["without_code"] += 1
            elif (key := (problem_id, normalised(code))) in seen:
                samples.counts["repeated"] += 1
            else:
                seen.add(key)
                samples.codes.setdefault(problem_id, []).append(code)
    if paths and not samples.counts["read"]:
        files = ", ".join(map(str, paths))
        raise DataError(
            f"--samples {files}: none of {counted(samples.counts['unknown_problem'], 'sample')} is of a problem of "
            f"--problems (theirs {problem_id!r}, that file's {next(iter(problems), '')!r}): sample that file's"
        )
    return samples


def _from_lines(path: Path) -> Iterator[tuple[str, str]]:
    try:
        with path.open("rb") as stream:  # whose lines end with \n alone
            lines = [(n, line) for n, line in enumerate(stream, start=1) if line.strip()]
    except OSError as error:
        raise DataError(f"--samples {path} cannot be read: {error}") from error
    for number, line in lines:
        yield _fields(line, f"{path}, line {number}")


def _from_parquet(path: Path) -> Iterator[tuple[str, str]]:
    """Of `samples.parquet`, which `verl-coder evaluate` writes."""
    try:
        rows = pq.read_table(path, columns=["problem_id", "output"]).to_pylist()
    except (pa.ArrowException, OSError) as error:
        if path.is_file() and isinstance(error, pa.ArrowInvalid) and "No match for FieldRef" in str(error):
            raise DataError(
                f"--samples {path} lacks problem_id or output: take samples.parquet of `verl-coder evaluate`, or JSON "
                "lines with the two"
            ) from error
        words = str(error).splitlines()[0]
        raise DataError(f"--samples {path} cannot be read: {words}") from error
    for number, row in enumerate(rows):
        output = row["output"]
        if output is not None and not isinstance(output, str):
            raise DataError(
                f"--samples {path}, row {number}: its output is of type {type(output).__name__}: give the text of an "
                "answer"
            )
        yield str(row["problem_id"]), output or ""


def usable_code(code: str) -> str:
    """The code as a conversation can quote it, with line feeds only; empty where it cannot."""
    code = code.replace("\r\n", "\n").replace("\r", "\n").strip("\n").rstrip()
    return code if quotable(code) else ""


def without_demonstration(code: str) -> str:
    """The code without the asserts and prints, and the comments on them, that a model adds below its definitions.

    A trace makes its own calls; what stands there would be learnt as part of the answer, and hide a wrong result
    behind an AssertionError. A script, which has no definition, is left alone.
    """
    try:
        body = parse_python(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return code
    kept = list(body)
    while kept and _demonstrates(kept[-1]):
        kept.pop()
    if len(kept) == len(body) or not any(isinstance(node, _DEFINITIONS) for node in kept):
        return code
    return "\n".join(code.split("\n")[: kept[-1].end_lineno])


_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def _demonstrates(node: ast.stmt) -> bool:
    is_print = (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Call)
        and isinstance(node.value.func, ast.Name)
        and node.value.func.id == "print"
    )
    return is_print or isinstance(node, ast.Assert)


def quotable(text: str) -> bool:
    """Whether a conversation can hold the text: none of its own marks, nothing that is no text."""
    is_text = not any(char == "\0" or "\ud800" <= char <= "\udfff" for char in text)
    return is_text and not any(mark in text for mark in _MARKS)


def normalised(code: str) -> str:
    """The same text for codes that differ in layout and comments only."""
    try:
        return ast.unparse(parse_python(code))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return "\n".join(line.rstrip() for line in code.splitlines() if line.strip())


def _fields(line: bytes, place: str) -> tuple[str, str]:
    try:
        row: Any = json_text.loads(line)
    except ValueError as error:
        raise DataError(f"{place} is no JSON ({error})") from error
    for name in ("problem_id", "output"):
        if not isinstance(row, dict) or not isinstance(row.get(name), str):
            raise DataError(
                f"{place} lacks the text {name!r}: give lines such as RUN/validation/0.jsonl has, or samples.parquet"
            )
    return row["problem_id"], row["output"]


def is_python(code: str) -> bool:
    """Whether it parses."""
    return parsed(code) is not None
