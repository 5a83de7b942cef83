"""Results in the terminal: one table for the scores, one line each for tools, tokens and time."""

from typing import Any

from rich.console import Console
from rich.table import Table

from verl_coder.consoles import print_whole
from verl_coder.words import counted


def print_results(results: dict[str, Any], console: Console) -> None:
    """The table of pass@k over all, by dataset, difficulty and tag, and what else the samples tell."""
    ks = list(results["pass_at_k"])
    settings = results["settings"]
    count, each = counted(results["num_tasks"], "problem"), counted(results["num_samples_per_task"], "sample")
    console.print(f"{settings['model']}: {count}, {each} each", highlight=False, soft_wrap=True)
    table = Table()
    table.add_column("")
    table.add_column("problems", justify="right")
    for k in ks:
        table.add_column(f"pass@{k}", justify="right")
    table.add_column("tests passed", justify="right")
    _add_row(table, "all", results, ks)
    for title in ("by_dataset", "by_difficulty", "by_tag"):
        groups = results[title]
        if len(groups) > 1 or title == "by_tag":
            table.add_section()
            for name, group in groups.items():
                _add_row(table, name, group, ks)
    print_whole(console, table)
    for line in _lines(results):
        console.print(line, highlight=False, soft_wrap=True)


def _add_row(table: Table, name: str, group: dict[str, Any], ks: list[str]) -> None:
    cells = [_with_interval(group["pass_at_k"].get(k), group["pass_at_k_interval"].get(k)) for k in ks]
    tests = _with_interval(group["test_pass_rate"], group["test_pass_rate_interval"])
    table.add_row(name, str(group["num_tasks"]), *cells, tests)


def _with_interval(value: float | None, interval: Any) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" + (f"\n{interval[0]:.3f}-{interval[1]:.3f}" if interval else "")


def _lines(results: dict[str, Any]) -> list[str]:
    tools, tokens, times = results["tools"], results["tokens"], results["timing"]
    throughput = results["throughput"]
    lines = [
        "outcomes: " + ", ".join(f"{name} {count}" for name, count in results["outcomes"].items()),
        "ends: " + ", ".join(f"{name} {count}" for name, count in results["finish_reasons"].items()),
        f"tokens a sample: prompt {tokens['prompt']['mean']:.0f}, response {tokens['response']['mean']:.0f} "
        f"(p95 {tokens['response']['p95']:.0f}, max {tokens['response']['max']:.0f})",
    ]
    given = results["given"]
    if given["rate"] < 1:
        lines.append(
            f"answers that hold code: {given['rate']:.1%}, of which pass {_share(given.get('pass_rate'))}"
        )
    if tools["written_calls"]:
        with_calls, without = tools["pass_rate_with_calls"], tools["pass_rate_without_calls"]
        lines.append(
            f"tool calls: {tools['mean']:.2f} a sample, {tools['rate']:.1%} of samples call, valid "
            f"{tools['valid_share']:.1%} of {tools['written_calls']}, ended well {_share(tools['success_rate'])}; "
            f"passed with calls {_share(with_calls)}, without {_share(without)}"
        )
    second = f"graded a second time, alone (near a time limit): {results['second_tries']}"
    if not times["sampling_s"]:
        return [*lines, f"time: not known, the starts that drew the samples were killed; {second}"]
    drawn, there = int(times["drawn_samples"]), sum(results["outcomes"].values())
    samples = "" if throughput["samples_per_s"] is None else f" {throughput['samples_per_s']:.1f} samples/s,"
    if samples and drawn < there:
        samples = f"{samples[:-1]} (of the {drawn} of {there} samples whose start was not killed),"
    lines.append(
        f"time: {times['loading_s']:.0f} s loading, {times['sampling_s']:.0f} s sampling, "
        f"{throughput['tokens_per_s']:.0f} tokens/s,{samples} waiting for grading "
        f"{throughput['waiting_for_grading_share']:.1%}; {second}"
    )
    return lines


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
