"""`verl-coder data inspect --html`: one self-contained page with the distributions and example rows."""

import math
from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path

from verl_coder.data.inspect_terminal import lengths, summary
from verl_coder.data.statistics import Statistics
from verl_coder.files import write_atomically
from verl_coder.problems import DIFFICULTIES, Problem
from verl_coder.words import counted

_BINS = 32
_WIDTH, _HEIGHT = 420, 120
_COLOURS = {"easy": "#5aa469", "medium": "#e0a33e", "hard": "#c8553d", "unknown": "#9aa0a6"}
_LOG_RATIO = 50
"""Largest value over median from which a histogram has a logarithmic axis."""

_STYLE = """
:root{--ink:#1f2328;--soft:#667;--line:#e3e5e8;--accent:#3b6ea8}
*{box-sizing:border-box} body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);margin:0 auto;
max-width:1000px;padding:24px 20px 60px} h1{font-size:22px;margin:0 0 2px} h2{font-size:16px;margin:32px 0 10px}
.soft{color:var(--soft)} .grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(430px,100%),1fr));gap:16px}
.card{border:1px solid var(--line);border-radius:8px;padding:12px 14px;overflow:hidden}
.card h3{font-size:14px;margin:0 0 6px}
.tiles{display:flex;flex-wrap:wrap;gap:12px;margin-top:16px} .tile{border:1px solid var(--line);border-radius:8px;
padding:8px 16px;min-width:120px} .tile b{display:block;font-size:22px}
table{border-collapse:collapse;width:100%} td.bars{width:100%} td{padding:3px 8px 3px 0;vertical-align:middle}
td.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
.bar{height:14px;display:flex;border-radius:3px;overflow:hidden}
svg{width:100%;height:auto;display:block} svg text{font:11px system-ui,sans-serif;fill:#667}
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#f6f7f9;border-radius:6px;padding:10px 12px;
font-size:13px;max-height:420px;overflow:auto;margin:4px 0 12px} details{margin:8px 0} summary{cursor:pointer}
.key{display:inline-block;width:10px;height:10px;border-radius:2px;margin:0 4px 0 0}
.legend span:not(.key){margin-right:14px}
"""


def write_html(statistics: Statistics, path: Path, *, title: str, max_prompt_tokens: int | None) -> None:
    """Write the page, atomically; it loads nothing from elsewhere."""
    write_atomically(path, _page(statistics, title, max_prompt_tokens))


def _page(statistics: Statistics, title: str, max_prompt_tokens: int | None) -> str:
    tiles = [
        ("rows", statistics.rows),
        ("datasets", len(statistics.sources)),
        ("without reference", statistics.without_reference),
    ]
    if max_prompt_tokens is not None and statistics.prompt_tokens:
        tiles.append((f"prompts over {max_prompt_tokens} tokens", statistics.over_long))
    histograms = "".join(_histogram(name, values) for name, values in lengths(statistics) if values)
    return f"""<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1"><title>{escape(title)}</title>
<style>{_STYLE}</style>
<h1>{escape(title)}</h1>
<div class="tiles">{"".join(f'<div class="tile"><b>{n:,}</b>{escape(name)}</div>' for name, n in tiles)}</div>
<h2>Datasets and difficulty</h2>{_difficulty_bars(statistics)}
<div class="grid" style="margin-top:16px">
{_counts("Split", statistics.splits)}{_counts("Test style", statistics.styles)}</div>
<h2>Distributions over rows</h2><div class="grid">{histograms}</div>
<h2>Rows as the model sees them</h2>{"".join(map(_example, statistics.examples))}
</html>
"""


def _difficulty_bars(statistics: Statistics) -> str:
    largest = max(statistics.sources.values(), default=1)
    rows = []
    for source, total in statistics.sources.most_common():
        parts = "".join(
            f'<span title="{name}: {count}" style="flex:{count};background:{_COLOURS[name]}"></span>'
            for name in DIFFICULTIES
            if (count := statistics.difficulty_by_source[source, name])
        )
        width = max(1.0, 100 * total / largest)
        rows.append(
            f"<tr><td>{escape(source)}</td>"
            f'<td class="bars"><div class="bar" style="width:{width:.1f}%">{parts}</div></td>'
            f'<td class="n">{total:,}</td></tr>'
        )
    legend = "".join(
        f'<span class="key" style="background:{_COLOURS[name]}"></span>'
        f"<span>{name} {statistics.difficulties[name]:,}</span>"
        for name in DIFFICULTIES
        if statistics.difficulties[name]
    )
    return f'<div class="card"><div class="soft legend">{legend}</div><table>{"".join(rows)}</table></div>'


def _counts(title: str, counter: Counter[str]) -> str:
    total = sum(counter.values()) or 1
    rows = "".join(
        f'<tr><td>{escape(name)}</td><td class="bars"><div class="bar" style="width:{100 * n / total:.1f}%;'
        f'background:var(--accent)"></div></td><td class="n">{n:,}</td></tr>'
        for name, n in counter.most_common()
    )
    return f'<div class="card"><h3>{escape(title)}</h3><table>{rows}</table></div>'


def _histogram(title: str, values: Sequence[float]) -> str:
    low, tenth, median, ninetieth, high = summary(values)
    is_log = low > 0 and high > _LOG_RATIO * median
    scale = math.log10 if is_log else float
    start, span = scale(low), (scale(high) - scale(low)) or 1.0
    is_narrow = not is_log and high - low < _BINS and all(float(value).is_integer() for value in values)
    count_of_bins = int(high - low) + 1 if is_narrow else _BINS
    bins = [0] * count_of_bins
    for value in values:
        bins[min(count_of_bins - 1, int((scale(value) - start) / span * count_of_bins))] += 1
    step, tallest = _WIDTH / count_of_bins, max(bins)
    bars = "".join(
        f'<rect x="{i * step:.1f}" y="{_HEIGHT - h:.1f}" width="{step - 1:.1f}" height="{h:.1f}" fill="#3b6ea8">'
        f"<title>{counted(count, 'row')}</title></rect>"
        for i, count in enumerate(bins)
        if (h := count / tallest * (_HEIGHT - 12))
    )
    axis = " (logarithmic axis)" if is_log else ""
    line = f"10% {tenth:.4g} · median {median:.4g} · 90% {ninetieth:.4g}"
    return (
        f'<div class="card"><h3>{escape(title)}<span class="soft" style="font-weight:400">{axis}</span></h3>'
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT + 16}" role="img" aria-label="{escape(title)}">{bars}'
        f'<line x1="0" x2="{_WIDTH}" y1="{_HEIGHT}" y2="{_HEIGHT}" stroke="#c9ccd1"/>'
        f'<text x="0" y="{_HEIGHT + 13}">{low:.4g}</text>'
        f'<text x="{_WIDTH / 2}" y="{_HEIGHT + 13}" text-anchor="middle">{line}</text>'
        f'<text x="{_WIDTH}" y="{_HEIGHT + 13}" text-anchor="end">{high:.4g}</text></svg></div>'
    )


def _example(problem: Problem) -> str:
    messages = "".join(
        f'<div class="soft">{escape(message["role"])}</div><pre>{escape(message["content"])}</pre>'
        for message in problem.prompt
    )
    tests = problem.tests.to_json()
    shown = tests if len(tests) <= 4000 else f"{tests[:4000]} … (+{counted(len(tests) - 4000, 'character')})"
    return (
        f"<details open><summary><b>{escape(problem.problem_id)}</b> "
        f'<span class="soft">{escape(problem.split)} · {escape(problem.difficulty)} · {escape(problem.tests.style)} · '
        f"{escape(problem.agent_name)}</span></summary>{messages}"
        f"<details><summary>hidden tests</summary><pre>{escape(shown)}</pre></details>"
        f"<details><summary>reference solution</summary><pre>{escape(problem.reference_solution)}</pre>"
        "</details></details>"
    )
