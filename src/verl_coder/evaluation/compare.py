"""`verl-coder compare A B ...`: evaluations of the same problems beside each other, problem by problem."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from verl_coder.command_app import command_app
from verl_coder.consoles import print_whole, table_console
from verl_coder.errors import ConfigError, DataError
from verl_coder.evaluation.folder import JOURNAL, RESULTS, SAMPLES, SETTINGS, TIMING
from verl_coder.evaluation.paired import PairedComparison, compare_paired, holm
from verl_coder.evaluation.pass_at_k import K_VALUES
from verl_coder.evaluation.samples import read_outcomes
from verl_coder.files import file_sha256, given_folder, keep_apart, read_json, write_atomically

app = command_app()
_SHOWN = 8
_MADE_AGAIN = "the evaluation's own command writes it again from its samples"


def read_counts(folder: Path) -> dict[str, tuple[int, int]]:
    """Problem -> (samples, samples that passed) of an evaluation; DataError where the folder holds none."""
    total, solved = Counter[str](), Counter[str]()
    for problem, outcome in read_outcomes(_samples_of(folder)):
        total[problem] += 1
        solved[problem] += outcome == "passed"
    return {problem: (count, solved[problem]) for problem, count in total.items()}


def _samples_of(folder: Path) -> Path:
    path = folder if folder.is_file() else given_folder(folder) / SAMPLES
    if not path.is_file():
        raise DataError(f"{folder} holds no {SAMPLES}: name the folder of a finished `verl-coder evaluate`")
    return path


def _files_of(folder: Path) -> list[Path]:
    """What is read of an evaluation, or would be missed there."""
    return [folder, *(folder / name for name in (SAMPLES, RESULTS, JOURNAL, SETTINGS, TIMING))]


def compare_all(folders: Sequence[Path]) -> list[PairedComparison]:
    """Every evaluation but the first against the first, p-values corrected for their number."""
    counts = [read_counts(folder) for folder in folders]
    names = _names(folders)
    found = []
    for name, other, folder in zip(names[1:], counts[1:], folders[1:], strict=True):
        common = set(counts[0]) & set(other)
        if not common:
            raise DataError(f"{folders[0]} and {folder} have no problem in common")
        least = min(min(counts[0][problem][0], other[problem][0]) for problem in common)
        ks = [k for k in K_VALUES if k <= least]
        found.append(compare_paired(names[0], counts[0], name, other, ks=ks))
    adjusted = holm([comparison.p_value for comparison in found])
    return [
        replace(comparison, adjusted_p_value=p_value)
        for comparison, p_value in zip(found, adjusted, strict=True)
    ]


def _names(folders: Sequence[Path]) -> list[str]:
    """Shortest ends of the paths that differ."""
    parts = [folder.resolve().parts for folder in folders]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    twice = next(folder for place, folder in enumerate(folders) if parts[place] in parts[:place])
    raise ConfigError(f"{twice} is named twice")


def setting_differences(folders: Sequence[Path]) -> dict[str, list[Any]]:
    """Settings whose values differ between the evaluations; null for one that has no results to say them."""
    settings: list[dict[str, Any] | None] = []
    for folder in folders:
        path = folder / RESULTS
        found = read_json(path, _MADE_AGAIN).get("settings") if path.exists() else None
        if path.exists() and not isinstance(found, dict):
            raise ConfigError(f"{path} has no settings: {_MADE_AGAIN}")
        settings.append(found)
    known = [one for one in settings if one is not None]
    names = dict.fromkeys(name for one in known for name in one)
    differing = [name for name in names if any(one.get(name) != known[0].get(name) for one in known)]
    return {name: [None if one is None else one.get(name) for one in settings] for name in differing}


@app.command()
def run(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDER", help="Folders of evaluations; the first is what others are held against."
        ),
    ],
    out: Annotated[Path | None, typer.Option(help="JSON file for the comparison.")] = None,
) -> None:
    """Say whether evaluations of the same problems differ by more than noise: paired, exact, in words."""
    if len(folders) < 2:
        raise ConfigError("compare takes two evaluations or more: verl-coder compare outputs/a outputs/b")
    # The folder also where its file of samples is named: the settings stand in it.
    folders = [path.parent if path.name == SAMPLES and path.is_file() else path for path in folders]
    if out is not None:
        keep_apart({"--out": out}, {f"{one}": _files_of(one) for one in folders})
    comparisons = compare_all(folders)
    differences = setting_differences(folders)
    console = table_console()
    for folder in folders:
        if not (folder / RESULTS).exists():
            _say(console, f"{folder} has no {RESULTS}: its settings are not known")
    _print(comparisons, differences, console)
    if out is not None:
        # Which samples they are, so that a report does not show them beside others of the same name.
        first, *others = (file_sha256(_samples_of(folder)) for folder in folders)
        record = {
            "comparisons": [
                {**asdict(one), "verdict": one.verdict(), "first_samples": first, "second_samples": second}
                for one, second in zip(comparisons, others, strict=True)
            ],
            "settings": differences,
        }
        write_atomically(out, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
        console.print(f"comparison: {out}", soft_wrap=True)


def _print(
    comparisons: Sequence[PairedComparison], differences: dict[str, list[Any]], console: Console
) -> None:
    if differences:
        _say(console, "settings that differ:")
    for name, values in differences.items():
        _say(console, f"  {name}: {' | '.join(_short(value) for value in values)}")
    print_whole(console, _table(comparisons))
    for one in comparisons:
        _say(console, one.verdict())
        _say(console, f"  p-value: {one.p_value_how}")
        if left_out := _left_out(one):
            _say(console, f"  {left_out}")
        for word, problems in (("won", one.won), ("lost", one.lost)):
            if problems:
                more = f" and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
                _say(console, f"  {word}: {', '.join(problems[:_SHOWN])}{more}")


def _table(comparisons: Sequence[PairedComparison]) -> Table:
    """A row for each comparison: both rates and all else are of the problems that its two have in common."""
    first = comparisons[0].first
    table = Table()
    table.add_column("")
    titles = ["problems", f"{first}: pass@1", "pass@1", "difference", "won", "lost", "p"]
    for title in [*titles, *(["p (Holm)"] if len(comparisons) > 1 else [])]:
        table.add_column(title, justify="right")
    for one in comparisons:
        interval = f" [{one.interval[0]:+.3f}, {one.interval[1]:+.3f}]" if one.interval else ""
        cells = [one.second, str(one.problems), f"{one.rates[0]:.3f}", f"{one.rates[1]:.3f}"]
        cells += [f"{one.difference:+.3f}{interval}", str(len(one.won)), str(len(one.lost))]
        cells += [f"{one.p_value:.2g}", f"{one.adjusted_p_value:.2g}"]
        table.add_row(*cells[: len(table.columns)])
    return table


def _left_out(one: PairedComparison) -> str:
    """Which problems count in no number of a comparison; empty where the two have the same ones."""
    parts = [
        f"{count - one.problems} of the {count} of {name}"
        for name, count in zip((one.first, one.second), one.problems_of_each, strict=True)
        if count > one.problems
    ]
    return f"problems left out, since the other one lacks them: {', '.join(parts)}" if parts else ""


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."
