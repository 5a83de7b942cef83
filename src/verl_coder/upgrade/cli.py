"""`verl-coder upgrade`: which names of verl, vLLM, Ray and the others we touch, and what another version breaks."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from verl_coder.command_app import command_app

app = command_app(
    no_args_is_help=True,
    help="What we touch of verl, vLLM and Ray, and what another version of them breaks.",
)


@app.command()
def touches(
    package: Annotated[str | None, typer.Option(help="This package only.")] = None,
    kind: Annotated[str | None, typer.Option(help="This kind only: override, patch, private ...")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON list in place of lines.")] = False,
) -> None:
    """List every touch of a foreign package by package and kind, with file and line."""
    from verl_coder.errors import ConfigError
    from verl_coder.upgrade.packages import PACKAGES, package_of
    from verl_coder.upgrade.review import Review
    from verl_coder.upgrade.touch import KINDS
    from verl_coder.words import did_you_mean

    for value, known in ((package, tuple(PACKAGES)), (kind, tuple(KINDS))):
        if value is not None and value not in known:
            raise ConfigError(f"{value}: {did_you_mean(value, known)}")
    shown = [
        one
        for one in Review().touches()
        if package in (None, package_of(one.name)) and kind in (None, one.shown_kind)
    ]
    if as_json:
        print(json.dumps([dataclasses.asdict(one) | {"kind": one.shown_kind} for one in shown], indent=1))
        return
    for its_package in PACKAGES:
        for its_kind, meaning in KINDS.items():
            group = [
                one for one in shown if package_of(one.name) == its_package and one.shown_kind == its_kind
            ]
            if group:
                print(f"\n{its_package}: {its_kind} ({meaning})")
                for name in dict.fromkeys(one.name for one in group):
                    places = dict.fromkeys(f"{one.file}:{one.line}" for one in group if one.name == name)
                    print(f"  {name}\n      {', '.join(places)}")


@app.command()
def check(
    at: Annotated[
        str | None, typer.Option(help="Folder with another version, unpacked: it need not be installed.")
    ] = None,
) -> None:
    """Compare what is installed (or lies at --at) with the record; one line for each break, exit status 1."""
    from verl_coder.upgrade.packages import other_folder
    from verl_coder.upgrade.review import Review

    report = Review(other_folder(at) if at else None).check()
    for line in report.lines:
        print(line)
    raise typer.Exit(1 if report.broken else 0)


@app.command()
def record() -> None:
    """Write the contracts of the installed versions, and the table in the README of this part."""
    from verl_coder.upgrade.review import Review

    for path in Review().record():
        print(f"wrote {_short(path)}")


def _short(path: Path) -> str:
    from verl_coder.paths import repository_root

    return str(path.relative_to(repository_root())) if path.is_relative_to(repository_root()) else str(path)
